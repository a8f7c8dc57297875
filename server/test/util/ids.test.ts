import assert from "node:assert/strict";
import { test } from "node:test";
import { randomId } from "../../src/util/ids.ts";

test("an id has six bits a character, and only characters that a URL may hold", () => {
  assert.match(randomId(), /^[A-Za-z0-9_-]{22}$/);
  assert.match(randomId(9), /^[A-Za-z0-9_-]{12}$/);
});

test("no id comes twice, also where the random bytes are fetched anew", () => {
  const ids = new Set(Array.from({ length: 1000 }, () => randomId(9 + Math.floor(Math.random() * 9))));
  assert.equal(ids.size, 1000);
});

test("an id may be as long as what is fetched at a time, and no longer", () => {
  assert.equal(randomId(4096).length, Math.ceil((4096 * 4) / 3));
  assert.throws(() => randomId(4097), RangeError);
});
