import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type DriverOptions, openDriver } from "../../src/storage/open.ts";
import { ownerOf } from "../../src/storage/shims/expiring.ts";
import { completed } from "../../src/storage/shims.ts";
import { json, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { contentsSuite } from "../conformance/storage/contents.ts";
import { expiringSuite } from "../conformance/storage/expiring.ts";
import { keyValueSuite } from "../conformance/storage/key-value.ts";
import { queueSuite } from "../conformance/storage/queue.ts";
import { failure, freshAccount, migrated } from "../conformance/storage/suite.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-shims-"));
after(() => rmSync(folder, { recursive: true }));

let now = Date.now();

/** A driver that has a map and its contents, and nothing else. */
async function mapAlone(options: DriverOptions): Promise<StorageDriver> {
  const { name, map, contents, migrate, healthy, close } = await migrated(options);
  assert.ok(map && contents);
  const bare = { name, map, migrate, healthy, close };
  const holds = ["map"] as const;
  return { ...bare, contents: { holds, read: contents.read.bind(contents), write: contents.write.bind(contents) } };
}

for (const [name, options] of [
  ["memory, by shims", { driver: "memory" }],
  ["sqlite, by shims", { driver: "sqlite", path: join(folder, "shims.sqlite") }],
] as const) {
  const open = async ({ maxValueBytes }: { maxValueBytes?: number } = {}) =>
    // What a shim adds to a value is not to be refused here.
    completed(await mapAlone(options), { maxValueBytes: maxValueBytes ?? 1024 * 1024, now: () => now });
  const alone = options.driver === "memory";
  keyValueSuite(name, open);
  queueSuite(name, open, { runs: 15, alone });
  expiringSuite(name, open, {
    runs: 15,
    alone,
    pass: (milliseconds) => {
      now += milliseconds;
    },
  });
  contentsSuite(name, async (bounds = {}) => completed(await mapAlone({ ...options, ...bounds })));
}

test("what a driver has itself is left to it, and one that has it all is not touched", async () => {
  const driver = await openDriver({ driver: "memory" });
  assert.equal(completed(driver), driver);
  const { queue: _, ...lacking } = driver;
  const whole = completed(lacking);
  assert.equal(whole.keyValue, driver.keyValue);
  assert.equal(whole.expiring, driver.expiring);
  assert.notEqual(whole.queue, undefined);
});

test("nothing is made for a driver that others fill, nor for one without a map, and no queue without contents", async () => {
  const { name, map, migrate, healthy, close } = await openDriver({ driver: "memory" });
  const bare = { name, migrate, healthy, close };
  assert.equal(completed(bare).keyValue, undefined);
  assert.equal(completed({ ...bare, map: map as never, readOnly: true }).keyValue, undefined);
  const some = completed({ ...bare, map: map as never });
  assert.notEqual(some.keyValue, undefined);
  assert.equal(some.queue, undefined);
});

test("what has died is swept away by those who write beside it", async () => {
  const driver = await mapAlone({ driver: "memory" });
  const facts = completed(driver, { now: () => now }).expiring?.("facts", json<number>());
  const kept = async () => (await driver.contents?.read("map", 10_000))?.records.length ?? 0;
  const beside = Array.from({ length: 100_000 }, (_, i) => `old ${i}`).filter(
    (key) => ownerOf(key).bare === ownerOf("new").bare,
  );
  assert.ok(beside.length > 1);
  for (const key of beside) await facts?.set(key, 1, 10);
  assert.equal(await kept(), beside.length);
  now += 20;
  for (let i = 0; i < 64; i++) await facts?.set("new", i, 1000);
  assert.equal(await kept(), 1);
});

test("what was written stays written, though what has died beside it cannot be swept away", async () => {
  const driver = await mapAlone({ driver: "memory" });
  const map: NonNullable<StorageDriver["map"]> = (table, codec) => {
    const store = driver.map?.(table, codec);
    return store && { ...store, list: () => Promise.reject(new StorageError("too slow")) };
  };
  const facts = completed({ ...driver, map }).expiring?.("facts", json<number>());
  for (let i = 0; i < 64; i++) assert.equal(await facts?.add(`new ${i}`, i, 1000), true);
  for (let i = 0; i < 64; i++) await facts?.set(`new ${i}`, i, 1000);
});

test("an item is behind the last one, though another node's clock is an hour ahead", async () => {
  const driver = completed(await mapAlone({ driver: "memory" }));
  const queue = driver.queue?.("mail", json<string>());
  const alice = freshAccount();
  const ahead = (await import("../../src/storage/archive-id.ts")).archiveIdAt(Date.now() + 3_600_000);
  await driver.contents?.write([
    { capability: "queue", table: "mail", owner: alice.bare, id: ahead, value: '"first"' },
  ]);
  assert.equal(await queue?.push(alice, "second", 2), "stored");
  assert.equal(await queue?.push(alice, "third", 2), "full");
  assert.deepEqual(
    (await queue?.list(alice, 10))?.map(({ value }) => value),
    ["first", "second"],
  );
});

test("a shim's tables are no modules' tables, whatever these are called", async () => {
  const driver = completed(await mapAlone({ driver: "memory" }));
  const alice = new Jid("alice", "example.org");
  await driver.keyValue?.("notes", json<string>())?.set(alice, "value");
  await driver.map?.("notes", json<string>())?.set(alice, "", "item");
  assert.equal(await driver.keyValue?.("notes", json<string>())?.get(alice), "value");
  assert.deepEqual(
    (await driver.contents?.read("map", 10))?.records.map((record) => "table" in record && record.table),
    ["notes"],
  );
});

test("a value that the map does not take is refused in its words", async () => {
  const driver = completed(await mapAlone({ driver: "memory", maxValueBytes: 20 }));
  const facts = driver.expiring?.("facts", json<string>());
  assert.ok((await failure(facts?.set("key", "too long", 1000) as Promise<void>)) instanceof StorageError);
});
