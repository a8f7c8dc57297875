/** What becomes of the cluster when parts of Redis die, hang or forget. Each test leaves Redis whole again. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RedisCluster } from "../../../src/cluster/redis/redis-cluster.ts";
import { NodeProcess } from "./node-process.ts";
import { startRedis, type TestRedis, until } from "./redis-containers.ts";
import { freshAccount, session } from "./suite.ts";

let redis: TestRedis;
let a: RedisCluster;
let b: RedisCluster;
const lost: string[] = [];
let heard = 0;
/** When each node logged each event that may come in storms. */
const logged = new Map<string, number[]>();

before(async () => {
  redis = await startRedis();
  // Leases longer than a failover takes, as by default.
  [a, b] = ["a", "b"].map((nodeId) => {
    const log = (event: string) => {
      const key = `${nodeId} ${event}`;
      logged.set(key, [...(logged.get(key) ?? []), performance.now()]);
    };
    return new RedisCluster({
      ...redis.options,
      nodeId,
      log,
      renewEvery: 500,
      answerWithin: 4000,
      startWithin: 30_000,
    });
  }) as [RedisCluster, RedisCluster];
  for (const cluster of [a, b]) {
    cluster.onLost(({ id }) => lost.push(id));
    cluster.bus.receive("ping", () => heard++);
  }
  await Promise.all([a.start(), b.start()]);
});

after(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
  await redis?.stop();
});

/** Sends both ways until each has been heard, and tells how long that took. */
async function messagesFlow(within: number): Promise<number> {
  const took = [a, b].map(async (from) => {
    const to = from === a ? "b" : "a";
    let arrived = false;
    return until(`a message from ${from.bus.nodeId} to ${to}`, within, async () => {
      await Promise.resolve(from.bus.send(to, "ping", "ping")).then(
        () => {
          arrived = true;
        },
        () => {},
      );
      return arrived && from.healthy();
    });
  });
  return Math.max(...(await Promise.all(took)));
}

test("messages flow again after the master of a node's channel was killed", async (t) => {
  const port = await redis.masterOf("meerkat:bus:{b}");
  await redis.signal("KILL", port);
  t.diagnostic(`healed ${Math.round(await messagesFlow(30_000))} ms after kill -9`);
  await redis.restart(port);
  await redis.healed();
  assert.deepEqual(lost, []);
});

test("messages flow again, and are heard, after that master hung", async (t) => {
  const port = await redis.masterOf("meerkat:bus:{b}");
  await redis.signal("STOP", port);
  await until("the silence is noticed", 30_000, () => !b.bus.heardItself(2000));
  const heardBefore = heard;
  t.diagnostic(`healed ${Math.round(await messagesFlow(30_000))} ms after it was noticed`);
  await until("a message was heard, not only taken", 10_000, () => heard > heardBefore);
  await redis.signal("CONT", port);
  await redis.healed();
  assert.deepEqual(lost, []);
});

test("the lease outlives the loss of the master that keeps it", async () => {
  const alice = freshAccount("alice");
  const entry = session(alice, "balcony", "a");
  await a.registry.claim(entry);
  const { joins, leaseMisses = 0 } = a.stats();
  const port = await redis.masterOf("meerkat:{leases}");
  await redis.signal("KILL", port);
  await until("a renewal was missed", 20_000, () => (a.stats().leaseMisses ?? 0) > leaseMisses);
  // Started again before that, it would come back as the master, and empty.
  await until("its replica has taken over", 30_000, async () => {
    const now = await redis.masterOf("meerkat:{leases}").catch(() => port);
    return now !== port && a.healthy() && b.healthy();
  });
  await until(
    "the session is found",
    10_000,
    async () => (await b.registry.locate(alice).catch(() => [])).length === 1,
  );
  await redis.restart(port);
  await redis.healed();
  assert.equal(a.stats().joins, joins);
  await a.registry.release(entry);
  assert.deepEqual(lost, []);
});

