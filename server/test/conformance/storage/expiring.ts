import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { type ExpiringStore, json, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { describeCapability, failure, freshDomain, later, longText, ODD_TEXTS, type Open } from "./suite.ts";

interface Fact {
  readonly n: number;
}

export interface ExpiringFacts {
  readonly runs?: number;
  /** Whether a driver is alone with what it keeps, as one in memory is. */
  readonly alone?: boolean;
  /** Lets so many milliseconds pass for the drivers; without it they are waited for. */
  readonly pass?: (milliseconds: number) => void | Promise<void>;
}

const LONG = 600_000;

/** What every store of what dies by itself does. */
export function expiringSuite(name: string, open: Open, { runs = 50, alone = false, pass = wait }: ExpiringFacts = {}) {
  describeCapability(name, "expiring", () => {
    let driver: StorageDriver;
    let other: StorageDriver;
    let facts: ExpiringStore<Fact>;
    before(async () => {
      driver = await open();
      other = alone ? driver : await open();
      facts = store(driver);
    });
    after(async () => {
      await driver.close();
      if (!alone) await other.close();
    });

    test("gives back what was set, replaces it, and another driver sees it", async () => {
      const key = freshDomain();
      assert.equal(await facts.get(key), undefined);
      await facts.set(key, { n: 1 }, LONG);
      await facts.set(key, { n: 2 }, LONG);
      assert.deepEqual(await facts.get(key), { n: 2 });
      assert.deepEqual(await store(other).get(key), { n: 2 });
      assert.equal(await store(driver, "other_facts").get(key), undefined);
    });

    test("forgets what has run out, by whichever way it is asked", async () => {
      const keys = ["get", "take", "add"].map((way) => `${way} ${freshDomain()}`);
      for (const key of keys) await facts.set(key, { n: 1 }, 50);
      const lasting = freshDomain();
      await facts.set(lasting, { n: 1 }, LONG);
      await pass(60);
      assert.equal(await facts.get(keys[0] as string), undefined);
      assert.equal(await facts.take(keys[1] as string), undefined);
      assert.equal(await facts.add(keys[2] as string, { n: 2 }, LONG), true);
      assert.deepEqual(await facts.get(keys[2] as string), { n: 2 });
      assert.deepEqual(await facts.get(lasting), { n: 1 });
    });

    test("gives what is set again its new time, longer or shorter", async () => {
      const [longer, shorter] = [freshDomain(), freshDomain()];
      await facts.set(longer, { n: 1 }, 50);
      await facts.set(longer, { n: 1 }, LONG);
      await facts.set(shorter, { n: 1 }, LONG);
      await facts.set(shorter, { n: 1 }, 50);
      await pass(60);
      assert.deepEqual(await facts.get(longer), { n: 1 });
      assert.equal(await facts.get(shorter), undefined);
    });

    test("adds only where nothing is, and changes neither value nor time of what is there", async () => {
      const key = freshDomain();
      assert.equal(await facts.add(key, { n: 1 }, 50), true);
      assert.equal(await facts.add(key, { n: 2 }, LONG), false);
      assert.deepEqual(await facts.get(key), { n: 1 });
      await pass(60);
      assert.equal(await facts.get(key), undefined);
    });

    test("lets one of many that add at once succeed, on nothing and on what has run out", async () => {
      const key = freshDomain();
      for (const _ of ["nothing", "run out"]) {
        const told = await Promise.all(
          Array.from({ length: 16 }, (_, n) => (n % 2 === 0 ? facts : store(other)).add(key, { n }, 50)),
        );
        assert.equal(told.filter((added) => added).length, 1);
        assert.equal((await facts.get(key))?.n ?? told.indexOf(true), told.indexOf(true));
        await pass(60);
      }
    });

    test("takes: reads and removes, and one of many at once gets it", async () => {
      const key = freshDomain();
      assert.equal(await facts.take(key), undefined);
      await facts.set(key, { n: 1 }, LONG);
      const taken = await Promise.all(
        Array.from({ length: 16 }, (_, n) => (n % 2 === 0 ? facts : store(other)).take(key)),
      );
      assert.deepEqual(
        taken.filter((each) => each !== undefined),
        [{ n: 1 }],
      );
      assert.equal(await facts.get(key), undefined);
      assert.equal(await facts.add(key, { n: 2 }, LONG), true);
    });

    test("tells odd and long keys apart", async () => {
      const fresh = freshDomain();
      const keys = [
        ...ODD_TEXTS,
        "",
        " ",
        ...[84, 85, 1023].flatMap((length) => ["a", "b"].map((end) => longText(1, length) + end)),
      ];
      for (const [n, key] of keys.entries()) await facts.set(`${fresh}${key}`, { n }, LONG);
      for (const [n, key] of keys.entries()) assert.deepEqual(await facts.get(`${fresh}${key}`), { n }, key);
      for (const [n, key] of keys.entries()) assert.deepEqual(await facts.take(`${fresh}${key}`), { n }, key);
    });

    test("refuses a key that is no text to every database", async () => {
      for (const key of ["a\u0000b", "\ud800"]) {
        for (const way of [facts.get(key), facts.set(key, { n: 1 }, 1), facts.add(key, { n: 1 }, 1), facts.take(key)]) {
          assert.ok((await failure(way)) instanceof StorageError);
        }
      }
    });

    test("keeps a value of the largest size and refuses one byte more", async () => {
      const key = freshDomain();
      const bounded = await open({ maxValueBytes: 8 });
      try {
        const small = store(bounded);
        await small.set(key, { n: 11 }, LONG);
        assert.ok((await failure(small.set(key, { n: 111 }, LONG))) instanceof StorageError);
        assert.ok((await failure(small.add(freshDomain(), { n: 111 }, LONG))) instanceof StorageError);
        assert.deepEqual(await small.get(key), { n: 11 });
      } finally {
        await bounded.close();
      }
    });

    test("does what a Map would, for any run of operations", async () => {
      const key = fc.constantFrom("a", "b", "A");
      const operation = fc.record({ type: fc.constantFrom("set", "add", "take", "get"), key, n: fc.nat() });
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 14 }), async (operations) => {
          const fresh = freshDomain();
          const model = new Map<string, Fact>();
          for (const { type, key: short, n } of operations) {
            const name = fresh + short;
            const present = model.get(name);
            if (type === "add") assert.equal(await facts.add(name, { n }, LONG), present === undefined);
            if (type === "set") await facts.set(name, { n }, LONG);
            if (type === "set" || (type === "add" && present === undefined)) model.set(name, { n });
            if (type === "get") assert.deepEqual(await facts.get(name), present);
            if (type === "take") {
              assert.deepEqual(await facts.take(name), present);
              model.delete(name);
            }
          }
        }),
        { numRuns: runs },
      );
    });
  });
}

/** For the clock that the database has. */
async function wait(milliseconds: number): Promise<void> {
  await later(Date.now() + milliseconds);
}

function store(driver: StorageDriver, table = "facts"): ExpiringStore<Fact> {
  const opened = driver.expiring?.(table, json<Fact>());
  assert.ok(opened);
  return opened;
}
