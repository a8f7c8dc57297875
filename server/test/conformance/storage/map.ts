import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { json, type MapStore, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { describeCapability, failure, freshAccount, freshDomain, ODD_TEXTS, type Open } from "./suite.ts";

interface Item {
  readonly n: number;
  readonly tags?: string[];
}

/** What every store of keyed items does. */
export function mapSuite(name: string, open: Open, { runs = 50 } = {}): void {
  describeCapability(name, "map", () => {
    let driver: StorageDriver;
    let items: MapStore<Item>;
    before(async () => {
      driver = await open();
      items = store(driver);
    });
    after(() => driver.close());

    test("gives back what was set, one by one and all together", async () => {
      const alice = freshAccount();
      assert.equal(await items.get(alice, "a"), undefined);
      assert.deepEqual(await items.list(alice), new Map());
      await items.set(alice, "a", { n: 1 });
      await items.set(alice, "b", { n: 2 });
      await items.set(alice, "a", { n: 3 });
      assert.deepEqual(await items.get(alice, "a"), { n: 3 });
      assert.deepEqual(await sorted(items, alice), [
        ["a", { n: 3 }],
        ["b", { n: 2 }],
      ]);
    });

    test("removes one item, or all of an owner's", async () => {
      const alice = freshAccount();
      const bob = new Jid("bob", alice.domain);
      for (const key of ["a", "b", "c"]) await items.set(alice, key, { n: 1 });
      await items.set(bob, "a", { n: 2 });
      await items.remove(alice, "b");
      await items.remove(alice, "missing");
      assert.deepEqual([...(await items.list(alice)).keys()].sort(), ["a", "c"]);
      await items.clear(alice);
      assert.deepEqual(await items.list(alice), new Map());
      assert.deepEqual(await items.get(bob, "a"), { n: 2 });
    });

    test("tells odd keys and odd owners apart", async () => {
      const domain = freshDomain();
      for (const [n, text] of ODD_TEXTS.entries()) {
        await items.set(new Jid("alice", domain), text, { n });
        await items.set(new Jid(text, domain), "key", { n });
      }
      for (const [n, text] of ODD_TEXTS.entries()) {
        assert.deepEqual(await items.get(new Jid("alice", domain), text), { n }, text);
        assert.deepEqual(await items.get(new Jid(text, domain), "key"), { n }, text);
      }
      assert.deepEqual([...(await items.list(new Jid("alice", domain))).keys()].sort(), ODD_TEXTS.toSorted());
    });

    test("takes owners by their bare JID, and keeps stores of other names apart", async () => {
      const alice = freshAccount();
      await items.set(alice.withResource("phone"), "a", { n: 1 });
      assert.deepEqual(await items.get(alice.withResource("laptop"), "a"), { n: 1 });
      assert.equal(await store(driver, "items_2").get(alice, "a"), undefined);
    });

    test("keeps keys and owners as long as addresses can be, and tells their ends apart", async () => {
      // Without repetition, for a database may compress what it indexes.
      const long = (seed: number, length: number) =>
        Array.from({ length }, (_, index) => String.fromCodePoint(0x4e00 + ((index * 7919 + seed * 104_729) % 20_000)))
          .join("")
          .slice(0, length);
      const owner = new Jid(long(1, 341), `${freshDomain()}${long(2, 320)}`);
      for (const length of [84, 85, 86, 1023]) {
        await items.set(owner, `${long(3, length)}a`, { n: length });
        await items.set(owner, `${long(3, length)}b`, { n: -length });
      }
      for (const length of [84, 85, 86, 1023]) {
        assert.deepEqual(await items.get(owner, `${long(3, length)}a`), { n: length });
        await items.update(owner, `${long(3, length)}b`, (present) => ({ n: (present?.n ?? 0) - 1 }));
      }
      assert.equal((await items.list(owner)).get(`${long(3, 1023)}b`)?.n, -1024);
      await items.remove(owner, `${long(3, 1023)}a`);
      assert.equal((await items.list(owner)).size, 7);
    });

    test("updates: makes, changes, removes, and leaves alone", async () => {
      const alice = freshAccount();
      const seen: (Item | undefined)[] = [];
      const update = (to: Item | undefined) =>
        items.update(alice, "a", (present) => {
          seen.push(present);
          return to;
        });
      assert.equal(await update(undefined), undefined);
      assert.deepEqual(await update({ n: 1 }), { n: 1 });
      assert.deepEqual(await update({ n: 2 }), { n: 2 });
      assert.deepEqual(await items.get(alice, "a"), { n: 2 });
      assert.equal(await update(undefined), undefined);
      assert.equal(await items.get(alice, "a"), undefined);
      assert.deepEqual(seen, [undefined, undefined, { n: 1 }, { n: 2 }]);
    });

    test("keeps the old item when the change throws, and passes the error on", async () => {
      const alice = freshAccount();
      await items.set(alice, "a", { n: 1 });
      const refusal = new RangeError("not so");
      const error = await failure(
        items.update(alice, "a", () => {
          throw refusal;
        }),
      );
      assert.equal(error, refusal);
      assert.deepEqual(await items.get(alice, "a"), { n: 1 });
      // Nothing stays locked.
      assert.deepEqual(await items.update(alice, "a", () => ({ n: 2 })), { n: 2 });
    });

    test("loses no update among many at once, on an item that was not there", async () => {
      const alice = freshAccount();
      await Promise.all(
        Array.from({ length: 40 }, () => items.update(alice, "a", (present) => ({ n: (present?.n ?? 0) + 1 }))),
      );
      assert.deepEqual(await items.get(alice, "a"), { n: 40 });
    });

    test("updates several keys together: makes, changes, removes, and leaves alone", async () => {
      const alice = freshAccount();
      await items.set(alice, "a", { n: 1 });
      await items.set(alice, "other", { n: 9 });
      const together = async (keys: string[], to: [string, Item][]) => {
        let seen: [string, Item][] = [];
        await items.updateTogether(alice, keys, (present) => {
          seen = [...present].sort();
          return new Map(to);
        });
        return seen;
      };
      assert.deepEqual(
        await together(
          ["a", "b", ""],
          [
            ["a", { n: 2 }],
            ["b", { n: 3 }],
          ],
        ),
        [["a", { n: 1 }]],
      );
      // Only what was named is touched.
      assert.deepEqual(
        await together(
          ["b", "a"],
          [
            ["b", { n: 3 }],
            ["other", { n: 4 }],
          ],
        ),
        [
          ["a", { n: 2 }],
          ["b", { n: 3 }],
        ],
      );
      assert.deepEqual(await sorted(items, alice), [
        ["b", { n: 3 }],
        ["other", { n: 9 }],
      ]);
    });

    test("keeps all of the old items when the change throws, or when one of the new ones is too large", async () => {
      const alice = freshAccount();
      const bounded = await open({ maxValueBytes: 8 });
      try {
        const small = store(bounded);
        await small.set(alice, "a", { n: 1 });
        const refusal = new RangeError("not so");
        const thrown = small.updateTogether(alice, ["a", "b"], () => {
          throw refusal;
        });
        assert.equal(await failure(thrown), refusal);
        const large = small.updateTogether(
          alice,
          ["a", "b"],
          () =>
            new Map([
              ["a", { n: 2 }],
              ["b", { n: 111 }],
            ]),
        );
        assert.ok((await failure(large)) instanceof StorageError);
        assert.deepEqual(await sorted(small, alice), [["a", { n: 1 }]]);
        // Nothing stays locked, and nothing made for the lock stays behind.
        await small.updateTogether(alice, ["a", "b"], () => new Map([["b", { n: 3 }]]));
        assert.deepEqual(await sorted(small, alice), [["b", { n: 3 }]]);
      } finally {
        await bounded.close();
      }
    });

    test("loses no update among many together, whatever order they name the keys in, and shows none by half", async () => {
      const alice = freshAccount();
      const bump = (keys: string[]) =>
        items.updateTogether(
          alice,
          keys,
          (present) => new Map(keys.map((key) => [key, { n: (present.get(key)?.n ?? 0) + 1 }])),
        );
      const halves: unknown[] = [];
      const look = async () => {
        const all = await items.list(alice);
        if (all.get("a")?.n !== all.get("b")?.n) halves.push(all);
      };
      await Promise.all(
        Array.from({ length: 30 }, (_, i) => [bump(i % 2 === 0 ? ["a", "b"] : ["b", "a"]), look()]).flat(),
      );
      assert.deepEqual(await sorted(items, alice), [
        ["a", { n: 30 }],
        ["b", { n: 30 }],
      ]);
      assert.deepEqual(halves, []);
    });

    test("finds what many owners have under one key", async () => {
      const domain = freshDomain();
      const owners = Array.from({ length: 5 }, (_, n) => new Jid(`user${n}`, domain));
      for (const [n, owner] of owners.entries()) {
        if (n === 3) continue;
        await items.set(owner, "a", { n });
        await items.set(owner, "b", { n: -n });
      }
      const found = await items.getEach([...owners, owners[0]?.withResource("phone") as Jid], "a");
      assert.deepEqual(
        [...found].sort(([a], [b]) => (a < b ? -1 : 1)),
        [0, 1, 2, 4].map((n) => [`user${n}@${domain}`, { n }]),
      );
      assert.deepEqual(await items.getEach([], "a"), new Map());
      const many = Array.from({ length: 1200 }, (_, n) => new Jid(`user${n}`, domain));
      assert.equal((await items.getEach(many, "a")).size, 4);
    });

    test("gives copies", async () => {
      const alice = freshAccount();
      const item = { n: 1, tags: ["x"] };
      await items.set(alice, "a", item);
      item.tags.push("y");
      (await items.get(alice, "a"))?.tags?.push("z");
      (await items.list(alice)).get("a")?.tags?.push("z");
      await items.update(alice, "b", () => item);
      item.tags.push("later");
      assert.deepEqual(await items.get(alice, "a"), { n: 1, tags: ["x"] });
      assert.deepEqual(await items.get(alice, "b"), { n: 1, tags: ["x", "y"] });
    });

    test("keeps an item of the largest size and refuses one byte more, set or updated", async () => {
      const alice = freshAccount();
      const bounded = await open({ maxValueBytes: 8 });
      try {
        const small = store(bounded);
        await small.set(alice, "a", { n: 11 });
        await small.update(alice, "a", () => ({ n: 12 }));
        assert.ok((await failure(small.set(alice, "a", { n: 111 }))) instanceof StorageError);
        assert.ok((await failure(small.update(alice, "a", () => ({ n: 112 })))) instanceof StorageError);
        assert.deepEqual(await small.get(alice, "a"), { n: 12 });
      } finally {
        await bounded.close();
      }
    });

    test("does what a Map would, for any run of operations", async () => {
      const key = fc.oneof(fc.constantFrom("a", "b", "A"), fc.string({ unit: "grapheme", minLength: 1 }));
      const operation = fc.oneof(
        fc.record({ type: fc.constant("set" as const), key, n: fc.nat() }),
        fc.record({ type: fc.constant("bump" as const), key, n: fc.nat() }),
        fc.record({ type: fc.constant("remove" as const), key, n: fc.nat() }),
        fc.record({ type: fc.constant("clear" as const), key, n: fc.constant(0) }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
          const alice = freshAccount();
          const model = new Map<string, Item>();
          for (const { type, key, n } of operations) {
            if (type === "set") {
              await items.set(alice, key, { n });
              model.set(key, { n });
            } else if (type === "bump") {
              await items.update(alice, key, (present) => ({ n: (present?.n ?? 0) + n }));
              model.set(key, { n: (model.get(key)?.n ?? 0) + n });
            } else if (type === "remove") {
              await items.remove(alice, key);
              model.delete(key);
            } else {
              await items.clear(alice);
              model.clear();
            }
          }
          assert.deepEqual(await items.list(alice), model);
        }),
        { numRuns: runs },
      );
    });
  });
}

function store(driver: StorageDriver, table = "items"): MapStore<Item> {
  const opened = driver.map?.(table, json<Item>());
  assert.ok(opened);
  return opened;
}

async function sorted(items: MapStore<Item>, owner: Jid): Promise<readonly [string, Item][]> {
  return [...(await items.list(owner))].sort(([a], [b]) => (a < b ? -1 : 1));
}
