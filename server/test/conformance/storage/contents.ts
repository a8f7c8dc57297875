import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { archiveId, archiveIdAt } from "../../../src/storage/archive-id.ts";
import { openDriver } from "../../../src/storage/open.ts";
import {
  type Capability,
  type Contents,
  json,
  SCRAM_HASHES,
  type StorageDriver,
  StorageError,
  type StoredRecord,
} from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import {
  describeCapability,
  failure,
  freshAccount,
  freshDomain,
  migrated,
  ODD_TEXTS,
  type Open,
  scramKeys,
  scramStore,
} from "./suite.ts";

/** Longer than any index takes. */
const LONG = "k".repeat(3000);
const DAY = 86_400_000;

/** What a copy of everything relies on: records are all there is, and go into another driver and come back. */
export function contentsSuite(name: string, open: Open): void {
  describeCapability(name, "contents", () => {
    let driver: StorageDriver;
    let contents: Contents;
    before(async () => {
      driver = await open();
      assert.ok(driver.contents, `${name} has no contents`);
      contents = driver.contents;
    });
    after(() => driver.close());

    const holds = (capability: Capability) => contents.holds.includes(capability);

    /** Copies what belongs to a domain, through records alone, to a driver of another kind and to one that has it already. */
    async function elsewhere(domain: string, capability: Capability): Promise<StorageDriver[]> {
      const records = (await all(contents, capability, 7)).filter((record) => belongs(record, domain));
      const others = [await openDriver({ driver: "memory" }), await migrated({ driver: "sqlite", path: ":memory:" })];
      for (const other of others) {
        await other.contents?.write(records);
        await other.contents?.write(records);
      }
      // Back over itself, as a copy does that is begun again.
      await contents.write(records);
      assert.deepEqual(
        sorted((await all(contents, capability, 500)).filter((each) => belongs(each, domain))),
        sorted(records),
      );
      return [...others.filter((other) => other.contents?.holds.includes(capability)), driver];
    }

    test("holds every capability that the driver offers, and says so", () => {
      for (const capability of ["keyValue", "map", "archive", "queue", "expiring"] as const) {
        const offered = driver[capability]?.("notes", json()) !== undefined;
        if (offered) assert.ok(holds(capability), `${capability} is offered and cannot be copied`);
      }
      if (driver.accounts?.()?.scram !== undefined) assert.ok(holds("accounts"));
    });

    test("accounts are records with the keys of every hash, under odd names too", async (t) => {
      if (!holds("accounts")) return t.skip("keeps no accounts");
      const domain = freshDomain();
      const accounts = scramStore(driver);
      const locals = [...ODD_TEXTS, "l".repeat(1023), "keyless"];
      const keysOf = (fill: number) => SCRAM_HASHES.slice(0, (fill % 3) + 1).map((hash) => scramKeys(hash, fill));
      for (const [fill, local] of locals.entries()) {
        await accounts.create(new Jid(local, domain), local === "keyless" ? [] : keysOf(fill));
      }
      for (const other of await elsewhere(domain, "accounts")) {
        const there = scramStore(other);
        assert.equal(await there.count(domain), locals.length);
        for (const [fill, local] of locals.entries()) {
          const kept = await Promise.all(SCRAM_HASHES.map((hash) => there.scram(new Jid(local, domain), hash)));
          assert.deepEqual(kept.filter(Boolean), local === "keyless" ? [] : keysOf(fill), local);
        }
      }
    });

    test("an account that is written again has the keys of the record, and no others", async (t) => {
      if (!holds("accounts")) return t.skip("keeps no accounts");
      const alice = freshAccount();
      const record = { capability: "accounts", domain: alice.domain, local: alice.local } as const;
      await contents.write([{ ...record, keys: [scramKeys("sha-1", 1), scramKeys("sha-256", 1)] }]);
      await contents.write([
        { ...record, keys: [scramKeys("sha-1", 5)] },
        { ...record, keys: [scramKeys("sha-512", 2)] },
      ]);
      const accounts = scramStore(driver);
      const kept = await Promise.all(SCRAM_HASHES.map((hash) => accounts.scram(alice, hash)));
      assert.deepEqual(kept, [undefined, undefined, scramKeys("sha-512", 2)]);
    });

    test("single values are records", async (t) => {
      const notes = driver.keyValue?.("notes", json<string>());
      if (!holds("keyValue") || notes === undefined) return t.skip("keeps no single values");
      const domain = freshDomain();
      await notes.set(new Jid("", domain), "of the host");
      for (const text of ODD_TEXTS) await notes.set(new Jid(text, domain), `\u0000 ${text} \ud800`);
      for (const other of await elsewhere(domain, "keyValue")) {
        const there = other.keyValue?.("notes", json<string>());
        assert.equal(await there?.get(new Jid("", domain)), "of the host");
        for (const text of ODD_TEXTS) assert.equal(await there?.get(new Jid(text, domain)), `\u0000 ${text} \ud800`);
        assert.equal(await other.keyValue?.("notes_2", json<string>())?.get(new Jid("", domain)), undefined);
      }
    });

    test("items are records with their whole keys, however long", async (t) => {
      const items = driver.map?.("items", json<number>());
      if (!holds("map") || items === undefined) return t.skip("keeps no items");
      const alice = freshAccount();
      const keys = ["", ...ODD_TEXTS, LONG, `${LONG}2`];
      for (const [value, key] of keys.entries()) await items.set(alice, key, value);
      for (const other of await elsewhere(alice.domain, "map")) {
        const there = other.map?.("items", json<number>());
        assert.deepEqual(new Map(await there?.list(alice)), new Map(keys.map((key, value) => [key, value])));
        for (const [value, key] of keys.entries()) assert.equal(await there?.get(alice, key), value);
      }
    });

    test("archived items are records, and found by the other party and by time where they come to", async (t) => {
      const archive = driver.archive?.("mail", json<string>());
      if (!holds("archive") || archive === undefined) return t.skip("keeps no archives");
      const alice = freshAccount();
      const longest = new Jid("b".repeat(1023), "d".repeat(1023), "r".repeat(1023));
      const parties = [new Jid("bob", "example.org", "phone"), new Jid("bob", "example.org"), longest];
      const now = Date.now();
      const items = parties.map((party, index) => ({
        id: archiveIdAt(now - 2 * DAY + index),
        with: party,
        value: `${index} ${ODD_TEXTS.join()}`,
      }));
      items.push({ id: archiveId(), with: parties[0] as Jid, value: "today" });
      for (const item of items) await archive.append(alice, item);
      for (const other of await elsewhere(alice.domain, "archive")) {
        const there = other.archive?.("mail", json<string>());
        const ids = async (range: object) =>
          (await there?.page(alice, { from: "oldest", max: 10, ...range }))?.items.map(({ id }) => id);
        assert.deepEqual((await there?.page(alice, { from: "oldest", max: 10 }))?.items.map(plain), items.map(plain));
        assert.deepEqual(
          await ids({ with: new Jid("bob", "example.org") }),
          [0, 1, 3].map((index) => items[index]?.id),
        );
        assert.deepEqual(await ids({ with: longest }), [items[2]?.id]);
        assert.deepEqual(await ids({ start: now - DAY }), [items[3]?.id]);
      }
    });

    test("what is queued is records, and comes out in the same order", async (t) => {
      const queue = driver.queue?.("mail", json<string>());
      if (!holds("queue") || queue === undefined) return t.skip("keeps no queues");
      const alice = freshAccount();
      for (let index = 0; index < 12; index++) await queue.push(alice, `message ${index}`, 100);
      for (const other of await elsewhere(alice.domain, "queue")) {
        const there = other.queue?.("mail", json<string>());
        const waiting = (await there?.list(alice, 100)) ?? [];
        assert.deepEqual(
          waiting.map(({ value }) => value),
          Array.from({ length: 12 }, (_, index) => `message ${index}`),
        );
        // What comes later waits behind them.
        await there?.push(alice, "the last", 100);
        assert.equal((await there?.list(alice, 100))?.at(-1)?.value, "the last");
        await there?.clear(alice);
      }
    });

    test("what is going to expire is records with its time, and what has expired is none", async (t) => {
      const tokens = driver.expiring?.("tokens", json<string>());
      if (!holds("expiring") || tokens === undefined) return t.skip("keeps nothing that expires");
      const domain = freshDomain();
      const keys = ["", ...ODD_TEXTS, LONG].map((text) => `${domain} ${text}`);
      for (const key of keys) await tokens.set(key, key, DAY);
      await tokens.set(`${domain} gone`, "gone", 1);
      while ((await tokens.get(`${domain} gone`)) !== undefined);
      const found = (await all(contents, "expiring", 500)).filter((record) => belongs(record, domain));
      assert.equal(found.length, keys.length);
      for (const record of found) {
        assert.ok(record.capability === "expiring" && Math.abs(record.expires - Date.now() - DAY) < DAY / 24);
      }
      for (const other of await elsewhere(domain, "expiring")) {
        const there = other.expiring?.("tokens", json<string>());
        for (const key of keys) assert.equal(await there?.get(key), key);
        await other.contents?.write([
          {
            capability: "expiring",
            table: "tokens",
            key: `${domain} late`,
            value: '"late"',
            expires: Date.now() - 1000,
          },
        ]);
        assert.equal(await there?.get(`${domain} late`), undefined);
      }
    });

    test("is read in pages of any size, each behind the last, without a gap or a repeat", async () => {
      const domain = freshDomain();
      const capability = (["keyValue", "map", "expiring"] as const).find(holds);
      assert.ok(capability !== undefined);
      const records = Array.from({ length: 23 }, (_, index) => sample(capability, domain, index));
      await contents.write(records);
      for (const max of [1, 2, 7, 1000]) {
        const found: StoredRecord[] = [];
        for (let place: string | undefined, more = true; more; more = place !== undefined) {
          const page = await contents.read(capability, max, place);
          assert.ok(page.records.length <= max, `${page.records.length} records on a page of ${max}`);
          found.push(...page.records);
          place = page.next;
        }
        const own = found.filter((record) => belongs(record, domain));
        assert.deepEqual(sorted(own), sorted(records), `in pages of ${max}`);
      }
    });

    test("goes on behind a place, whether what stood there is still there or not", async (t) => {
      const items = driver.map?.("items", json<number>());
      if (!holds("map") || items === undefined) return t.skip("keeps no items");
      const alice = freshAccount();
      for (let index = 0; index < 10; index++) await items.set(alice, `key ${index}`, index);
      let place: string | undefined;
      const before: StoredRecord[] = [];
      do {
        const page = await contents.read("map", 3, place);
        before.push(...page.records.filter((record) => belongs(record, alice.domain)));
        place = page.next;
      } while (before.length === 0 && place !== undefined);
      for (const record of before) if (record.capability === "map") await items.remove(alice, record.key);
      const rest = (await all(contents, "map", 3, place)).filter((record) => belongs(record, alice.domain));
      assert.equal(new Set([...before, ...rest].map((record) => JSON.stringify(record))).size, 10);
      assert.equal(rest.length, 10 - before.length);
      await items.clear(alice);
    });

    test("a record replaces what is there under its name", async (t) => {
      if (!holds("map")) return t.skip("keeps no items");
      const domain = freshDomain();
      const records = Array.from({ length: 300 }, (_, index) => sample("map", domain, index));
      await contents.write(records);
      const changed = records.map((record) => ({ ...record, value: '"changed"' }) as StoredRecord);
      await contents.write([...records, ...changed]);
      assert.deepEqual(
        sorted((await all(contents, "map", 500)).filter((each) => belongs(each, domain))),
        sorted(changed),
      );
    });

    test("refuses values larger than the store takes, tables that are none, and places that are none", async () => {
      const domain = freshDomain();
      const capability = (["keyValue", "map", "expiring"] as const).find(holds);
      assert.ok(capability !== undefined);
      const small = await open({ maxValueBytes: 40 });
      try {
        const record = { ...sample(capability, domain, 1), value: JSON.stringify("x".repeat(39)) } as StoredRecord;
        const error = await failure(small.contents?.write([sample(capability, domain, 2), record]) as Promise<void>);
        assert.ok(error instanceof StorageError);
        assert.match(error.message, /41 bytes; at most 40/);
        await small.contents?.write([{ ...record, value: JSON.stringify("x".repeat(38)) } as StoredRecord]);
      } finally {
        await small.close();
      }
      await assert.rejects(
        contents.write([{ ...sample(capability, domain, 3), table: "No Name" } as StoredRecord]),
        TypeError,
      );
      await assert.rejects(contents.read(capability, 0), TypeError);
    });

    test("an empty write is none", async () => {
      await contents.write([]);
    });
  });
}

