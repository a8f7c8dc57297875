import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterError, type SessionEntry } from "../../../src/cluster/cluster.ts";
import { RedisCluster, type RedisClusterOptions } from "../../../src/cluster/redis/redis-cluster.ts";
import { NodeProcess } from "./node-process.ts";
import { startRedis, type TestRedis, until } from "./redis-containers.ts";
import { freshAccount, session, testCluster } from "./suite.ts";

/** Leases short enough to wait for. */
const QUICK = { renewEvery: 300, leaseFor: 3000 };

let redis: TestRedis;
let a: RedisCluster;
let b: RedisCluster;

before(async () => {
  redis = await startRedis();
  a = node("a");
  b = node("b");
  await Promise.all([a.start(), b.start()]);
  await until("the nodes know each other", 5000, () => a.nodes().length === 2 && b.nodes().length === 2);
});

after(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
  await redis?.stop();
});

function node(nodeId: string, more: Partial<RedisClusterOptions> = {}): RedisCluster {
  return new RedisCluster({ ...redis.options, ...QUICK, nodeId, ...more });
}

testCluster("redis", () => [a, b]);

test("of fifty claims of one full JID at once on two nodes one stays, and every other is returned once", async () => {
  const romeo = freshAccount("romeo");
  const entries = Array.from({ length: 50 }, (_, i) => session(romeo, "orchard", i % 2 === 0 ? "a" : "b"));
  const replaced = await Promise.all(entries.map((entry) => (entry.node === "a" ? a : b).registry.claim(entry)));
  const [survivor, ...others] = await a.registry.locate(romeo);
  assert.equal(others.length, 0);
  const accounted = [...replaced.filter((entry) => entry !== undefined), survivor].map((entry) => entry?.id);
  assert.deepEqual(accounted.toSorted(), entries.map(({ id }) => id).toSorted());
  await Promise.all(entries.map((entry) => (entry.node === "a" ? a : b).registry.release(entry)));
  assert.deepEqual(await a.registry.locate(romeo), []);
});

test("ten thousand messages each way arrive once and in order", async () => {
  const COUNT = 10_000;
  const directions = [
    { from: a, to: b },
    { from: b, to: a },
  ].map(({ from, to }) => {
    const heard: string[] = [];
    const all = Promise.withResolvers<void>();
    to.bus.receive("order", (message) => {
      heard.push(message);
      if (heard.length === COUNT) all.resolve();
    });
    return { from, to, heard, all };
  });
  const expected = Array.from({ length: COUNT }, (_, i) => `${i} ${"x".repeat(i % 400)}`);
  await Promise.all(
    directions.map(async ({ from, to, all }) => {
      // A hundred at a time, so that frames are cut by the tick as well as by size.
      for (let i = 0; i < COUNT; i += 100) {
        const sends = expected.slice(i, i + 100).map((message) => from.bus.send(to.bus.nodeId, "order", message));
        await (i % 1000 === 0 ? Promise.all(sends) : new Promise((resolve) => setImmediate(resolve)));
      }
      await all.promise;
    }),
  );
  for (const { heard } of directions) assert.deepEqual(heard, expected);
});

test("a broadcast reaches the other nodes and not the own one", async () => {
  const heard: string[] = [];
  for (const cluster of [a, b])
    cluster.bus.receive("all", (message, from) => heard.push(`${cluster.bus.nodeId}<${from} ${message}`));
  a.bus.broadcast("all", "hello");
  b.bus.broadcast("all", "hello");
  await until("both were heard", 5000, () => heard.length >= 2);
  assert.deepEqual(heard.toSorted(), ["a<b hello", "b<a hello"]);
});

test("a message to a node that does not listen is refused", async () => {
  await assert.rejects(async () => a.bus.send("nobody", "route", "hello"), ClusterError);
});

