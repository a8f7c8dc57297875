import assert from "node:assert/strict";
import { test } from "node:test";
import type { XmlLimits } from "../../src/xml/parser.ts";
import { DEFAULT_LIMITS, StreamParser, XmlError } from "../../src/xml/parser.ts";
import { drip, HEADER, Recorder, read } from "./recorder.ts";

/** `fits` is taken and `exceeds` refused, given whole, in halves, and, unless that takes long, byte by byte. */
function bounded(name: string, limits: Partial<XmlLimits>, fits: string, exceeds: string): void {
  test(name, () => {
    for (const cut of [(text: string) => [text], halves, drip]) {
      if (cut === drip && fits.length > 20_000) continue;
      assert.equal(read([HEADER, ...cut(fits)], limits).condition, undefined);
      const { condition, elements } = read([HEADER, ...cut(exceeds)], limits);
      assert.equal(condition, "policy-violation");
      assert.deepEqual(elements, []);
    }
  });
}

function halves(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)];
}

/** `<message>` with so many bytes in all. */
function message(bytes: number, filling = "x"): string {
  const frame = "<message></message>";
  const each = Buffer.byteLength(filling);
  return `<message>${filling.repeat(Math.floor((bytes - frame.length) / each))}${"x".repeat((bytes - frame.length) % each)}</message>`;
}

const nested = (depth: number) => "<a>".repeat(depth) + "</a>".repeat(depth);
const attributes = (count: number) => Array.from({ length: count }, (_, n) => ` a${n}=''`).join("");
const declarations = (count: number) => Array.from({ length: count }, (_, n) => ` xmlns:p${n}='u'`).join("");

bounded("a stanza has at most maxStanzaBytes", { maxStanzaBytes: 200 }, message(200), message(201));
bounded(
  "a stanza is measured in bytes, not in characters",
  { maxStanzaBytes: 200 },
  message(200, "\u20ac"),
  message(201, "\u20ac"),
);
bounded("CDATA counts", { maxStanzaBytes: 200 }, message(200, "<![CDATA[xx]]>"), message(201, "<![CDATA[xx]]>"));
bounded("empty elements count", { maxStanzaBytes: 200 }, message(200, "<a/>"), message(201, "<a/>"));
bounded("attributes count", { maxStanzaBytes: 200 }, `<a b='${"x".repeat(191)}'/>`, `<a b='${"x".repeat(192)}'/>`);
bounded("a stanza has at most the default size", {}, message(262_144), message(262_145));
bounded("elements are at most maxDepth deep, the root among them", { maxDepth: 5 }, nested(4), nested(5));
bounded("elements are at most the default depth", {}, nested(63), nested(64));
bounded("an empty element counts as deep as any", { maxDepth: 2 }, "<a/>", "<a><b/></a>");
bounded("a tag has at most maxAttributes", { maxAttributes: 5 }, `<a${attributes(5)}/>`, `<a${attributes(6)}/>`);
bounded("a tag has at most the default of attributes", {}, `<a${attributes(64)}/>`, `<a${attributes(65)}/>`);
bounded(
  "declarations are attributes",
  { maxAttributes: 5 },
  `<a${declarations(4)}/>`,
  `<a${attributes(1)}${declarations(5)}/>`,
);
bounded(
  "the prefixes in force are bounded too",
  { maxAttributes: 5 },
  "<a xmlns:a='u' xmlns:b='u'><b xmlns:c='u' xmlns:d='u'/><b xmlns:c='u' xmlns:d='u'/></a>",
  "<a xmlns:a='u' xmlns:b='u'><b xmlns:c='u' xmlns:d='u'><c xmlns:e='u'/></b></a>",
);
bounded(
  "a tag has at most maxTagBytes",
  { maxTagBytes: 150 },
  `<a b='${"x".repeat(141)}'/>`,
  `<a b='${"x".repeat(142)}'/>`,
);
bounded(
  "a tag is measured in bytes",
  { maxTagBytes: 150 },
  `<a b='${"\u00e9".repeat(70)}'/>`,
  `<a b='${"\u00e9".repeat(71)}'/>`,
);
bounded(
  "a tag has at most the default of bytes",
  {},
  `<a b='${"x".repeat(16_375)}'/>`,
  `<a b='${"x".repeat(16_376)}'/>`,
);
bounded("an end tag is a tag", { maxTagBytes: 150 }, `<a></a${" ".repeat(146)}>`, `<a></a${" ".repeat(147)}>`);

test("what never ends is refused once it is too long, before more of it is kept", () => {
  const limits = { maxStanzaBytes: 1000, maxTagBytes: 500 };
  const endless: readonly [string, string, number][] = [
    ["<message id='", "x", 500],
    ["<", "x", 500],
    ["<message ", " ", 500],
    ["<message></", "x", 511],
    ["<message>", "x", 1000],
    ["<message><![CDATA[", "]", 1002],
    ["<message>", "<a/>", 250],
  ];
  for (const [start, more, most] of endless) {
    const parser = new StreamParser(new Recorder(), limits);
    parser.write(Buffer.from(HEADER));
    parser.write(Buffer.from(start));
    let written = 0;
    assert.throws(() => {
      for (; written <= most; written++) parser.write(Buffer.from(more));
    }, XmlError);
  }
});

test("an XML declaration and a header that never end are refused", () => {
  for (const start of ["<?xml version='", "<stream:stream to='", "<?xml "]) {
    const chunks = [start, "x".repeat(499 - start.length), "x", "x"];
    assert.equal(read(chunks.slice(0, 3), { maxTagBytes: 500 }).condition, undefined, start);
    assert.equal(read(chunks, { maxTagBytes: 500 }).condition, "policy-violation", start);
  }
});

test("limits can be changed as the stream goes on", () => {
  const recorder = new Recorder();
  const parser = new StreamParser(recorder, { maxStanzaBytes: 120 });
  parser.write(Buffer.from(HEADER + message(120)));
  parser.setLimits({ maxStanzaBytes: 150 });
  parser.write(Buffer.from(message(150)));
  parser.setLimits({ maxStanzaBytes: 50 });
  assert.throws(() => parser.write(Buffer.from(message(51))), XmlError);
  assert.equal(recorder.elements.length, 2);
});

test("the defaults are those that the documentation names", () => {
  assert.deepEqual(DEFAULT_LIMITS, { maxStanzaBytes: 262_144, maxDepth: 64, maxAttributes: 64, maxTagBytes: 16_384 });
});
