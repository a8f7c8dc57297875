/** Redis as a store: every capability over a real cluster and over one server alone, and what becomes of it when parts fail. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { closeDrivers, openDrivers } from "../../../src/auth/stores.ts";
import { silentLog } from "../../../src/observe/log.ts";
import type { RedisOptions } from "../../../src/storage/drivers/redis/redis.ts";
import { openDriver } from "../../../src/storage/open.ts";
import { json, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import type { Jid } from "../../../src/xmpp/jid.ts";
import { read } from "../../config/support.ts";
import { STRAY, startRedis, type TestRedis } from "../cluster/redis-containers.ts";
import { contentsSuite } from "./contents.ts";
import { expiringSuite } from "./expiring.ts";
import { keyValueSuite } from "./key-value.ts";
import { mapSuite } from "./map.ts";
import { queueSuite } from "./queue.ts";
import { describeCapability, eventually, failure, freshAccount, migrated } from "./suite.ts";

let redis: TestRedis;
let single: RedisOptions & { driver: "redis" };

before(async () => {
  redis = await startRedis();
  const { password } = redis.options;
  single = { driver: "redis", nodes: [await redis.startSingle()], cluster: false, password };
});
after(() => redis?.stop());

const options = () => {
  const { nodes, password, natMap } = redis.options;
  return { driver: "redis" as const, nodes, password, natMap };
};
const open = (bounds = {}) => migrated({ ...options(), ...bounds });
const openSingle = (bounds = {}) => migrated({ ...single, ...bounds });
const LARGEST = { largest: 64 * 1024 };

keyValueSuite("redis", open, LARGEST);
mapSuite("redis", open, { runs: 15 });
queueSuite("redis", open, { runs: 15 });
expiringSuite("redis", open, { runs: 15 });
contentsSuite("redis", open);
keyValueSuite("redis (single)", openSingle, LARGEST);
mapSuite("redis (single)", openSingle, { runs: 5 });
queueSuite("redis (single)", openSingle, { runs: 5 });
expiringSuite("redis (single)", openSingle, { runs: 5 });
contentsSuite("redis (single)", openSingle);

async function opened(t: TestContext, more: Partial<RedisOptions> = {}): Promise<StorageDriver> {
  const driver = await openDriver({ ...options(), ...more });
  t.after(() => driver.close());
  return driver;
}

function notes(driver: StorageDriver) {
  const store = driver.keyValue?.("faults", json<string>());
  assert.ok(store);
  return store;
}

/** Owners whose values are kept by one node each. */
async function ownersAt(port: number, count: number): Promise<Jid[]> {
  const owners: Jid[] = [];
  while (owners.length < count) {
    const alice = freshAccount();
    if ((await redis.masterOf(`{.${alice.bare}}`)) === port) owners.push(alice);
  }
  return owners;
}