test("the count covers both nodes", async () => {
  const sum = async () => [await a.registry.count(), await b.registry.count()];
  await until("both count alike", 5000, async () => new Set(await sum()).size === 1);
  const [before = 0] = await sum();
  const mine = session(freshAccount("alice"), "balcony", "a");
  await a.registry.claim(mine);
  await until("the other node counts it too", 5000, async () => (await b.registry.count()) === before + 1);
  await a.registry.release(mine);
  await until("and no more", 5000, async () => (await b.registry.count()) === before);
});

test("sessions of a node that just came are found before its lease has been heard of", async () => {
  // Its greeting may come after the first look; locate asks for the leases itself.
  const slow = node("slow", { renewEvery: 60_000, leaseFor: 120_000 });
  await slow.start();
  try {
    const c = node("c");
    await c.start();
    const alice = freshAccount("alice");
    const entry = session(alice, "balcony", "c");
    await c.registry.claim(entry);
    assert.deepEqual(await slow.registry.locate(alice), [entry]);
    await c.registry.release(entry);
    await c.stop();
  } finally {
    await slow.stop();
  }
});

test("the sessions of a killed node are hidden when its lease lapses, and reported lost once", async (t) => {
  const lost: string[] = [];
  const note = ({ id }: SessionEntry) => void lost.push(id);
  const survivors = [node("s1"), node("s2")];
  const everyone = [a, b, ...survivors];
  for (const survivor of everyone) survivor.onLost(note);
  t.after(() => Promise.all(survivors.map((survivor) => survivor.stop())));
  const swept = () => everyone.reduce((sum, one) => sum + (one.stats().swept ?? 0), 0);
  const sweptBefore = swept();
  await Promise.all(survivors.map((survivor) => survivor.start()));

  const alice = freshAccount("alice");
  const entries = Array.from({ length: 500 }, (_, i) =>
    session(i < 3 ? alice : freshAccount("crowd"), `r${i}`, "doomed"),
  );
  const doomed = await NodeProcess.start({ ...redis.options, ...QUICK, nodeId: "doomed" }, entries);
  assert.equal((await a.registry.locate(alice)).length, 3);
  // One has come back elsewhere by the time of the sweep: that is a replacement, no loss.
  const [first, ...others] = entries as [SessionEntry, ...SessionEntry[]];
  await doomed.kill();
  const back = session(alice, first.jid.resource, "a");
  assert.equal((await a.registry.claim(back))?.id, first.id);

  await until("all are reported", 15_000, () => lost.length >= others.length);
  await until("the sweep is done", 5000, () => swept() > sweptBefore);
  assert.deepEqual(await b.registry.locate(alice), [back]);
  assert.deepEqual(lost.toSorted(), others.map(({ id }) => id).toSorted());
  assert.equal(swept(), sweptBefore + 1);
});

test("a node that starts again under the same id ends its former life at once", async () => {
  const lost: string[] = [];
  b.onLost(({ id }) => lost.push(id));
  a.onLost(({ id }) => lost.push(id));
  const alice = freshAccount("alice");
  const old = session(alice, "old", "again");
  const patient = { ...redis.options, renewEvery: 200, leaseFor: 60_000, nodeId: "again" };
  const former = await NodeProcess.start(patient, [old]);
  await former.kill();
  assert.deepEqual(await a.registry.locate(alice), [old], "its lease has not lapsed yet");
  const next = new RedisCluster(patient);
  next.onLost(({ id }) => lost.push(id));
  await next.start();
  const fresh = session(alice, "new", "again");
  await next.registry.claim(fresh);
  await until("the old session is reported lost", 5000, () => lost.includes(old.id));
  assert.deepEqual(await a.registry.locate(alice), [fresh]);
  assert.equal(lost.filter((id) => id === old.id).length, 1);
  await next.registry.release(fresh);
  await next.stop();
});