test("after Redis has lost all memory the nodes join again and every session is back", async () => {
  const accounts = Array.from({ length: 300 }, () => freshAccount("alice"));
  const owners = accounts.map((account, i) => {
    const owner = i % 2 === 0 ? a : b;
    return { owner, entry: session(account, "balcony", owner.bus.nodeId, { priority: i % 100 }) };
  });
  await Promise.all(owners.map(({ owner, entry }) => owner.registry.claim(entry)));
  let rejoined = 0;
  for (const cluster of [a, b]) cluster.onRejoined(() => rejoined++);
  await redis.flushAll();
  await until("both have joined again", 20_000, () => rejoined >= 2 && a.healthy() && b.healthy());
  const found = await Promise.all(accounts.map((account) => a.registry.locate(account)));
  assert.deepEqual(
    found,
    owners.map(({ entry }) => [entry]),
  );
  assert.deepEqual(lost, []);
  await messagesFlow(10_000);
  await Promise.all(owners.map(({ owner, entry }) => owner.registry.release(entry)));
});

test("a Redis that answers nobody for three seconds makes no node unhealthy", async () => {
  const fencings = [a, b].map((cluster) => cluster.stats().fencings);
  await redis.pause(3000);
  const heardBefore = heard;
  const sentAt = performance.now();
  let sent = false;
  const sending = Promise.allSettled([a.bus.send("b", "ping", "ping"), b.bus.send("a", "ping", "ping")]);
  void sending.then(() => {
    sent = true;
  });
  await until("it answers", 30_000, () => {
    assert.ok(a.healthy() && b.healthy(), `${Math.round(performance.now() - sentAt)} ms after the message was sent`);
    return sent && heard >= heardBefore + 2;
  });
  await messagesFlow(10_000);
  assert.deepEqual(
    [a, b].map((cluster) => cluster.stats().fencings),
    fencings,
  );
  assert.deepEqual(lost, []);
});

test("a start that failed can be tried again, and then messages flow both ways", async () => {
  await redis.pause(5000);
  const late = new RedisCluster({ ...redis.options, nodeId: "late", startWithin: 500 });
  let arrived = 0;
  late.bus.receive("ping", () => arrived++);
  await assert.rejects(late.start(), { name: "ClusterError", message: /not usable within 500 ms: ./ });
  await until("it is in", 60_000, () =>
    late.start().then(
      () => true,
      () => false,
    ),
  );
  const heardBefore = heard;
  await late.bus.send("a", "ping", "ping");
  await a.bus.send("late", "ping", "ping");
  await until("both were heard", 10_000, () => heard > heardBefore && arrived === 1);
  await late.stop();
  await messagesFlow(10_000);
  assert.deepEqual(lost, []);
});

test("a Redis that hangs for longer than every lease makes no node bury another", async () => {
  const alice = freshAccount("alice");
  const entry = session(alice, "balcony", "a");
  await a.registry.claim(entry);
  const fencings = [a, b].map((cluster) => cluster.stats().fencings ?? 0);
  const leaver = await NodeProcess.start({ ...redis.options, nodeId: "leaver", startWithin: 30_000 }, []);
  const ports = [7001, 7002, 7003, 7004, 7005, 7006];
  await redis.signal("STOP", ...ports);
  await until("both nodes have noticed", 40_000, () =>
    [a, b].every((cluster, i) => (cluster.stats().fencings ?? 0) > (fencings[i] ?? 0) && !cluster.healthy()),
  );
  await assert.rejects(async () => a.registry.claim(session(alice, "garden", "a")));
  assert.equal(await leaver.leave(), 0, "a node can leave while Redis hangs");
  await redis.signal("CONT", ...ports);
  await until("both are back", 60_000, () => a.healthy() && b.healthy());
  await until(
    "the session is found",
    20_000,
    async () => (await b.registry.locate(alice).catch(() => [])).length === 1,
  );
  assert.deepEqual(lost, []);
});

test("through all this no node logged a failure more than once a second", () => {
  assert.ok((logged.get("a cluster.redis.failed")?.length ?? 0) > 0);
  for (const [key, times] of logged) {
    if (!/failed|missed/.test(key)) continue;
    for (const [i, time] of times.slice(1).entries()) assert.ok(time - (times[i] ?? 0) >= 999, key);
  }
});
