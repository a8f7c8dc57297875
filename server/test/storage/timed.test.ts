import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../src/observe/metrics.ts";
import { openDriver } from "../../src/storage/open.ts";
import { json, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import { timed } from "../../src/storage/timed.ts";
import { accountsSuite } from "../conformance/storage/accounts.ts";
import { failure, freshAccount, migrated } from "../conformance/storage/suite.ts";

const CAPABILITIES = ["keyValue", "map", "archive", "queue", "expiring"] as const;

async function watched() {
  const metrics = createMetrics({ process: false });
  const driver = timed(await openDriver({ driver: "memory", maxValueBytes: 10 }), "main", metrics);
  const value = async (name: string, capability: string, operation: string, before = "") => {
    const line = `${name}{${before}store="main",capability="${capability}",operation="${operation}"} `;
    const found = (await metrics.render()).split("\n").find((each) => each.startsWith(line));
    return found === undefined ? undefined : Number(found.slice(line.length));
  };
  return { driver, value, metrics };
}

// What is timed does what it did before.
accountsSuite("memory, timed", async (bounds = {}) =>
  timed(await migrated({ driver: "memory", ...bounds }), "main", createMetrics({ process: false })),
);

test("every call is timed by store, capability and operation", async () => {
  const { driver, value } = await watched();
  const notes = driver.keyValue?.("notes", json<string>());
  const alice = freshAccount();
  await notes?.set(alice, "x");
  await notes?.get(alice);
  await notes?.get(alice);
  assert.equal(await value("xmpp_storage_seconds_count", "keyValue", "get"), 2);
  assert.equal(await value("xmpp_storage_seconds_count", "keyValue", "set"), 1);
  assert.equal(await value("xmpp_storage_seconds_count", "keyValue", "remove"), 0);
  assert.equal(await value("xmpp_storage_seconds_bucket", "keyValue", "get", 'le="+Inf",'), 2);
  assert.equal(await value("xmpp_storage_seconds_count", "map", "get"), undefined, "a store that nobody has opened");
});

test("the time is that until the answer", async () => {
  const metrics = createMetrics({ process: false });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const slow = {
    name: "slow",
    keyValue: () => ({ get: () => promise, set: async () => {}, remove: async () => {} }),
  } as unknown as StorageDriver;
  const answer = timed(slow, "main", metrics).keyValue?.("notes", json())?.get(freshAccount());
  const startedAt = performance.now();
  while (performance.now() - startedAt < 12);
  resolve(undefined);
  await answer;
  const text = await metrics.render();
  assert.match(text, /xmpp_storage_seconds_bucket\{le="0.01",store="main",capability="keyValue",operation="get"\} 0\n/);
  const sum = Number(/seconds_sum\{store="main",capability="keyValue",operation="get"\} (\S+)/.exec(text)?.[1]);
  assert.ok(sum >= 0.012, String(sum));
});

test("what a store refuses is counted as a failure and timed; what the caller throws is timed alone", async () => {
  const { driver, value } = await watched();
  const items = driver.map?.("items", json<string>());
  const alice = freshAccount();
  assert.equal(await value("xmpp_storage_errors_total", "map", "update"), 0);
  assert.ok(
    (await failure(items?.update(alice, "a", () => "far too long") as Promise<unknown>)) instanceof StorageError,
  );
  const mine = new RangeError("not so");
  const thrown = items?.update(alice, "a", () => {
    throw mine;
  });
  assert.equal(await failure(thrown as Promise<unknown>), mine);
  assert.equal(await value("xmpp_storage_errors_total", "map", "update"), 1);
  assert.equal(await value("xmpp_storage_seconds_count", "map", "update"), 2);
});

test("no operation of any driver is left out", async () => {
  for (const options of [{ driver: "memory" }, { driver: "sqlite", path: ":memory:" }] as const) {
    const metrics = createMetrics({ process: false });
    const plain = await openDriver(options);
    const driver = timed(plain, "main", metrics);
    const opened = (from: StorageDriver) =>
      [...CAPABILITIES.map((capability) => from[capability]?.("notes", json())), from.accounts?.()].map((store) =>
        Object.keys(store ?? {}).sort(),
      );
    assert.deepEqual(opened(driver), opened(plain));
    const text = await metrics.render();
    for (const operation of opened(plain).flat()) assert.match(text, new RegExp(`operation="${operation}"`), operation);
    await driver.close();
  }
});

test("a driver keeps its name, what it lacks, and what it says of itself", async () => {
  const plain = await openDriver({ driver: "memory" });
  const driver = timed(
    { ...plain, readOnly: true, map: undefined as never },
    "main",
    createMetrics({ process: false }),
  );
  assert.equal(driver.name, "memory");
  assert.equal(driver.readOnly, true);
  assert.equal(driver.map, undefined);
  assert.equal(driver.contents, plain.contents);
  assert.equal(await driver.healthy(), true);
});

test("whoever listens hears of each call whether it was to change something, and whether the database failed", async () => {
  const heard: { writes: boolean; failed: boolean }[] = [];
  const memory = await openDriver({ driver: "memory", maxValueBytes: 10 });
  const failing = {
    get: async () => Promise.reject(new StorageError("away", { cause: new Error("ECONNRESET") })),
    set: async () => Promise.reject(new StorageError("full", { cause: new Error("ENOSPC") })),
    remove: async () => Promise.reject(new StorageError("too many wait")),
  };
  const listen = (driver: StorageDriver) =>
    timed(driver, "main", createMetrics({ process: false }), (call) => heard.push(call)).keyValue?.(
      "notes",
      json<string>(),
    );
  await listen(memory)?.set(freshAccount(), "short");
  await listen(memory)?.get(freshAccount());
  await assert.rejects(async () => listen(memory)?.set(freshAccount(), "much too long for it"), StorageError);
  const broken = listen({ ...memory, keyValue: () => failing });
  for (const call of [broken?.get(freshAccount()), broken?.set(freshAccount(), ""), broken?.remove(freshAccount())]) {
    await assert.rejects(async () => call, StorageError);
  }
  assert.deepEqual(heard, [
    { writes: true, failed: false },
    { writes: false, failed: false },
    { writes: false, failed: true },
    { writes: true, failed: true },
  ]);
});