test("a node that leaves is gone at once, and sessions it left are reported lost", async () => {
  const lost: string[] = [];
  a.onLost(({ id }) => lost.push(id));
  b.onLost(({ id }) => lost.push(id));
  const leaver = node("leaver", { leaseFor: 60_000 });
  await leaver.start();
  const left = session(freshAccount("alice"), "balcony", "leaver");
  await leaver.registry.claim(left);
  await until("it is known", 5000, () => a.nodes().includes("leaver"));
  await leaver.stop();
  await until("it is gone", 5000, () => !a.nodes().includes("leaver") && !b.nodes().includes("leaver"));
  await until("its session is reported", 5000, () => lost.length > 0);
  assert.deepEqual(lost, [left.id]);
});

test("a node stopped for longer than its lease is fenced, comes back, and learns which session has moved", async () => {
  const alice = freshAccount("alice");
  const entries = ["moves", "stays"].map((resource) => session(alice, resource, "paused"));
  const [moves, stays] = entries as [SessionEntry, SessionEntry];
  const paused = await NodeProcess.start({ ...redis.options, ...QUICK, nodeId: "paused" }, entries);
  paused.signal("SIGSTOP");
  await until("its sessions are hidden", 10_000, async () => (await a.registry.locate(alice)).length === 0);
  const moved = session(alice, "moves", "b");
  await b.registry.claim(moved);
  await until(
    "it has been swept",
    10_000,
    async () => !(await redis.client.hkeys("meerkat:{leases}")).some((member) => member.startsWith("paused#")),
  );
  paused.signal("SIGCONT");
  await until("it is back", 10_000, () => paused.has("rejoined"));
  assert.deepEqual(
    paused.told.filter(({ event }) => event !== "ready"),
    [{ event: "fenced" }, { event: "displaced", id: moves.id }, { event: "rejoined" }],
  );
  assert.deepEqual(await a.registry.locate(alice), [moved, stays]);
  await paused.kill();
});

test("a session lost from Redis is written again when it is due", async () => {
  const careful = node("careful", { refreshEvery: 100 });
  await careful.start();
  const alice = freshAccount("alice");
  const entry = session(alice, "balcony", "careful", { priority: 5 });
  await careful.registry.claim(entry);
  await redis.client.del(`meerkat:sessions:{${alice.bare}}`);
  assert.deepEqual(await a.registry.locate(alice), []);
  await until("it is back", 5000, async () => (await a.registry.locate(alice)).length === 1);
  assert.deepEqual(await a.registry.locate(alice), [entry]);
  await careful.registry.release(entry);
  await careful.stop();
});

test("an account's hash expires when nobody writes it again", async () => {
  const brief = node("brief", { entryFor: 200 });
  await brief.start();
  const alice = freshAccount("alice");
  await brief.registry.claim(session(alice, "balcony", "brief"));
  await until("it has expired", 5000, async () => (await a.registry.locate(alice)).length === 0);
  await brief.stop();
});

test("after it has left nothing keeps the process alive, whenever it leaves", async () => {
  const leavers = await Promise.all(
    ["l1", "l2", "l3"].map((nodeId) => NodeProcess.start({ ...redis.options, ...QUICK, nodeId }, [])),
  );
  assert.deepEqual(await Promise.all(leavers.map((leaver) => leaver.leave())), [0, 0, 0]);
});

test("start names the hosts and the reason when Redis cannot be used", async () => {
  const nowhere = new RedisCluster({ kind: "redis", nodeId: "x", nodes: ["127.0.0.1:1"], startWithin: 500 });
  await assert.rejects(
    nowhere.start(),
    (error) => error instanceof ClusterError && /127\.0\.0\.1:1 .*ECONNREFUSED/.test(error.message),
  );
  const stranger = node("x", { password: "wrong", startWithin: 1500 });
  await assert.rejects(stranger.start(), (error) => error instanceof ClusterError && /WRONGPASS/.test(error.message));
  assert.ok(!stranger.healthy());
  const stray = await redis.startStray();
  const clusterless = node("x", { nodes: [stray], startWithin: 1500 });
  await assert.rejects(clusterless.start(), {
    name: "ClusterError",
    message: new RegExp(`cluster_state is fail, 0 of 16384 slots assigned \\(${stray}\\)`),
  });
});
