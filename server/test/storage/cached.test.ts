import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../src/observe/metrics.ts";
import { ACCOUNT_FRESH_FOR, cached } from "../../src/storage/cached.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { LONGEST_KEPT, ReadThrough } from "../../src/storage/read-through.ts";
import {
  type AccountStore,
  json,
  type KeyValueStore,
  type StorageDriver,
  StorageError,
} from "../../src/storage/specs.ts";
import { keyValueSuite } from "../conformance/storage/key-value.ts";
import { mapSuite } from "../conformance/storage/map.ts";
import { failure, freshAccount, migrated } from "../conformance/storage/suite.ts";

const FRESH = { freshFor: 1000 };

/** As a module sees it that lets its answers be kept. */
function keeping(driver: StorageDriver): StorageDriver {
  const kept = cached(driver, { store: "main", entries: 1000, metrics: createMetrics({ process: false }) });
  return {
    ...kept,
    keyValue: (table, codec) => kept.keyValue?.(table, codec, FRESH),
    map: (table, codec) => kept.map?.(table, codec, FRESH),
  };
}
const open = async (bounds = {}) => keeping(await migrated({ driver: "memory", ...bounds }));
keyValueSuite("memory, cached", open);
mapSuite("memory, cached", open);

/** A store whose reads are counted, and can be held up or made to fail. */
function world({ entries = 100 } = {}) {
  let now = 0;
  let asked = 0;
  const held: (() => void)[] = [];
  let holding = false;
  let broken = false;
  const memory = memoryDriver();
  const driver: StorageDriver = {
    ...memory,
    keyValue(table, codec) {
      const store = memory.keyValue?.(table, codec) as KeyValueStore<never>;
      return {
        ...store,
        async get(owner) {
          asked++;
          if (broken) throw new StorageError("down");
          const found = await store.get(owner);
          if (holding) await new Promise<void>((resolve) => held.push(resolve));
          return found;
        },
      };
    },
  };
  const metrics = createMetrics({ process: false });
  const options = { store: "main", metrics, now: () => now, entries };
  const notes = cached(driver, options).keyValue?.("notes", json<string>(), FRESH) as KeyValueStore<string>;
  return {
    notes,
    driver,
    /** Written by another node: past this one's cache. */
    elsewhere: memory.keyValue?.("notes", json<string>()) as KeyValueStore<string>,
    asked: () => asked,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    hold: () => {
      holding = true;
    },
    letGo: () => {
      holding = false;
      for (const go of held.splice(0)) go();
    },
    fail: (does: boolean) => {
      broken = does;
    },
    text: () => metrics.render(),
  };
}

test("an answer is kept for as long as the module said, and no longer", async () => {
  const { notes, elsewhere, asked, pass } = world();
  const alice = freshAccount();
  await elsewhere.set(alice, "one");
  assert.equal(await notes.get(alice), "one");
  await elsewhere.set(alice, "two");
  pass(999);
  assert.equal(await notes.get(alice), "one");
  assert.equal(asked(), 1);
  pass(1);
  assert.equal(await notes.get(alice), "two");
  assert.equal(asked(), 2);
});

test("that there is nothing is an answer too", async () => {
  const { notes, asked } = world();
  const alice = freshAccount();
  for (let i = 0; i < 3; i++) assert.equal(await notes.get(alice), undefined);
  assert.equal(asked(), 1);
});

test("what this node writes or removes is seen at once", async () => {
  const { notes } = world();
  const alice = freshAccount();
  assert.equal(await notes.get(alice), undefined);
  await notes.set(alice, "one");
  assert.equal(await notes.get(alice), "one");
  await notes.remove(alice);
  assert.equal(await notes.get(alice), undefined);
});

test("many that read the same at once are one request, and each gets a value of its own", async () => {
  const { notes, asked, hold, letGo } = world();
  const alice = freshAccount();
  await notes.set(alice, "one");
  hold();
  const reads = Array.from({ length: 10 }, () => notes.get(alice));
  await new Promise((resolve) => setImmediate(resolve));
  letGo();
  assert.deepEqual(new Set(await Promise.all(reads)), new Set(["one"]));
  assert.equal(asked(), 1);
});

test("a read that a write overtakes leaves nothing behind, and is not shared with those who come after", async () => {
  const { notes, hold, letGo } = world();
  const alice = freshAccount();
  await notes.set(alice, "old");
  hold();
  const early = notes.get(alice);
  // By now it has read the old value, and waits.
  await new Promise((resolve) => setImmediate(resolve));
  await notes.set(alice, "new");
  const late = notes.get(alice);
  await new Promise((resolve) => setImmediate(resolve));
  letGo();
  assert.equal(await early, "old");
  assert.equal(await late, "new");
  assert.equal(await notes.get(alice), "new");
});

