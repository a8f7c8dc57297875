import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { json, type KeyValueStore, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { describeCapability, failure, freshAccount, freshDomain, ODD_TEXTS, type Open } from "./suite.ts";

interface Note {
  readonly text: string;
  readonly list?: number[];
}

/** What every store of single values does. */
export function keyValueSuite(name: string, open: Open, { largest = 1024 * 1024 } = {}): void {
  describeCapability(name, "keyValue", () => {
    let driver: StorageDriver;
    let notes: KeyValueStore<Note>;
    before(async () => {
      driver = await open();
      notes = store(driver, "notes");
    });
    after(() => driver.close());

    test("gives back what was set, replaces it, and forgets it", async () => {
      const alice = freshAccount();
      assert.equal(await notes.get(alice), undefined);
      await notes.set(alice, { text: "one", list: [1, 2.5, -3] });
      assert.deepEqual(await notes.get(alice), { text: "one", list: [1, 2.5, -3] });
      await notes.set(alice, { text: "two" });
      assert.deepEqual(await notes.get(alice), { text: "two" });
      await notes.remove(alice);
      await notes.remove(alice);
      assert.equal(await notes.get(alice), undefined);
    });

    test("takes owners by their bare JID, and a host as an owner of its own", async () => {
      const alice = freshAccount();
      await notes.set(alice.withResource("phone"), { text: "alice" });
      await notes.set(new Jid("", alice.domain), { text: "host" });
      assert.deepEqual(await notes.get(alice.withResource("laptop")), { text: "alice" });
      assert.deepEqual(await notes.get(new Jid("", alice.domain)), { text: "host" });
    });

    test("keeps stores of other names apart, and opens the same one by the same name", async () => {
      const alice = freshAccount();
      await notes.set(alice, { text: "a note" });
      assert.equal(await store(driver, "notes_2").get(alice), undefined);
      assert.deepEqual(await store(driver, "notes").get(alice), { text: "a note" });
    });

    test("tells odd owners and odd values apart", async () => {
      const domain = freshDomain();
      for (const text of ODD_TEXTS) await notes.set(new Jid(text, domain), { text });
      for (const text of ODD_TEXTS) assert.deepEqual(await notes.get(new Jid(text, domain)), { text });
    });

    test("keeps a NUL and half a surrogate pair inside a JSON value", async () => {
      const alice = freshAccount();
      await notes.set(alice, { text: "\u0000 \ud800" });
      assert.deepEqual(await notes.get(alice), { text: "\u0000 \ud800" });
    });

    test("gives copies", async () => {
      const alice = freshAccount();
      const note = { text: "mine", list: [1] };
      await notes.set(alice, note);
      note.list.push(2);
      (await notes.get(alice))?.list?.push(3);
      assert.deepEqual(await notes.get(alice), { text: "mine", list: [1] });
    });

    test("keeps a value of the largest size and refuses one byte more", async () => {
      const alice = freshAccount();
      const bounded = await open({ maxValueBytes: 40 });
      try {
        const small = store(bounded, "notes");
        // {"text":""} takes 11 bytes, and é two.
        await small.set(alice, { text: `${"é".repeat(14)}e` });
        const error = await failure(small.set(alice, { text: "é".repeat(15) }));
        assert.ok(error instanceof StorageError);
        assert.match(error.message, /41 bytes; at most 40/);
        assert.deepEqual(await small.get(alice), { text: `${"é".repeat(14)}e` });
      } finally {
        await bounded.close();
      }
    });

    test(`keeps ${largest} bytes unless told otherwise`, async () => {
      const alice = freshAccount();
      const text = "x".repeat(largest - 11);
      await notes.set(alice, { text });
      assert.equal((await notes.get(alice))?.text.length, text.length);
      assert.ok((await failure(notes.set(alice, { text: `${text}x` }))) instanceof StorageError);
    });

    test("refuses a store whose name is no name", () => {
      for (const table of ["", "Notes", "no tes", "notes;", "n".repeat(64)]) {
        assert.throws(() => store(driver, table), TypeError);
      }
    });

    test("answers that it is healthy", async () => {
      assert.equal(await driver.healthy(), true);
    });
  });
}

function store(driver: StorageDriver, table: string): KeyValueStore<Note> {
  const opened = driver.keyValue?.(table, json<Note>());
  assert.ok(opened);
  return opened;
}