/** Every record of a capability, in pages. */
export async function all(
  contents: Contents,
  capability: Capability,
  max: number,
  from?: string,
): Promise<StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (let place = from, more = true; more; more = place !== undefined) {
    const page = await contents.read(capability, max, place);
    found.push(...page.records);
    place = page.next;
  }
  return found;
}

/** A test has a domain of its own; what expires has it at the beginning of its key. */
function belongs(record: StoredRecord, domain: string): boolean {
  if (record.capability === "accounts") return record.domain === domain;
  if (record.capability === "expiring") return record.key.startsWith(`${domain} `);
  return record.owner === domain || record.owner.endsWith(`@${domain}`);
}

function sample(capability: "keyValue" | "map" | "expiring", domain: string, index: number): StoredRecord {
  const value = JSON.stringify(`value ${index}`);
  if (capability === "keyValue") return { capability, table: "samples", owner: `a${index}@${domain}`, value };
  const key = `${domain} key ${index % 5}`;
  if (capability === "map")
    return { capability, table: "samples", owner: `a${Math.floor(index / 5)}@${domain}`, key, value };
  return { capability, table: "samples", key: `${domain} ${index}`, value, expires: Date.now() + DAY };
}

/** In an order of their own, whichever order they were read in. */
function sorted(records: readonly StoredRecord[]): StoredRecord[] {
  return records.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function plain({ id, with: party, value }: { id: string; with: Jid; value: string }) {
  return { id, with: party.full, value };
}
