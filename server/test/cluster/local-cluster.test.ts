import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { LocalCluster } from "../../src/cluster/local/local-cluster.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const alice = new Jid("alice", "example.org", "balcony");
const entry = { jid: alice, node: "a", id: "s1", priority: 0, marks: [] };

test("alone, nothing on the path of a stanza is a promise", () => {
  const { registry, bus } = new LocalCluster({ kind: "local", nodeId: "a" });
  const heard: string[] = [];
  bus.receive("route", (message, from) => heard.push(`${from} ${message}`));
  assert.equal(registry.claim(entry), undefined);
  assert.deepEqual(registry.locate(alice), [entry]);
  assert.equal(registry.update({ ...entry, priority: 5 }), undefined);
  assert.equal(registry.count(), 1);
  assert.equal(registry.release(entry), undefined);
  assert.equal(bus.send("a", "route", "hello"), undefined);
  assert.deepEqual(heard, ["a hello"]);
});

test("there is no other node", async () => {
  const cluster = new LocalCluster({ kind: "local", nodeId: "a" });
  assert.deepEqual(cluster.nodes(), ["a"]);
  await assert.rejects(async () => cluster.bus.send("b", "route", "hello"), ClusterError);
});

test("it is healthy from start to stop", async () => {
  const cluster = new LocalCluster({ kind: "local", nodeId: "a" });
  assert.ok(!cluster.healthy());
  await cluster.start();
  assert.ok(cluster.healthy());
  await cluster.stop();
  assert.ok(!cluster.healthy());
});
