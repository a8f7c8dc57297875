import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { Commands } from "../../src/cluster/redis/connection.ts";
import { Membership } from "../../src/cluster/redis/membership.ts";
import { RedisRegistry } from "../../src/cluster/redis/redis-registry.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { HandClock } from "./hand-clock.ts";

test("as many failed releases are kept as allowed, and beyond that the oldest is left to its expiry", async () => {
  const clock = new HandClock();
  let down = true;
  const released: string[] = [];
  const client = {
    async meerkat_release(_key: string, _resource: string, id: string) {
      if (down) throw new Error("CLUSTERDOWN");
      released.push(id);
    },
    async hdel() {},
    async pexpire() {},
  };
  const commands = new Commands(() => client as never, { clock, answerWithin: 5000, maxPending: 10 });
  const registry = new RedisRegistry({
    commands,
    membership: new Membership({
      nodeId: "a",
      newEpoch: () => "1",
      commands,
      clock,
      log: () => {},
      sessions: () => 0,
      renewEvery: 2000,
      leaseFor: 10_000,
    }),
    clock,
    log: () => {},
    refreshEvery: 60_000,
    entryFor: 900_000,
    maxUnreleased: 2,
    lost: () => {},
    displaced: () => {},
  });
  for (const [id, kept] of [
    ["s1", 1],
    ["s2", 2],
    ["s3", 2],
  ] as const) {
    const jid = new Jid("alice", "example.org", id);
    await assert.rejects(registry.release({ jid, node: "a", id, priority: 0, marks: [] }), ClusterError);
    assert.equal(registry.unreleased, kept);
  }
  down = false;
  await registry.tend();
  assert.deepEqual(released, ["s2", "s3"]);
  assert.equal(registry.unreleased, 0);
});
