import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { editDistance, nearest } from "../../src/config/nearest.ts";

test("the distance counts letters put in, taken out, changed, and swapped with a neighbour", () => {
  assert.equal(editDistance("inbox", "inbox"), 0);
  assert.equal(editDistance("inbx", "inbox"), 1);
  assert.equal(editDistance("inbbox", "inbox"), 1);
  assert.equal(editDistance("imbox", "inbox"), 1);
  assert.equal(editDistance("ibnox", "inbox"), 1);
  assert.equal(editDistance("", "inbox"), 5);
  assert.equal(editDistance("rate", "burst"), 4);
});

test("the distance is the same both ways, and nought for equal words alone", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c", "_"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(editDistance(b, a), distance);
      assert.equal(distance === 0, a === b);
      assert.ok(distance >= Math.abs(a.length - b.length) && distance <= Math.max(a.length, b.length));
    }),
  );
});

for (const [word, meant] of [
  ["stanza_sze", "stanza_size"],
  ["stanza-size", "stanza_size"],
  ["Stanza_Size", "stanza_size"],
  ["stanzasize", "stanza_size"],
  ["ibnox", "inbox"],
  ["rat", "rate"],
  ["bucket", undefined],
  ["x", undefined],
  ["", undefined],
] as const) {
  test(`"${word}" is ${meant === undefined ? "no word that is known" : `meant to be "${meant}"`}`, () => {
    assert.equal(nearest(word, ["inbox", "rate", "stanza_size", "start_tag_size"]), meant);
  });
}
