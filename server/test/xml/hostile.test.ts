import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { StreamParser } from "../../src/xml/parser.ts";
import { drip, HEADER } from "./recorder.ts";

const MOST_ROUNDS = 80;
const ROOMY = { maxStanzaBytes: 1e7, maxTagBytes: 1e7, maxDepth: 1e6 };

/** The least time that a run takes: other work on the machine only ever adds to it. */
class Stopwatch {
  best = Number.POSITIVE_INFINITY;

  run(work: () => void): void {
    const start = performance.now();
    work();
    this.best = Math.min(this.best, performance.now() - start);
  }
}

/** Whether `work` costs less than `times` what `base` does. A busy machine takes more rounds to tell; a slow reader fails in all. */
function assertCost(work: () => void, base: () => void, times: number): void {
  const [worked, based] = [new Stopwatch(), new Stopwatch()];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    based.run(base);
    worked.run(work);
    if (round > 0 && worked.best < based.best * times) return;
  }
  assert.fail(`costs ${(worked.best / based.best).toFixed(1)} times as much, not under ${times}`);
}

/**
 * Each doubling of the input costs less than three times as much; where each byte meets all before it, it costs four.
 * Sizes are such that the trees stay young: a collector that begins to promote them looks like a slow reader.
 */
function linear(name: string, size: number, chunks: (size: number) => Uint8Array[], suspended = false): void {
  test(`${name}: time grows with the bytes`, () => {
    const small = chunks(size);
    const large = chunks(size * 4);
    assertCost(
      () => feed(large, suspended),
      () => feed(small, suspended),
      9,
    );
  });
}

function feed(chunks: readonly Uint8Array[], suspended: boolean): void {
  const parser = new StreamParser({ open() {}, element() {}, close() {} }, ROOMY);
  parser.write(Buffer.from(HEADER));
  if (suspended) parser.suspend();
  for (const chunk of chunks) parser.write(chunk);
  if (suspended) parser.resume();
}

const dripOf = (start: string, more: string) => (size: number) =>
  drip(start + more.repeat(Math.ceil(size / more.length)));
const wholeOf = (text: (size: number) => string) => (size: number) => [Buffer.from(text(size))];

linear("an attribute byte by byte", 4000, dripOf("<a b='", "x"));
linear("a tag name byte by byte", 4000, dripOf("<", "x"));
linear("space in a tag byte by byte", 4000, dripOf("<a ", " "));
linear("an end tag byte by byte", 4000, dripOf("<a></", "x"));
linear("text byte by byte", 4000, dripOf("<a>", "x"));
linear("references byte by byte", 4000, dripOf("<a>", "&amp;"));
linear("brackets byte by byte", 4000, dripOf("<a>", "]"));
linear("CDATA byte by byte", 4000, dripOf("<a><![CDATA[", "]x"));
linear("white space byte by byte", 4000, dripOf("", " "));
linear("carriage returns byte by byte", 4000, dripOf("<a>", "\r"));
linear("a whole stanza of the usual limit byte by byte", 65_536, dripOf("<a>", "x"));
linear("references and elements byte by byte", 4000, dripOf("<a>", "<b c='&lt;'/>&#65;"));
linear("tiny stanzas byte by byte", 4000, dripOf("", "<a/>"));
linear("stanzas kept byte by byte", 4000, dripOf("", "<a/>"), true);
linear(
  "elements in elements",
  400,
  wholeOf((size) => "<a>".repeat(size)),
);
linear(
  "elements beside elements",
  250,
  wholeOf((size) => `<a>${"<b/>".repeat(size)}</a>`),
);
linear(
  "text beside elements",
  250,
  wholeOf((size) => `<a>${"x<b/>".repeat(size)}</a>`),
);
linear(
  "tiny stanzas in one piece",
  1000,
  wholeOf((size) => "<a/>".repeat(size)),
);
linear(
  "white space between stanzas",
  10_000,
  wholeOf((size) => " \n".repeat(size)),
);
linear(
  "greater-than signs in a value",
  25_000,
  wholeOf((size) => `<a b='${">".repeat(size)}'/>`),
);
linear(
  "a tag of one name",
  25_000,
  wholeOf((size) => `<${"x".repeat(size)}/>`),
);
linear(
  "a namespace",
  25_000,
  wholeOf((size) => `<a xmlns='${"x".repeat(size)}'/>`),
);
linear(
  "text in one piece",
  100_000,
  wholeOf((size) => `<a>${"x&lt;".repeat(size / 5)}</a>`),
);
linear(
  "CDATA sections in a row",
  250,
  wholeOf((size) => `<a>${"<![CDATA[x]]>".repeat(size)}</a>`),
);

