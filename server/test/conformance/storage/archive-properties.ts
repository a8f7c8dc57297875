import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { archiveIdAt, archiveTime } from "../../../src/storage/archive-id.ts";
import type { ArchivedItem, ArchiveQuery, ArchiveRange, ArchiveStore } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import type { Note } from "./archive.ts";
import { freshAccount } from "./suite.ts";

/** Milliseconds, few and close together, some of them in other months. */
const BASE = Date.UTC(2021, 0, 31, 23, 59, 59, 998);
const time = fc
  .oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(40 * 86_400_000, 80 * 86_400_000))
  .map((ms) => BASE + ms);
const party = fc
  .tuple(
    fc.constantFrom("", "bob", "Bob", "boba"),
    fc.constantFrom("example.org", "b.example"),
    fc.constantFrom("", "a", "a/b", "A", "a "),
  )
  .map(([local, domain, resource]) => new Jid(local, domain, resource));

const archived = fc.uniqueArray(fc.record({ at: time, nth: fc.nat(3), with: party, n: fc.nat() }), {
  maxLength: 12,
  selector: ({ at, nth }) => `${at} ${nth}`,
});

/** An id by its place among those there are, or were; or what is none. */
const place = fc.option(fc.oneof(fc.nat(20), fc.constantFrom("", "~", "no id", "0".repeat(24), "v".repeat(24))), {
  nil: undefined,
});

const range = fc.record({
  with: fc.option(party, { nil: undefined }),
  start: fc.option(fc.oneof(time, fc.constantFrom(-5, 0, BASE + 0.5)), { nil: undefined }),
  end: fc.option(fc.oneof(time, fc.constantFrom(-5, BASE + 1.5, 8_000_000_000_000)), { nil: undefined }),
  after: place,
  before: place,
});
const query = fc.record({ range, from: fc.constantFrom("oldest" as const, "newest" as const), max: fc.nat(14) });

/** Any page and any count are those of a plain list. */
export function archiveProperties(archive: () => ArchiveStore<Note>, runs: number): void {
  test("gives the pages that a plain list would, for any items and any query", async () => {
    await fc.assert(
      fc.asyncProperty(
        archived,
        fc.nat(4),
        fc.array(query, { minLength: 1, maxLength: 8 }),
        async (made, trimmed, asked) => {
          const alice = freshAccount();
          const items = made.map(({ at, nth, with: other, n }) => ({
            id: archiveIdAt(at, nth),
            with: other,
            value: { n },
          }));
          await Promise.all(items.map((item) => archive().append(alice, item)));
          items.sort((a, b) => (a.id < b.id ? -1 : 1));
          const ids = items.map(({ id }) => id);
          // Ids of items that are gone are places all the same.
          const keep = Math.max(items.length - trimmed, 0);
          await archive().trim(alice, keep);
          const model = keep === 0 ? [] : items.slice(-keep);
          const idAt = (at: string | number | undefined) =>
            typeof at === "number" ? (ids[at] ?? archiveIdAt(BASE + 2)) : at;
          for (const { range: chosen, from, max } of asked) {
            const wanted = { ...chosen, after: idAt(chosen.after), before: idAt(chosen.before), from, max };
            assert.deepEqual(await archive().page(alice, wanted), pageOf(model, wanted));
            assert.equal(await archive().count(alice, wanted, max), Math.min(inRange(model, wanted).length, max));
          }
        },
      ),
      { numRuns: runs },
    );
  });
}

function inRange(model: readonly ArchivedItem<Note>[], range: ArchiveRange) {
  const isId = (text: string) => archiveTime(text) !== undefined;
  return model.filter(({ id, with: other }) => {
    const at = archiveTime(id) as number;
    if (
      range.with !== undefined &&
      other.full !== range.with.full &&
      !(range.with.isBare && other.bare === range.with.bare)
    )
      return false;
    if (range.start !== undefined && at < Math.floor(range.start)) return false;
    if (range.end !== undefined && at > range.end) return false;
    if (range.after !== undefined && !(isId(range.after) && id > range.after)) return false;
    return range.before === undefined || (isId(range.before) && id < range.before);
  });
}

function pageOf(model: readonly ArchivedItem<Note>[], asked: ArchiveQuery) {
  const found = inRange(model, asked);
  const items = asked.from === "oldest" ? found.slice(0, asked.max) : asked.max === 0 ? [] : found.slice(-asked.max);
  return { items, complete: items.length === found.length };
}