test("a read that begins and ends while a write is under way leaves nothing behind", async () => {
  const cache = new ReadThrough({ entries: 10, now: () => 0 });
  let stored = "old";
  const read = () =>
    cache.read(
      "alice",
      "note",
      1000,
      async () => stored,
      () => {},
    );
  const { promise, resolve } = Promise.withResolvers<void>();
  const writing = cache.write("alice", async () => {
    await promise;
    stored = "new";
  });
  assert.equal(await read(), "old");
  resolve();
  await writing;
  assert.equal(await read(), "new");
});

test("a write that fails may have been done: what was kept is forgotten", async () => {
  const cache = new ReadThrough({ entries: 10, now: () => 0 });
  let stored = "old";
  const read = () =>
    cache.read(
      "alice",
      "note",
      1000,
      async () => stored,
      () => {},
    );
  assert.equal(await read(), "old");
  const lost = cache.write("alice", async () => {
    stored = "new";
    throw new StorageError("the connection was lost");
  });
  assert.ok((await failure(lost)) instanceof StorageError);
  assert.equal(await read(), "new");
});

test("a failed read is not kept", async () => {
  const { notes, fail } = world();
  const alice = freshAccount();
  await notes.set(alice, "one");
  fail(true);
  assert.ok((await failure(notes.get(alice))) instanceof StorageError);
  fail(false);
  assert.equal(await notes.get(alice), "one");
});

test("half of what the operator allows is kept for certain, and no more than all of it", async () => {
  const { notes, asked } = world({ entries: 10 });
  const owners = Array.from({ length: 5 }, () => freshAccount());
  for (let round = 0; round < 3; round++) for (const owner of owners) await notes.get(owner);
  assert.equal(asked(), 5);
  const cache = new ReadThrough({ entries: 10, now: () => 0 });
  for (let i = 0; i < 100; i++) {
    await cache.read(
      `owner ${i}`,
      "note",
      1000,
      async () => "",
      () => {},
    );
    assert.ok(cache.count <= 10);
  }
  assert.ok(cache.count >= 5);
  let again = 0;
  await cache.read(
    "owner 0",
    "note",
    1000,
    async () => `${++again}`,
    () => {},
  );
  assert.equal(again, 1, "the first was forgotten");
});

test("an answer of the largest size is kept, and one that is longer is not", async () => {
  const { notes, asked } = world();
  const [fits, longer] = [freshAccount(), freshAccount()];
  // Two quotes stand around a text in JSON.
  await notes.set(fits, "x".repeat(LONGEST_KEPT - 2));
  await notes.set(longer, "x".repeat(LONGEST_KEPT - 1));
  for (let i = 0; i < 2; i++) await notes.get(fits);
  assert.equal(asked(), 1);
  for (let i = 0; i < 2; i++) await notes.get(longer);
  assert.equal(asked(), 3);
});

test("nothing is kept for a module that wants no old answers, nor where the operator wants none", async () => {
  const { driver, asked } = world();
  const alice = freshAccount();
  const metrics = createMetrics({ process: false });
  const strict = cached(driver, { store: "main", entries: 10, metrics }).keyValue?.("notes", json<string>());
  for (let i = 0; i < 2; i++) await strict?.get(alice);
  assert.equal(asked(), 2);
  const off = cached(driver, { store: "main", entries: 0, metrics });
  assert.equal(off, driver);
});

test("hits and misses are counted by store and table", async () => {
  const { notes, text } = world();
  const alice = freshAccount();
  for (let i = 0; i < 3; i++) await notes.get(alice);
  const metrics = await text();
  assert.match(metrics, /xmpp_storage_cache_total\{store="main",table="notes",result="hit"\} 2\n/);
  assert.match(metrics, /xmpp_storage_cache_total\{store="main",table="notes",result="miss"\} 1\n/);
});

test("a directory is asked once in a while whether an account is there, and each time when it is not", async () => {
  let now = 0;
  let asked = 0;
  const there = new Set<string>();
  const accounts: AccountStore = {
    async exists({ bare }) {
      asked++;
      return there.has(bare);
    },
  };
  const driver: StorageDriver = { ...memoryDriver(), accounts: () => accounts };
  const metrics = createMetrics({ process: false });
  const kept = cached(driver, { store: "main", entries: 10, metrics, now: () => now }).accounts?.();
  const alice = freshAccount();
  assert.equal(await kept?.exists(alice), false);
  there.add(alice.bare);
  for (let i = 0; i < 3; i++) assert.equal(await kept?.exists(alice), true);
  assert.equal(asked, 2);
  there.delete(alice.bare);
  now = ACCOUNT_FRESH_FOR;
  assert.equal(await kept?.exists(alice), false);
});

test("of accounts that this server removes nothing is kept", async () => {
  const memory = memoryDriver();
  const accounts = memory.accounts?.();
  const kept = cached(
    { ...memory, accounts: () => accounts },
    {
      store: "main",
      entries: 10,
      metrics: createMetrics({ process: false }),
    },
  );
  assert.equal(kept.accounts?.(), accounts);
});