describeCapability("redis", "faults", () => {
  test("a password that is wrong is said to be, and is not shown", async (t) => {
    for (const [password, words] of [
      ["not-this-one", /password, or the user's name, is wrong \(WRONGPASS/],
      [undefined, /wants a password \(NOAUTH/],
    ] as const) {
      for (const base of [options(), single]) {
        const driver = await openDriver({ ...base, password, timeout: 1500 });
        t.after(() => driver.close());
        const error = await failure(driver.migrate());
        assert.ok(error instanceof StorageError, String(error));
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /not-this-one/);
        assert.equal(await driver.healthy(), false);
      }
    }
  });

  test("a Redis that is down at start is waited for", async (t) => {
    await redis.signal("KILL", STRAY);
    t.after(() => redis.startSingle());
    const driver = await openDriver({ ...single, timeout: 1000 });
    t.after(() => driver.close());
    const error = await failure(driver.migrate());
    assert.ok(error instanceof StorageError, String(error));
    assert.match(error.message, new RegExp(`Redis at ${single.nodes[0]}: .*(ECONN[A-Z]+|EPIPE|no answer)`));
    await redis.startSingle();
    await eventually(
      () => failure(driver.migrate()),
      (problem) => problem === undefined,
    );
    assert.equal(await driver.healthy(), true);
  });

  test("a server alone is not taken for a cluster, nor a cluster for one", async (t) => {
    const asCluster = await openDriver({ ...single, cluster: true, timeout: 1500 });
    t.after(() => asCluster.close());
    assert.match(String(await failure(asCluster.migrate())), /set cluster = false/);
    const asSingle = await openDriver({ ...options(), nodes: options().nodes.slice(0, 1), cluster: false });
    t.after(() => asSingle.close());
    assert.match(String(await failure(asSingle.migrate())), /is a node of a Redis Cluster; set cluster = true/);
  });

  test("a Redis that throws away what it keeps is refused, and one that may forget is warned of", async (t) => {
    t.after(() => redis.cli(STRAY, "config", "set", "maxmemory-policy", "noeviction"));
    const warnings: string[] = [];
    const driver = await openDriver({ ...single, warn: (message) => warnings.push(message) });
    t.after(() => driver.close());
    await driver.migrate();
    assert.deepEqual(
      warnings.map((words) => /\((.*)\)/.exec(words)?.[1]),
      ["appendonly no"],
    );
    await redis.cli(STRAY, "config", "set", "maxmemory-policy", "volatile-ttl");
    await driver.migrate();
    assert.match(warnings.join(), /when it is full \(maxmemory-policy volatile-ttl\); set maxmemory-policy noeviction/);
    await redis.cli(STRAY, "config", "set", "maxmemory-policy", "allkeys-lru");
    const error = await failure(driver.migrate());
    assert.ok(error instanceof Error && !(error instanceof StorageError));
    assert.match(error.message, /maxmemory-policy allkeys-lru\); set maxmemory-policy noeviction/);
  });

  test("a layout of a newer server is refused", async (t) => {
    const driver = await opened(t, { prefix: "newer" });
    await driver.migrate();
    await redis.client.set("newer:layout", "2");
    assert.match(String(await failure(driver.migrate())), /has layout 2 under "newer".*run the newer server/);
  });

  test("a Redis that is full refuses what takes memory, gives out what it has, and lets go of it", async (t) => {
    const driver = await openDriver(single);
    t.after(() => driver.close());
    await driver.migrate();
    const alice = freshAccount();
    const items = driver.map?.("full", json<string>());
    const queue = driver.queue?.("full", json<string>());
    await notes(driver).set(alice, "kept");
    await items?.set(alice, "a", "kept");
    await queue?.push(alice, "kept", 10);
    t.after(() => redis.cli(STRAY, "config", "set", "maxmemory", "0"));
    await redis.cli(STRAY, "config", "set", "maxmemory", "1");
    for (const refused of [
      () => notes(driver).set(alice, "more"),
      () => items?.set(alice, "b", "more"),
      () => items?.update(alice, "a", () => "more"),
      () => items?.updateTogether(alice, ["a", "b"], () => new Map([["b", "moved"]])),
      () => queue?.push(alice, "more", 10),
    ]) {
      const error = await failure(refused() as Promise<unknown>);
      assert.ok(error instanceof StorageError, String(error));
      assert.match(error.message, /Redis is full \(OOM/);
    }
    assert.equal(await notes(driver).get(alice), "kept");
    // Of what was refused nothing was done by half.
    assert.deepEqual(await items?.list(alice), new Map([["a", "kept"]]));
    const [waiting] = (await queue?.list(alice, 10)) ?? [];
    assert.deepEqual(await queue?.remove(alice, [waiting?.id ?? ""]), [waiting?.id]);
    await items?.update(alice, "a", () => undefined);
    await notes(driver).remove(alice);
    await redis.cli(STRAY, "config", "set", "maxmemory", "0");
    await notes(driver).set(alice, "again");
    assert.equal(await notes(driver).get(alice), "again");
  });

  test("a server that hangs is given up in time, keeps no more requests than the bound, and is used again", async (t) => {
    const driver = await openDriver({ ...single, timeout: 500, queue: 100 });
    t.after(() => driver.close());
    await driver.migrate();
    await redis.signal("STOP", STRAY);
    t.after(() => redis.signal("CONT", STRAY));
    const startedAt = performance.now();
    const problems = await Promise.all(Array.from({ length: 150 }, () => failure(notes(driver).get(freshAccount()))));
    t.diagnostic(`given up after ${Math.round(performance.now() - startedAt)} ms`);
    assert.ok(problems.every((problem) => problem instanceof StorageError));
    const refused = problems.filter((problem) => /100 requests are waiting already/.test(String(problem)));
    assert.equal(refused.length, 50);
    assert.match(String(problems[0]), /no answer within 500 ms|Socket timeout/);
    assert.equal(await driver.healthy(), false);
    await redis.signal("CONT", STRAY);
    await eventually(
      () => driver.healthy(),
      (well) => well,
    );
    await notes(driver).set(freshAccount(), "again");
  });

  test("a master that is killed is followed by its replica, and reads are only late", async (t) => {
    const driver = await opened(t, { timeout: 20_000 });
    await driver.migrate();
    const [alice] = (await ownersAt(await redis.masterOf("{.here}"), 1)) as [Jid];
    await notes(driver).set(alice, "kept");
    const port = await redis.masterOf("{.here}");
    // What was acknowledged is with the replica before its master is gone.
    await redis.cli(port, "wait", "1", "1000");
    await redis.signal("KILL", port);
    const startedAt = performance.now();
    assert.equal(await notes(driver).get(alice), "kept");
    await notes(driver).set(alice, "kept on");
    t.diagnostic(`read and written again ${Math.round(performance.now() - startedAt)} ms after kill -9`);
    assert.equal(await notes(driver).get(alice), "kept on");
    await redis.restart(port);
    await redis.healed();
  });

  test("a master that hangs is followed by its replica, and meanwhile the others serve", async (t) => {
    const driver = await opened(t, { timeout: 1000 });
    await driver.migrate();
    const port = await redis.masterOf("{.here}");
    const [alice] = (await ownersAt(port, 1)) as [Jid];
    let bob = freshAccount();
    while ((await redis.masterOf(`{.${bob.bare}}`)) === port) bob = freshAccount();
    await notes(driver).set(bob, "elsewhere");
    await redis.signal("STOP", port);
    const startedAt = performance.now();
    assert.ok((await failure(notes(driver).set(alice, "late"))) instanceof StorageError);
    assert.equal(await notes(driver).get(bob), "elsewhere");
    await eventually(
      () => failure(notes(driver).set(alice, "late")),
      (problem) => problem === undefined,
    );
    t.diagnostic(`written again ${Math.round(performance.now() - startedAt)} ms after the hang`);
    await redis.signal("CONT", port);
    await redis.healed();
    assert.equal(await notes(driver).get(alice), "late");
  });

  test("a queue whose connection is lost under a push says so, and has the item once at most", async (t) => {
    const driver = await openDriver({ ...single, timeout: 2000 });
    t.after(() => driver.close());
    await driver.migrate();
    const alice = freshAccount();
    const queue = driver.queue?.("lost", json<number>());
    assert.ok(queue);
    const stored: number[] = [];
    for (let round = 0; round < 20; round++) {
      const pushes = Array.from({ length: 10 }, (_, i) =>
        queue.push(alice, round * 10 + i, 1000).then(
          () => void stored.push(round * 10 + i),
          (error: unknown) => assert.ok(error instanceof StorageError, String(error)),
        ),
      );
      if (round % 4 === 0) await redis.cli(STRAY, "client", "kill", "type", "normal");
      await Promise.all(pushes);
    }
    const there = (await queue.list(alice, 1000)).map(({ value }) => value);
    assert.equal(new Set(there).size, there.length, "an item is there twice");
    for (const value of stored) assert.ok(there.includes(value), `${value} was acknowledged and is gone`);
  });

  test("a configuration opens it, bounds it, and hears its warnings", async (t) => {
    const warnings: unknown[] = [];
    const config = read(`
      [storage.main]
      driver = "memory"
      [storage.fast]
      driver = "redis"
      nodes = ["${single.nodes[0]}"]
      cluster = false
      password = "${single.password}"
      prefix = "configured"
      value_size = "1KiB"
    `);
    const drivers = await openDrivers(config, { ...silentLog, warn: (_, details) => void warnings.push(details) });
    t.after(() => closeDrivers(drivers));
    const fast = drivers.get("fast") as StorageDriver;
    await fast.migrate();
    const alice = freshAccount();
    await notes(fast).set(alice, "x".repeat(1022));
    assert.ok((await failure(notes(fast).set(alice, "x".repeat(1023)))) instanceof StorageError);
    assert.equal(await redis.cli(STRAY, "exists", `configured:kv:faults:{.${alice.bare}}`), "1");
    assert.match(JSON.stringify(warnings), /"store":"fast","message":"Redis at .*appendonly no/);
  });

  test("nothing of a closed store keeps the process, and it says that it is closed", async () => {
    const driver = await openDriver(options());
    await driver.migrate();
    await driver.close();
    assert.match(String(await failure(notes(driver).get(freshAccount()))), /the store is closed/);
  });
});