test("prefixes bound far outside cost little to look up or to shadow", () => {
  const bound = Array.from({ length: 60 }, (_, n) => ` xmlns:p${n}='u'`).join("");
  const many = (inner: string) => [Buffer.from(`<a${bound}>${inner.repeat(4000)}</a>`)];
  const plain = many("<p0x q='u'/>");
  for (const inner of ["<p0:x q='u'/>", "<x xmlns:q='u'/>", "<x p0:q='u'/>"]) {
    const hostile = many(inner);
    assertCost(
      () => feed(hostile, false),
      () => feed(plain, false),
      8,
    );
  }
});

/** Names that all have one hash, as many as two to the power of `length`. */
function collidingNames(length: number): string[] {
  return Array.from({ length: 2 ** length }, (_, n) =>
    Array.from({ length }, (_, bit) => (n & (1 << bit) ? "Aa" : "BB")).join(""),
  );
}

test("names made to share one place in the table of names cost little more than new names do", () => {
  const elements = (names: readonly string[]) => [Buffer.from(`<a>${names.map((name) => `<${name}/>`).join("")}</a>`)];
  const colliding = elements(collidingNames(11));
  const fresh = elements(Array.from({ length: 2 ** 11 }, (_, n) => `x${n.toString(36).padStart(21, "y")}`));
  assertCost(
    () => feed(colliding, false),
    () => feed(fresh, false),
    4,
  );
});

test("attributes made to share one hash cost little more than new ones do", () => {
  const tags = (names: readonly string[]) => {
    const of = (n: number) => names.slice(n * 64, n * 64 + 64).map((name) => `${name}=''`);
    return [Buffer.from(Array.from({ length: 32 }, (_, n) => `<a ${of(n).join(" ")}/>`).join(""))];
  };
  const colliding = tags(collidingNames(11));
  const fresh = tags(Array.from({ length: 2 ** 11 }, (_, n) => `z${n.toString(36).padStart(21, "y")}`));
  assertCost(
    () => feed(colliding, false),
    () => feed(fresh, false),
    4,
  );
});

/** Bytes that are held for each byte of an unfinished stanza. */
function heldPerByte(start: string, more: string, count: number): number {
  const parsers: StreamParser[] = [];
  const dripped = Array.from(Buffer.from(more), (byte) => Uint8Array.of(byte));
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < 2; n++) {
    const parser = new StreamParser({ open() {}, element() {}, close() {} });
    parser.write(Buffer.from(HEADER + start));
    for (let n = 0; n < count; n++) for (const byte of dripped) parser.write(byte);
    parsers.push(parser);
  }
  collect();
  const held = process.memoryUsage().heapUsed - before;
  return held / (parsers.length * count * dripped.length);
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test("what is dripped takes a few times its bytes, however small the pieces", () => {
  const most = 6;
  assert.ok(heldPerByte("<a>", "x", 30_000) < most, "text");
  assert.ok(heldPerByte("<a>", "\u00e9", 15_000) < most, "text beyond ASCII");
  assert.ok(heldPerByte("<a>", "&lt;", 10_000) < most, "references");
  assert.ok(heldPerByte("<a><![CDATA[", "x", 30_000) < most, "CDATA");
  assert.ok(heldPerByte("<a b='", "x", 8_000) < 12, "a tag");
  assert.ok(heldPerByte("<a></", "x", 8_000) < 12, "an end tag");
});

test("small elements take a few dozen times their bytes, and no more", () => {
  assert.ok(heldPerByte("<a>", "<b/>", 15_000) < 40);
  assert.ok(heldPerByte("<a>", "<b/>x", 15_000) < 40);
});
