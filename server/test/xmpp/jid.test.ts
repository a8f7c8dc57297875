import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import fc from "fast-check";
import { Jid, makeJid, parseJid, prepareDomain, rememberJids } from "../../src/xmpp/jid.ts";

/** RFC 7622 3.5, table 1: [example, local, domain, resource]. */
const VALID: readonly (readonly [string, string, string, string])[] = [
  ["juliet@example.com", "juliet", "example.com", ""],
  ["juliet@example.com/foo", "juliet", "example.com", "foo"],
  ["juliet@example.com/foo bar", "juliet", "example.com", "foo bar"],
  ["juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"],
  ["foo\\20bar@example.com", "foo\\20bar", "example.com", ""],
  ["fussball@example.com", "fussball", "example.com", ""],
  ["fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""],
  ["\u03c0@example.com", "\u03c0", "example.com", ""],
  ["\u03a3@example.com/foo", "\u03c3", "example.com", "foo"],
  ["\u03c3@example.com/foo", "\u03c3", "example.com", "foo"],
  ["\u03c2@example.com/foo", "\u03c2", "example.com", "foo"],
  ["king@example.com/\u265a", "king", "example.com", "\u265a"],
  ["example.com", "", "example.com", ""],
  ["example.com/foobar", "", "example.com", "foobar"],
  ["a.example.com/b@example.net", "", "a.example.com", "b@example.net"],
];

/** RFC 7622 3.5, table 2. */
const INVALID: readonly string[] = [
  '"juliet"@example.com',
  "foo bar@example.com",
  "juliet@example.com/ foo",
  "@example.com/",
  "henry\u2163@example.com",
  "\u265a@example.com",
  "juliet@",
  "/foobar",
];

/** Text that has the shape of an address more often than chance would make it one. */
const addressLike = fc
  .array(
    fc.oneof(
      fc.constantFrom("@", "/", ".", ":", "[", "]", " ", "a", "Z", "_", "xn--", "\u3002", "\uff0f", "\u00df", "\u0130"),
      fc.string({ unit: "binary", maxLength: 3 }),
      fc.string({ unit: "grapheme", maxLength: 3 }),
      fc.string({ unit: "binary-ascii", maxLength: 3 }),
    ),
    { maxLength: 8 },
  )
  .map((pieces) => pieces.join(""));
const part = fc.oneof(fc.string({ unit: "binary", maxLength: 6 }), fc.string({ unit: "grapheme", maxLength: 6 }));

describe("an address", () => {
  afterEach(() => rememberJids(10_000));

  for (const [text, local, domain, resource] of VALID) {
    test(`${JSON.stringify(text)} is one, as in RFC 7622 3.5`, () => {
      const jid = parseJid(text);
      assert.deepEqual([jid?.local, jid?.domain, jid?.resource], [local, domain, resource]);
    });
  }

  for (const text of INVALID) {
    test(`${JSON.stringify(text)} is none, as in RFC 7622 3.5`, () => assert.equal(parseJid(text), undefined));
  }

  test("is none when it is empty, or a part after its separator is", () => {
    for (const text of [
      "",
      "@",
      "/",
      "@/",
      "alice@",
      "@host",
      "host/",
      "alice@host/",
      "alice@/phone",
      "a@b@c",
      "\ud800@host",
      "host/\udc00",
    ]) {
      assert.equal(parseJid(text), undefined, JSON.stringify(text));
    }
  });

  test("keeps each of its parts within 1023 bytes", () => {
    const label = "a".repeat(61);
    const domain = (bytes: number) => `${`${label}.`.repeat(16)}${"b".repeat(bytes - 16 * 62)}`;
    for (const [unit, most] of [
      ["a", 1023],
      ["\u03c0", 511],
    ] as const) {
      assert.notEqual(parseJid(`${unit.repeat(most)}@host`), undefined);
      assert.equal(parseJid(`${unit.repeat(most + 1)}@host`), undefined);
      assert.notEqual(parseJid(`host/${unit.repeat(most)}`), undefined);
      assert.equal(parseJid(`host/${unit.repeat(most + 1)}`), undefined);
    }
    assert.equal(Buffer.byteLength(domain(1023)), 1023);
    assert.notEqual(parseJid(domain(1023)), undefined);
    assert.equal(parseJid(domain(1024)), undefined);
  });

  test("is made from parts as it is parsed from text", () => {
    assert.equal(makeJid("Alice", "Example.ORG", "Phone")?.full, "alice@example.org/Phone");
    assert.equal(makeJid("", "example.org")?.full, "example.org");
    assert.equal(makeJid("a@b", "example.org"), undefined);
    assert.equal(makeJid("alice", "example.org/x"), undefined);
    assert.equal(makeJid("alice", "example.org", "\u0000"), undefined);
  });

  test("that was prepared parses to itself, and whatever the text, parsing does not throw", () => {
    fc.assert(
      fc.property(addressLike, (text) => {
        const jid = parseJid(text);
        if (jid === undefined) return;
        assert.deepEqual(parseJid(jid.full), jid);
        assert.deepEqual(makeJid(jid.local, jid.domain, jid.resource), jid);
        assert.deepEqual(parseJid(jid.bare), jid.toBare());
      }),
      { numRuns: 3000 },
    );
  });

  test("made from any parts that are allowed parses to itself", () => {
    fc.assert(
      fc.property(part, fc.oneof(fc.domain(), part), part, (local, domain, resource) => {
        const jid = makeJid(local, domain, resource);
        if (jid !== undefined) assert.deepEqual(parseJid(jid.toString()), jid);
      }),
      { numRuns: 3000 },
    );
  });

  test("is the same whether or not it is remembered", () => {
    const texts = VALID.map(([text]) => text);
    const remembered = texts.map((text) => [parseJid(text), parseJid(text)]);
    for (const [first, second] of remembered) assert.equal(first, second);
    rememberJids(0);
    for (const [at, text] of texts.entries()) {
      assert.notEqual(parseJid(text), parseJid(text));
      assert.deepEqual(parseJid(text), remembered[at]?.[0]);
    }
  });

  test("beyond the number to remember pushes out one that was not asked for lately", () => {
    rememberJids(4);
    const first = parseJid("a@host");
    assert.equal(parseJid("a@host"), first);
    for (const local of ["b", "c", "d", "e", "f"]) parseJid(`${local}@host`);
    assert.notEqual(parseJid("a@host"), first);
    assert.deepEqual(parseJid("a@host"), first);
  });

  test("has views that keep the prepared parts", () => {
    const jid = new Jid("alice", "example.org", "phone");
    assert.equal(jid.isBare, false);
    assert.equal(jid.toBare().full, "alice@example.org");
    const bare = jid.toBare();
    assert.equal(bare.isBare, true);
    assert.equal(bare.toBare(), bare);
    assert.equal(jid.withResource("pad").full, "alice@example.org/pad");
  });
});

describe("a domain", () => {
  const same = (text: string, domain: string | undefined) =>
    assert.equal(prepareDomain(text), domain, JSON.stringify(text));

  test("is lower-case U-labels without the trailing dot", () => {
    same("EXAMPLE.com.", "example.com");
    same("XN--MNCHEN-3YA.de", "m\u00fcnchen.de");
    same("m\u00fcnchen\u3002de", "m\u00fcnchen.de");
    same("fa\u00df.de", "fa\u00df.de");
    same("xn--fa-hia.de", "fa\u00df.de");
    same("\u03a3\u03b1\u03c2.gr", "\u03c3\u03b1\u03c2.gr");
    same("\u092d\u093e\u0930\u0924", "\u092d\u093e\u0930\u0924");
    same("a\u0301.de", "\u00e1.de");
    same("\uff21b.de", "ab.de");
    same("meerkat_1.internal", "meerkat_1.internal");
    same("r3---x.example", "r3---x.example");
  });

  test("may be an IP address literal, written in full", () => {
    same("192.0.2.1", "192.0.2.1");
    same("[2001:DB8::0:1]", "[2001:db8::1]");
    for (const text of [
      "127.1",
      "0300.0.0.1",
      "1",
      "256.0.0.1",
      "[192.0.2.1]",
      "[fe80::1%eth0]",
      "2001:db8::1",
      "[::1",
      "[::1]x",
      "[]",
    ]) {
      same(text, undefined);
    }
  });

  test("is none with an empty, overlong, hyphen-edged or fake label, a symbol, or a character of another part", () => {
    const long = "a".repeat(64);
    for (const text of [
      "",
      ".",
      "a..b",
      ".a",
      `${long}.de`,
      "-a.de",
      "a-.de",
      "xn--a",
      "xn--",
      "xn--n3h.net",
      "\u2603.net",
      "a b",
    ]) {
      same(text, undefined);
    }
    for (const text of [
      "a%62c",
      "a@b",
      "a:80",
      "a?b",
      "a#b",
      "a\\b",
      "a\uff0fb.de",
      "a\u2100.de",
      "0x7f\u00ad.de",
      "\u0000",
      "a*b",
    ]) {
      same(text, undefined);
    }
    same("a".repeat(63), "a".repeat(63));
  });
});
