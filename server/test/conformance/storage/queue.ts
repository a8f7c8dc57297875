import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { json, type QueueStore, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import {
  describeCapability,
  failure,
  freshAccount,
  freshDomain,
  later,
  longText,
  ODD_TEXTS,
  type Open,
} from "./suite.ts";

interface Letter {
  readonly n: number;
  readonly text?: string;
}

export interface QueueFacts {
  readonly runs?: number;
  /** Whether a driver is alone with what it keeps, as one in memory is. */
  readonly alone?: boolean;
  /** Whether the limit is kept to the item while several push at once. */
  readonly exactLimit?: boolean;
}

const MANY = 1_000_000;

/** What every queue does. */
export function queueSuite(
  name: string,
  open: Open,
  { runs = 50, alone = false, exactLimit = true }: QueueFacts = {},
): void {
  describeCapability(name, "queue", () => {
    let driver: StorageDriver;
    let other: StorageDriver;
    let letters: QueueStore<Letter>;
    before(async () => {
      driver = await open();
      other = alone ? driver : await open();
      letters = store(driver);
    });
    after(async () => {
      await driver.close();
      if (!alone) await other.close();
    });

    async function filled(owner: Jid, count: number): Promise<string[]> {
      for (let n = 0; n < count; n++) assert.equal(await letters.push(owner, { n }, MANY), "stored");
      return (await letters.list(owner, MANY)).map(({ id }) => id);
    }
    const numbers = async (owner: Jid, max = MANY, behind?: string) =>
      (await letters.list(owner, max, behind)).map(({ value }) => value.n);

    test("gives back what was pushed, first in first, and leaves it there", async () => {
      const alice = freshAccount();
      assert.deepEqual(await letters.list(alice, 10), []);
      const ids = await filled(alice, 5);
      assert.deepEqual(ids, ids.toSorted());
      assert.equal(new Set(ids).size, 5);
      assert.deepEqual(await numbers(alice), [0, 1, 2, 3, 4]);
      assert.deepEqual(await numbers(alice, 2), [0, 1]);
      assert.deepEqual(await numbers(alice, 2, ids[1]), [2, 3]);
      assert.deepEqual(await numbers(alice, 2, ids[4]), []);
      assert.deepEqual(await numbers(alice, 0), []);
      assert.equal(await letters.size(alice), 5);
    });

    test("lists behind an item that is gone", async () => {
      const alice = freshAccount();
      const ids = await filled(alice, 3);
      await letters.remove(alice, ids.slice(0, 2));
      assert.deepEqual(await numbers(alice, 5, ids[1]), [2]);
    });

    test("lists and removes more than one statement would", async () => {
      const alice = freshAccount();
      await Promise.all(Array.from({ length: 700 }, (_, n) => letters.push(alice, { n }, MANY)));
      const all = await letters.list(alice, MANY);
      assert.deepEqual(
        all.map(({ value }) => value.n),
        Array.from({ length: 700 }, (_, n) => n),
      );
      const ids = all.map(({ id }) => id);
      assert.deepEqual(await letters.remove(alice, ids.slice(50)), ids.slice(50));
      assert.equal(await letters.size(alice), 50);
    });

    test("removes what it is told, and says what was there, in order", async () => {
      const alice = freshAccount();
      const ids = await filled(alice, 4);
      assert.deepEqual(await letters.remove(alice, [ids[2] as string, "no id", ids[0] as string, ids[2] as string]), [
        ids[0],
        ids[2],
      ]);
      assert.deepEqual(await letters.remove(alice, ids), [ids[1], ids[3]]);
      assert.deepEqual(await letters.remove(alice, ids), []);
      assert.deepEqual(await letters.remove(alice, []), []);
      assert.deepEqual(await letters.remove(freshAccount(), ids), []);
      assert.equal(await letters.size(alice), 0);
    });

    test("tells one of many that remove an item at once, and no other", async () => {
      const alice = freshAccount();
      const ids = await filled(alice, 20);
      const told = await Promise.all(
        Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? letters : store(other)).remove(alice, ids)),
      );
      assert.deepEqual(told.flat().sort(), ids);
    });

    test("is full at its limit, and takes more when something is gone", async () => {
      const alice = freshAccount();
      const ids = await filled(alice, 3);
      assert.equal(await letters.push(alice, { n: 3 }, 3), "full");
      assert.equal(await letters.push(alice, { n: 3 }, 0), "full");
      assert.equal(await letters.push(freshAccount(), { n: 3 }, 3), "stored");
      await letters.remove(alice, ids.slice(0, 1));
      assert.equal(await letters.push(alice, { n: 4 }, 3), "stored");
      assert.equal(await letters.push(alice, { n: 5 }, 3), "full");
      assert.deepEqual(await numbers(alice), [1, 2, 4]);
    });

    test("takes what fits while many push at once through two drivers, in their order", async () => {
      const domain = freshDomain();
      const owners = ["alice", "bob"].map((local) => new Jid(local, domain));
      const limit = 25;
      const told = await Promise.all(
        Array.from({ length: 160 }, async (_, n) => {
          const through = n % 4 < 2 ? letters : store(other);
          return { n, answer: await through.push(owners[n % 2] as Jid, { n }, limit) };
        }),
      );
      for (const [which, owner] of owners.entries()) {
        const stored = told.filter(({ n, answer }) => n % 2 === which && answer === "stored").map(({ n }) => n);
        const kept = await numbers(owner);
        assert.deepEqual(kept.toSorted(ascending), stored, "what was said to be stored is what is there");
        for (const half of [kept.filter((n) => n % 4 < 2), kept.filter((n) => n % 4 >= 2)]) {
          assert.deepEqual(half, half.toSorted(ascending), "what one driver pushed is in order");
        }
        if (exactLimit) assert.equal(kept.length, limit);
        else assert.ok(kept.length >= limit);
      }
    });

    test("has committed an item when its promise is settled: another driver sees it", async () => {
      const alice = freshAccount();
      for (let n = 1; n <= 5; n++) {
        await letters.push(alice, { n }, MANY);
        assert.equal(await store(other).size(alice), n);
      }
    });

    test("expires what was pushed before a time, from all queues of its table and no other", async () => {
      const domain = freshDomain();
      const old = store(driver, "old_letters");
      const owners = ["alice", "bob"].map((local) => new Jid(local, domain));
      for (const owner of owners) {
        for (const each of [old, letters]) await each.push(owner, { n: 1 }, MANY);
      }
      const cut = await later(Date.now());
      for (const owner of owners) await old.push(owner, { n: 2 }, MANY);
      await old.expire(0);
      assert.equal(await old.size(owners[0] as Jid), 2);
      await old.expire(cut);
      for (const owner of owners) {
        assert.deepEqual(
          (await old.list(owner, 10)).map(({ value }) => value.n),
          [2],
        );
        assert.equal(await letters.size(owner), 1);
      }
    });

    test("clears one queue, and no other", async () => {
      const alice = freshAccount();
      const bob = new Jid("alice2", alice.domain);
      await Promise.all(Array.from({ length: 220 }, (_, n) => letters.push(alice, { n }, MANY)));
      await filled(bob, 2);
      await store(driver, "other_letters").push(alice, { n: 1 }, MANY);
      await letters.clear(alice);
      await letters.clear(alice);
      assert.equal(await letters.size(alice), 0);
      assert.equal(await letters.size(bob), 2);
      assert.equal(await store(driver, "other_letters").size(alice), 1);
    });

    test("tells odd and long owners apart, and keeps odd values", async () => {
      const domain = freshDomain();
      const locals = [...ODD_TEXTS, `${longText(1, 340)}a`, `${longText(1, 340)}b`];
      for (const [n, text] of locals.entries()) await letters.push(new Jid(text, domain, "phone"), { n, text }, MANY);
      for (const [n, text] of locals.entries()) {
        const found = await letters.list(new Jid(text, domain), 10);
        assert.deepEqual(
          found.map(({ value }) => value),
          [{ n, text }],
        );
      }
    });

    test("keeps a value of the largest size and refuses one byte more", async () => {
      const alice = freshAccount();
      const bounded = await open({ maxValueBytes: 8 });
      try {
        const small = store(bounded);
        assert.equal(await small.push(alice, { n: 11 }, 5), "stored");
        assert.ok((await failure(small.push(alice, { n: 111 }, 5))) instanceof StorageError);
        assert.equal(await small.size(alice), 1);
      } finally {
        await bounded.close();
      }
    });

    test("does what a list would, for any run of operations", async () => {
      const operation = fc.oneof(
        fc.record({ type: fc.constant("push" as const), limit: fc.integer({ min: 0, max: 6 }) }),
        fc.record({ type: fc.constant("remove" as const), places: fc.array(fc.nat(7), { maxLength: 4 }) }),
        fc.record({ type: fc.constant("list" as const), max: fc.nat(7), behind: fc.option(fc.nat(7)) }),
        fc.record({ type: fc.constant("clear" as const) }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 14 }), async (operations) => {
          const alice = freshAccount();
          const model: { id: string; n: number }[] = [];
          for (const [n, done] of operations.entries()) {
            if (done.type === "push") {
              const fits = model.length < done.limit;
              assert.equal(await letters.push(alice, { n }, done.limit), fits ? "stored" : "full");
              const last = (await letters.list(alice, MANY)).at(-1);
              if (fits) model.push({ id: last?.id ?? "", n });
            } else if (done.type === "remove") {
              const ids = done.places.map((place) => model[place]?.id ?? "gone");
              const there = model.filter(({ id }) => ids.includes(id));
              assert.deepEqual(
                await letters.remove(alice, ids),
                there.map(({ id }) => id),
              );
              for (const item of there) model.splice(model.indexOf(item), 1);
            } else if (done.type === "list") {
              const place = done.behind === null ? -1 : Math.min(done.behind, model.length - 1);
              const expected = model.slice(place + 1, place + 1 + done.max).map((item) => item.n);
              assert.deepEqual(await numbers(alice, done.max, model[place]?.id), expected);
            } else {
              await letters.clear(alice);
              model.length = 0;
            }
            assert.equal(await letters.size(alice), model.length);
          }
        }),
        { numRuns: runs },
      );
    });
  });
}

function ascending(a: number, b: number): number {
  return a - b;
}

function store(driver: StorageDriver, table = "letters"): QueueStore<Letter> {
  const opened = driver.queue?.(table, json<Letter>());
  assert.ok(opened);
  return opened;
}
