import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { prepareLocal, preparePassword, prepareResource, prepareScramPassword } from "../../src/xmpp/precis.ts";

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.string({ unit: "grapheme", maxLength: 8 }),
  fc.array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 4 }).map((points) => String.fromCodePoint(...points)),
);
const table = (
  prepare: (text: string) => string | undefined,
  rows: readonly (readonly [string, string | undefined])[],
) => {
  for (const [text, prepared] of rows) assert.equal(prepare(text), prepared, JSON.stringify(text));
};

describe("a local part", () => {
  test("is folded to lower case, to normal width and to composed form", () => {
    table(prepareLocal, [
      ["Alice", "alice"],
      ["\uff21\uff4c\uff49\uff43\uff45", "alice"],
      ["\uff76\uff9e", "\u30ac"],
      ["A\u030angstro\u0308m", "\u00e5ngstr\u00f6m"],
      ["\u0130", "i\u0307"],
      ["STRASSE", "strasse"],
      ["Stra\u00dfe", "stra\u00dfe"],
      ["\u03a3\u03a3", "\u03c3\u03c2"],
      ["\u0416\u0418", "\u0436\u0438"],
      ["alice.b+c_d-e!#$%^*()=?[]\\`{}|~", "alice.b+c_d-e!#$%^*()=?[]\\`{}|~"],
    ]);
  });

  test("has none of the characters of RFC 7622 3.3.1, in any width, and no space", () => {
    for (const excluded of [
      '"',
      "&",
      "'",
      "/",
      ":",
      "<",
      ">",
      "@",
      " ",
      "\uff20",
      "\uff0f",
      "\uff1a",
      "\u3000",
      "\u00a0",
      "\t",
      "\u007f",
    ]) {
      assert.equal(prepareLocal(`a${excluded}b`), undefined, JSON.stringify(excluded));
    }
  });

  test("has no symbols, compatibility forms, ignorables, old jamo, unassigned or private code points", () => {
    for (const text of [
      "\u2163",
      "\u265a",
      "\u{1f600}",
      "\ufb01",
      "a\u200b",
      "a\u00ad",
      "\u1100",
      "\u0378",
      "\ue000",
      "\u0640",
      "\ufeff",
      "\ud800",
    ]) {
      assert.equal(prepareLocal(text), undefined, JSON.stringify(text));
    }
  });

  test("has code points of context only in it (RFC 5892 A)", () => {
    table(prepareLocal, [
      ["l\u00b7l", "l\u00b7l"],
      ["a\u00b7l", undefined],
      ["\u0375\u03b1", "\u0375\u03b1"],
      ["\u0375a", undefined],
      ["\u05d0\u05f3", "\u05d0\u05f3"],
      ["a\u05f3", undefined],
      ["\u30ab\u30fb", "\u30ab\u30fb"],
      ["a\u30fb", undefined],
      ["\u0628\u0661", "\u0628\u0661"],
      ["\u0628\u0661\u06f1", undefined],
      ["\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"],
      ["\u0915\u094d\u200c\u0937", "\u0915\u094d\u200c\u0937"],
      ["a\u200db", undefined],
    ]);
  });

  test("has a zero-width non-joiner only between letters that would be joined (RFC 5892 A.1)", () => {
    const [heh, alef, beh, fatha, joiner] = ["\u0647", "\u0627", "\u0628", "\u064e", "\u200c"];
    for (const local of [
      `${heh}${joiner}${alef}`,
      `${heh}${joiner}${beh}`,
      `${beh}${fatha}${joiner}${fatha}${fatha}${beh}`,
      `\u0646\u0627\u0645${heh}${joiner}${alef}\u06cc`,
      // Phags-pa, left to right, with the one letter that joins only what comes next.
      `\ua872${joiner}\ua840`,
    ]) {
      assert.equal(prepareLocal(local), local, JSON.stringify(local));
    }
    for (const local of [
      `${alef}${joiner}${beh}`,
      `${beh}${joiner}`,
      `${joiner}${beh}`,
      `${beh}${joiner}${joiner}${beh}`,
      `${beh}${joiner}1`,
      `a${joiner}b`,
      `${heh}\u200d${alef}`,
      `\ua840${joiner}\ua872`,
    ]) {
      assert.equal(prepareLocal(local), undefined, JSON.stringify(local));
    }
  });

  test("is what RFC 8265 3.6 says it is, the at sign apart", () => {
    table(prepareLocal, [
      ["juliet@example.com", undefined],
      ["fussball", "fussball"],
      ["fu\u00dfball", "fu\u00dfball"],
      ["\u03c0", "\u03c0"],
      ["\u03a3", "\u03c3"],
      ["\u03c3", "\u03c3"],
      ["\u03c2", "\u03c2"],
      ["foo bar", undefined],
      ["", undefined],
      ["henry\u2163", undefined],
      ["\u221e", undefined],
    ]);
  });

  test("obeys the bidi rule (RFC 5893 2)", () => {
    table(prepareLocal, [
      ["\u05d0\u05d1", "\u05d0\u05d1"],
      ["\u05d01", "\u05d01"],
      ["\u05d0\u05b0", "\u05d0\u05b0"],
      ["1\u05d0", undefined],
      ["a\u05d0", undefined],
      ["\u05d0a", undefined],
      ["\u05d0-", undefined],
      ["\u06281\u0661", undefined],
      ["\u0661", undefined],
    ]);
  });
});

