import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { archiveId, archiveIdAt, archiveTime } from "../../../src/storage/archive-id.ts";
import {
  type ArchivedItem,
  type ArchiveStore,
  json,
  type StorageDriver,
  StorageError,
} from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { archiveProperties } from "./archive-properties.ts";
import { describeCapability, failure, freshAccount, freshDomain, longText, ODD_TEXTS, type Open } from "./suite.ts";

export interface Note {
  readonly n: number;
  readonly text?: string;
}

export interface ArchiveFacts {
  /** Runs of each property. */
  readonly runs?: number;
  /** Whether a driver is alone with what it keeps, as one in memory is. */
  readonly alone?: boolean;
}

/** What every archive does. */
export function archiveSuite(name: string, open: Open, { runs = 50, alone = false }: ArchiveFacts = {}): void {
  describeCapability(name, "archive", () => {
    let driver: StorageDriver;
    let other: StorageDriver;
    let notes: ArchiveStore<Note>;
    before(async () => {
      driver = await open();
      other = alone ? driver : await open();
      notes = store(driver);
    });
    after(async () => {
      await driver.close();
      if (!alone) await other.close();
    });

    const bob = new Jid("bob", "example.org");

    test("gives back what was appended, oldest first, from either end", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice, 5);
      assert.deepEqual(await notes.page(alice, { from: "oldest", max: 10 }), { items, complete: true });
      assert.deepEqual(await notes.page(alice, { from: "newest", max: 10 }), { items, complete: true });
      assert.deepEqual(await notes.page(alice, { from: "oldest", max: 2 }), {
        items: items.slice(0, 2),
        complete: false,
      });
      assert.deepEqual(await notes.page(alice, { from: "newest", max: 2 }), { items: items.slice(3), complete: false });
    });

    test("says that a page is the last exactly when nothing is beyond it", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice, 3);
      for (const from of ["oldest", "newest"] as const) {
        assert.equal((await notes.page(alice, { from, max: 2 })).complete, false);
        assert.equal((await notes.page(alice, { from, max: 3 })).complete, true);
        assert.deepEqual(await notes.page(alice, { from, max: 0 }), { items: [], complete: false });
        assert.deepEqual(await notes.page(freshAccount(), { from, max: 0 }), { items: [], complete: true });
      }
      assert.equal((await notes.page(alice, { from: "oldest", max: 1, after: items[1]?.id })).complete, true);
      assert.equal((await notes.page(alice, { from: "newest", max: 1, before: items[1]?.id })).complete, true);
    });

    test("walks an archive in pages, in both directions, without a gap or an item twice", async () => {
      const alice = freshAccount();
      const ids = (await filled(notes, alice, 23)).map(({ id }) => id);
      const forwards: string[] = [];
      for (let after: string | undefined; ; after = forwards.at(-1)) {
        const page = await notes.page(alice, { from: "oldest", max: 5, after });
        forwards.push(...page.items.map(({ id }) => id));
        if (page.complete) break;
      }
      assert.deepEqual(forwards, ids);
      const backwards: string[] = [];
      for (let before: string | undefined; ; before = backwards[0]) {
        const page = await notes.page(alice, { from: "newest", max: 5, before });
        backwards.unshift(...page.items.map(({ id }) => id));
        if (page.complete) break;
      }
      assert.deepEqual(backwards, ids);
    });

    test("takes items that come late into their place, and tells those of one millisecond apart", async () => {
      const alice = freshAccount();
      const ids = Array.from({ length: 6 }, (_, nth) => archiveIdAt(1_700_000_000_000, nth));
      for (const n of [3, 0, 5, 1, 4, 2]) await notes.append(alice, { id: ids[n] as string, with: bob, value: { n } });
      const page = await notes.page(alice, { from: "oldest", max: 4, after: ids[0] });
      assert.deepEqual(
        page.items.map(({ value }) => value.n),
        [1, 2, 3, 4],
      );
      const moment = { start: 1_700_000_000_000, end: 1_700_000_000_000 };
      assert.equal(await notes.count(alice, moment, 100), 6);
      assert.equal(await notes.count(alice, { start: moment.start + 1 }, 100), 0);
      assert.equal(await notes.count(alice, { end: moment.end - 1 }, 100), 0);
    });

    test("leaves an item as it is when its id is appended again", async () => {
      const alice = freshAccount();
      const id = archiveId();
      await notes.append(alice, { id, with: bob, value: { n: 1 } });
      await notes.append(alice, { id, with: bob.withResource("x"), value: { n: 2 } });
      await store(other).append(alice, { id, with: bob, value: { n: 3 } });
      assert.deepEqual(await all(notes, alice), [{ id, with: bob, value: { n: 1 } }]);
      // Of several under way at once, one is kept.
      const same = archiveId();
      await Promise.all(
        [notes, store(other), notes].map((each, n) => each.append(alice, { id: same, with: bob, value: { n } })),
      );
      assert.equal((await all(notes, alice)).length, 2);
    });

    test("loses none of those that two drivers append at once, to one archive and to many", async () => {
      const domain = freshDomain();
      const alice = new Jid("alice", domain);
      const stores = [notes, store(other)];
      const appends = Array.from({ length: 300 }, (_, n) => {
        const owner = n % 3 === 0 ? new Jid(`user${n}`, domain) : alice;
        return stores[n % 2]?.append(owner, { id: archiveId(), with: bob, value: { n } });
      });
      await Promise.all(appends);
      assert.deepEqual(
        (await all(notes, alice)).map(({ value }) => value.n).sort((a, b) => a - b),
        Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 3 !== 0),
      );
      for (let n = 0; n < 300; n += 30)
        assert.equal(await notes.count(new Jid(`user${n}`, domain), {}, 10), 1, String(n));
    });

    test("has committed an item when its promise is settled: another driver sees it", async () => {
      const alice = freshAccount();
      for (let n = 0; n < 5; n++) {
        await notes.append(alice, { id: archiveId(), with: bob, value: { n } });
        assert.equal((await all(store(other), alice)).length, n + 1);
      }
    });

    test("finds items by their ids, and how many there are up to a limit", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice, 6);
      const ids = items.map(({ id }) => id);
      assert.deepEqual(await notes.get(alice, [ids[4] as string, archiveId(), ids[1] as string, "no id"]), [
        items[1],
        items[4],
      ]);
      assert.deepEqual(await notes.get(alice, [ids[2] as string, ids[2] as string]), [items[2]]);
      assert.deepEqual(await notes.get(alice, []), []);
      assert.deepEqual(await notes.get(freshAccount(), ids), []);
      assert.deepEqual(await notes.get(alice, [...Array.from({ length: 700 }, () => archiveId()), ...ids]), items);
      assert.equal(await notes.count(alice, {}, 100), 6);
      assert.equal(await notes.count(alice, {}, 4), 4);
      assert.equal(await notes.count(alice, { after: ids[1], before: ids[4] }, 100), 2);
    });

    test("replaces what an item holds, and nothing else of it", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice, 3);
      assert.equal(await notes.replace(alice, items[1]?.id ?? "", { n: -1 }), "replaced");
      // The same once more is no change to some databases.
      assert.equal(await notes.replace(alice, items[1]?.id ?? "", { n: -1 }), "replaced");
      assert.equal(await notes.replace(alice, archiveId(), { n: -1 }), "missing");
      assert.equal(await notes.replace(alice, "no id", { n: -1 }), "missing");
      assert.equal(await notes.replace(freshAccount(), items[1]?.id ?? "", { n: -1 }), "missing");
      assert.deepEqual(await all(notes, alice), [items[0], { ...items[1], value: { n: -1 } }, items[2]]);
    });

    test("trims an archive to its newest items, and leaves others alone", async () => {
      const alice = freshAccount();
      const carol = new Jid("carol", alice.domain);
      const items = await filled(notes, alice, 250);
      await filled(notes, carol, 2);
      await notes.trim(alice, 251);
      assert.deepEqual(await all(notes, alice), items);
      await notes.trim(alice, 7);
      assert.deepEqual(await all(notes, alice), items.slice(-7));
      await notes.trim(alice, 7);
      await notes.trim(alice, 0);
      await notes.trim(alice, 0);
      assert.deepEqual(await all(notes, alice), []);
      assert.equal((await all(notes, carol)).length, 2);
    });

    test("counts and trims more than one statement would", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice, 4200);
      for (const limit of [0, 1999, 2000, 2001, 4000, 4199, 4200, 9000]) {
        assert.equal(await notes.count(alice, {}, limit), Math.min(limit, 4200));
      }
      assert.equal(await notes.count(alice, { with: bob.withResource("phone") }, 9000), 2100);
      for (const keep of [9000, 4201, 4200, 4001, 4000, 2001]) {
        await notes.trim(alice, keep);
        assert.equal(await notes.count(alice, {}, 9000), Math.min(keep, 4200));
      }
      assert.deepEqual((await notes.page(alice, { from: "oldest", max: 1 })).items, [items[2199]]);
    });

    test("expires what is older than a time, from all archives of its table and no other", async () => {
      const domain = freshDomain();
      const owners = ["alice", "bob", "carol"].map((local) => new Jid(local, domain));
      const kept = store(driver, "kept");
      const old = store(driver, "expiring");
      const at = (month: number, nth = 0) => archiveIdAt(Date.UTC(2020, month, 15), nth);
      const cut = Date.UTC(2020, 3, 15);
      for (const owner of owners) {
        for (let month = 0; month < 7; month++) {
          for (const each of [kept, old]) await each.append(owner, { id: at(month), with: bob, value: { n: month } });
        }
      }
      for (let n = 0; n < 300; n++) await old.append(owners[1] as Jid, { id: at(2, n), with: bob, value: { n } });
      await old.append(owners[0] as Jid, { id: archiveIdAt(cut - 1), with: bob, value: { n: -1 } });
      await old.expire(cut);
      await old.expire(cut);
      for (const owner of owners) {
        assert.deepEqual(
          (await all(old, owner)).map(({ value }) => value.n),
          [3, 4, 5, 6],
        );
        assert.equal((await all(kept, owner)).length, 7);
      }
      await old.append(owners[0] as Jid, { id: at(0), with: bob, value: { n: 0 } });
      assert.equal((await all(old, owners[0] as Jid)).length, 5, "an old item can be put in again");
      await old.expire(0);
      assert.equal((await all(old, owners[0] as Jid)).length, 5);
    });

    test("purges all that an owner has, and nothing of others or of other tables", async () => {
      const alice = freshAccount();
      const carol = new Jid("alicea", alice.domain);
      await filled(notes, alice, 230);
      const others = await filled(notes, carol, 2);
      const rooms = await filled(store(driver, "rooms"), alice, 2);
      await notes.purge(alice);
      await notes.purge(alice);
      assert.deepEqual(await all(notes, alice), []);
      assert.deepEqual(await all(notes, carol), others);
      assert.deepEqual(await all(store(driver, "rooms"), alice), rooms);
    });

    test("takes owners by their bare JID", async () => {
      const alice = freshAccount();
      const items = await filled(notes, alice.withResource("phone"), 1);
      assert.deepEqual(await all(notes, alice.withResource("laptop")), items);
    });

    test("tells odd owners and odd parties apart", async () => {
      const domain = freshDomain();
      const alice = new Jid("alice", domain);
      for (const [n, text] of ODD_TEXTS.entries()) {
        const item = { id: archiveId(), with: new Jid("bob", domain, text), value: { n, text } };
        await notes.append(new Jid(text, domain), item);
        await notes.append(alice, item);
      }
      for (const [n, text] of ODD_TEXTS.entries()) {
        const party = new Jid("bob", domain, text);
        const found = await notes.page(alice, { from: "oldest", max: 10, with: party });
        assert.deepEqual(
          found.items.map((item) => [item.with, item.value]),
          [[party, { n, text }]],
          text,
        );
        assert.equal(await notes.count(new Jid(text, domain), {}, 10), 1, text);
      }
      assert.equal(await notes.count(alice, { with: new Jid("bob", domain) }, 1000), ODD_TEXTS.length);
    });

    test("keeps parties and owners as long as addresses can be, and tells their ends apart", async () => {
      const owner = new Jid(longText(1, 341), `${freshDomain()}${longText(2, 320)}`);
      const parties = ["a", "b"].flatMap((end) => [
        new Jid(`${longText(3, 340)}${end}`, longText(4, 341)),
        new Jid(longText(5, 341), longText(6, 341), `${longText(7, 340)}${end}`),
      ]);
      for (const [n, party] of parties.entries()) {
        await notes.append(owner, { id: archiveId(), with: party, value: { n } });
      }
      for (const [n, party] of parties.entries()) {
        const { items } = await notes.page(owner, { from: "newest", max: 10, with: party });
        assert.deepEqual(
          items.map((item) => [item.with, item.value.n]),
          [[party, n]],
        );
      }
      assert.equal(await notes.count(owner, { with: (parties[1] as Jid).toBare() }, 10), 2);
    });

    test("keeps any value that is a text to all databases, and refuses the others", async () => {
      const alice = freshAccount();
      const texts = driver.archive?.("texts", { encode: (text: string) => text, decode: (text) => text });
      assert.ok(texts);
      const kept = [
        "",
        "\u0001\u001f\u007f",
        "\ufeff\ufffe",
        "e\u0301 ﬀ \u{10ffff} 😀",
        "'\"\\%_$1{}",
        " a ",
        ...ODD_TEXTS,
      ];
      for (const value of kept) await texts.append(alice, { id: archiveId(), with: bob, value });
      for (const value of ["a\u0000b", "\ud800", "\udc00\ud800"]) {
        const error = await failure(texts.append(alice, { id: archiveId(), with: bob, value }));
        assert.ok(error instanceof StorageError);
      }
      const { items } = await texts.page(alice, { from: "oldest", max: 100 });
      assert.deepEqual(
        items.map(({ value }) => value),
        kept,
      );
    });

    test("keeps a value of the largest size and refuses one byte more, appended or put in its place", async () => {
      const alice = freshAccount();
      const bounded = await open({ maxValueBytes: 8 });
      try {
        const small = store(bounded);
        const id = archiveId();
        await small.append(alice, { id, with: bob, value: { n: 11 } });
        const large = small.append(alice, { id: archiveId(), with: bob, value: { n: 111 } });
        assert.ok((await failure(large)) instanceof StorageError);
        assert.ok((await failure(small.replace(alice, id, { n: 112 }))) instanceof StorageError);
        assert.deepEqual(await all(small, alice), [{ id, with: bob, value: { n: 11 } }]);
      } finally {
        await bounded.close();
      }
    });

    test("refuses what is no id, which is a mistake of who made it", async () => {
      const alice = freshAccount();
      for (const id of ["", "1", "z".repeat(24), `${archiveId()}0`]) {
        assert.ok((await failure(notes.append(alice, { id, with: bob, value: { n: 1 } }))) instanceof TypeError);
      }
      assert.equal(archiveTime(archiveId(1_700_000_000_000)) !== undefined, true);
    });

    test("gives copies", async () => {
      const alice = freshAccount();
      const value = { n: 1, text: "mine" };
      const appended = notes.append(alice, { id: archiveId(), with: bob, value });
      value.text = "changed";
      await appended;
      const [item] = await all(notes, alice);
      (item?.value as { text: string }).text = "changed";
      assert.equal((await all(notes, alice))[0]?.value.text, "mine");
    });

    archiveProperties(() => notes, runs);
  });
}

export function store(driver: StorageDriver, table = "notes"): ArchiveStore<Note> {
  const opened = driver.archive?.(table, json<Note>());
  assert.ok(opened);
  return opened;
}

/** So many items, made now. */
async function filled(archive: ArchiveStore<Note>, owner: Jid, count: number): Promise<ArchivedItem<Note>[]> {
  const items = Array.from({ length: count }, (_, n) => ({
    id: archiveId(),
    with: new Jid("bob", "example.org", n % 2 === 0 ? "" : "phone"),
    value: { n },
  }));
  await Promise.all(items.map((item) => archive.append(owner, item)));
  return items;
}

async function all(archive: ArchiveStore<Note>, owner: Jid): Promise<readonly ArchivedItem<Note>[]> {
  return (await archive.page(owner, { from: "oldest", max: 1000 })).items;
}
