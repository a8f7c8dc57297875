import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { archiveIdAt } from "../../src/storage/archive-id.ts";
import { cutsOf, reversedCuts, reversedId } from "../../src/storage/drivers/riak/cuts.ts";
import {
  lastOf,
  objectKey,
  orderedTerm,
  past,
  rangeStart,
  sortable,
  termOf,
  unsorted,
} from "../../src/storage/drivers/riak/names.ts";
import type { ArchiveRange } from "../../src/storage/specs.ts";

const VISIBLE = /^[\x21-\x7e]*$/;
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("", "!", '"', "#", "%", "~", "a", "a!", "a, b", " "),
);
const id = fc
  .record({ at: fc.integer({ min: 0, max: 9_000_000_000_000 }), nth: fc.nat(999) })
  .map(({ at, nth }) => archiveIdAt(at, nth));

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

test("an encoded text is visible ASCII without a comma and a blank, and is read back", () => {
  fc.assert(
    fc.property(text, (original) => {
      const encoded = sortable(original);
      assert.match(encoded, VISIBLE);
      assert.doesNotMatch(encoded, /[!",]/);
      assert.equal(unsorted(encoded), original);
      assert.equal(lastOf(orderedTerm("example.org", original)), original);
    }),
  );
});

test("encoded texts have the order of the texts' bytes, and terms go part by part", () => {
  fc.assert(
    fc.property(text, text, text, (a, b, c) => {
      assert.equal(Math.sign(byBytes(sortable(a), sortable(b))), Math.sign(byBytes(a, b)));
      if (a !== b) {
        assert.equal(Math.sign(byBytes(termOf(a, c), termOf(b))), Math.sign(byBytes(a, b)));
        assert.equal(Math.sign(byBytes(orderedTerm(c, a), orderedTerm(c, b))), Math.sign(byBytes(a, b)));
      }
    }),
  );
});

test("past a term is behind all that begin with it, and before every other that is behind it", () => {
  fc.assert(
    fc.property(text, text, text, (a, b, more) => {
      assert.ok(termOf(a) < past(termOf(a)));
      assert.ok(termOf(a, more) < past(termOf(a)));
      if (byBytes(b, a) > 0) assert.ok(past(termOf(a)) < termOf(b));
    }),
  );
});

test("parts are told apart, whatever is in them, and long ones have a bound", () => {
  const parts = fc.array(fc.oneof(text, fc.string({ minLength: 190, maxLength: 300 })), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      for (const named of [objectKey, termOf]) {
        assert.equal(named(...a) === named(...b), JSON.stringify(a) === JSON.stringify(b));
        assert.ok(named(...a).length <= 201 * a.length);
        assert.match(named(...a), VISIBLE);
      }
    }),
  );
});

test("a part may be 200 characters long when it is encoded, and is named by its digest from there on", () => {
  assert.equal(objectKey("x".repeat(200)), "x".repeat(200));
  assert.match(objectKey("x".repeat(201)), /^=[0-9a-f]{64}$/);
  assert.equal(termOf("é".repeat(33)), `${"~c3~a9".repeat(33)}!`);
  assert.match(termOf("é".repeat(34)), /^%[0-9a-f]{64}!$/);
  assert.equal(objectKey("roster", "o'brien@example.org"), "roster!o%27brien%40example.org");
});

test("a range starts at or before its term, and fits a request line", () => {
  const longest = orderedTerm("d".repeat(1023), "é".repeat(511));
  assert.ok(longest.length < 4096);
  assert.ok(rangeStart(longest).length <= 1000);
  assert.ok(rangeStart(longest) <= longest);
});

test("a reversed id is an id, counts from the other end, and is itself when it is reversed again", () => {
  fc.assert(
    fc.property(id, id, (a, b) => {
      assert.equal(reversedId(reversedId(a)), a);
      assert.equal(Math.sign(byBytes(reversedId(a), reversedId(b))), -Math.sign(byBytes(a, b)) || 0);
    }),
  );
});

test("the terms between the cuts of a range are those of its items, forwards and backwards alike", () => {
  const time = fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined });
  const ids = fc.uniqueArray(fc.record({ at: fc.nat(40), nth: fc.nat(999) }), { maxLength: 12 });
  fc.assert(
    fc.property(ids, time, time, fc.nat(20), fc.nat(20), (times, start, end, after, before) => {
      const all = times.map(({ at, nth }) => archiveIdAt(at, nth));
      const range: ArchiveRange = { start, end, after: all[after], before: all[before] };
      const wanted = all.filter((each, index) => {
        const at = times[index]?.at ?? 0;
        if (start !== undefined && at < start) return false;
        if (end !== undefined && at > end) return false;
        if (range.after !== undefined && each <= range.after) return false;
        return range.before === undefined || each < range.before;
      });
      const cuts = cutsOf(range);
      if (cuts === undefined) return assert.deepEqual(wanted, []);
      const backwards = reversedCuts(cuts);
      const isIn = (term: string, { low, high }: typeof cuts) => term >= `o!${low}` && term <= `o!${high}`;
      assert.deepEqual(
        all.filter((each) => isIn(termOf("o", each), cuts)),
        wanted,
      );
      assert.deepEqual(
        all.filter((each) => isIn(termOf("o", reversedId(each)), backwards)),
        wanted,
      );
    }),
  );
});

test("nothing is behind or before a text that is no id", () => {
  for (const wrong of ["", "x", "w".repeat(24), archiveIdAt(1).toUpperCase()]) {
    assert.equal(cutsOf({ after: wrong }), undefined);
    assert.equal(cutsOf({ before: wrong }), undefined);
  }
});