describe("a resource", () => {
  test("keeps case and width, and turns every space into the ASCII one", () => {
    table(prepareResource, [
      ["Phone", "Phone"],
      ["\uff30hone", "\uff30hone"],
      ["my\u3000phone", "my phone"],
      ["e\u0301", "\u00e9"],
      ["\u265a \u{1f600}", "\u265a \u{1f600}"],
      ["trailing ", "trailing "],
    ]);
  });

  test("has no leading space, control, ignorable, jamo, private or unassigned code point, and is not empty", () => {
    for (const text of [
      "",
      " a",
      "\u00a0a",
      "a\u0007",
      "a\n",
      "\u200b",
      "\u2764\ufe0f",
      "\u1100",
      "\ue000",
      "\u0378",
      "\ufffe",
    ]) {
      assert.equal(prepareResource(text), undefined, JSON.stringify(text));
    }
  });
});

describe("a password", () => {
  test("is prepared as an opaque string, spaces at its edges included (RFC 8265 4.3)", () => {
    table(preparePassword, [
      ["correct horse battery staple", "correct horse battery staple"],
      [" Correct Horse ", " Correct Horse "],
      ["\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5"],
      ["Jack of \u2666s", "Jack of \u2666s"],
      ["foo\u1680bar", "foo bar"],
      ["", undefined],
      ["my cat is a \u0009by", undefined],
    ]);
  });

  test("is prepared for SCRAM by SASLprep (RFC 4013 3)", () => {
    table(prepareScramPassword, [
      ["I\u00adX", "IX"],
      ["user", "user"],
      ["USER", "USER"],
      ["\u00aa", "a"],
      ["\u2168", "IX"],
      ["\u0007", undefined],
      ["\u06271", undefined],
      ["\u{1f600}", "\u{1f600}"],
      ["\u00ad", undefined],
      ["", undefined],
    ]);
  });

  test("is at most 1023 bytes long", () => {
    for (const prepare of [preparePassword, prepareScramPassword]) {
      assert.notEqual(prepare("a".repeat(1023)), undefined);
      assert.equal(prepare("a".repeat(1024)), undefined);
      assert.notEqual(prepare("\u03c0".repeat(511)), undefined);
      assert.equal(prepare("\u03c0".repeat(512)), undefined);
    }
  });
});

for (const prepare of [prepareLocal, prepareResource, preparePassword, prepareScramPassword]) {
  test(`${prepare.name} changes nothing the second time, and never throws`, () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const once = prepare(text);
        if (once !== undefined) assert.equal(prepare(once), once);
      }),
      { numRuns: 5000 },
    );
  });
}
