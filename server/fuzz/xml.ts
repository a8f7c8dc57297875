import assert from "node:assert/strict";
import { StreamParser, XmlError } from "../src/xml/parser.ts";

// Changes good streams at random and reads them whole and in pieces: both must come to the same, and nothing but an
// XmlError may be thrown. `node fuzz/xml.ts [seconds] [seed]`; the same seed makes the same cases.

const seconds = Number(process.argv[2] ?? 10);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 32) >>> 0;
const LIMITS = { maxStanzaBytes: 2000, maxTagBytes: 400, maxDepth: 8, maxAttributes: 6 };
// Whatever tag, value or section is open ends here, and no stream goes on after it.
const ENDING = Buffer.from("'>\">]]><</");

const SAMPLES: readonly Buffer[] = [
  "<?xml version='1.0' encoding='utf-8'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a'>" +
    "<message id='1' xml:lang='en'><body>hi &amp; b\u00e9 &#x1f600;</body><x xmlns='u' p:k='v' xmlns:p='w'/></message> <iq/></stream:stream>",
  "\ufeff<s:s xmlns:s='a'>\r\n<s:a>\u20ac<![CDATA[<]]]]>\r</s:a ><b c=\"'\"></b>",
  "<a xmlns='b'><c><d><e/></d></c>text?</a>",
].map((text) => Buffer.from(text));

const FRAGMENTS: readonly Buffer[] = [
  ..."< > / ' \" = & ; ]]> <![CDATA[ <!-- <?xml &#65; &lt; &foo; xmlns: xml: <a> </a> ]".split(" "),
  "\r",
  "\u00e9",
  " xmlns:p='u'",
  " p:k='v'",
].map((text) => Buffer.from(text));

const random = generator(seed);
const below = (limit: number) => Math.floor(random() * limit);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;

console.log(`seed ${seed}, ${seconds} s`);
const end = performance.now() + seconds * 1000;
let cases = 0;
let accepted = 0;
while (performance.now() < end) {
  const input = Buffer.concat([mutate(pick(SAMPLES)), ENDING]);
  check(input);
  cases++;
}
console.log(`${cases} cases, ${accepted} stanzas taken, no fault found`);

function check(input: Buffer): void {
  const whole = read([input]);
  const pieces = read(pieceUp(input));
  const drops = read(Array.from(input, (byte) => Buffer.of(byte)));
  accepted += whole.heard.length;
  for (const other of [pieces, drops]) {
    try {
      // A chunk with a character that is none is refused whole, so a finer cut may hear more before the fault, never less.
      assert.equal(other.failed, whole.failed);
      assert.deepEqual(whole.failed ? other.heard.slice(0, whole.heard.length) : other.heard, whole.heard);
    } catch (error) {
      console.error(`seed ${seed}, case ${cases}: ${JSON.stringify(input.toString("latin1"))}`);
      throw error;
    }
  }
}

interface Outcome {
  readonly heard: string[];
  readonly failed: boolean;
}

function read(chunks: readonly Buffer[]): Outcome {
  const heard: string[] = [];
  const parser = new StreamParser(
    {
      open: (root) => void heard.push(root.toXml()),
      element(element) {
        heard.push(element.toXml());
        if (element.name === "b") parser.restart();
        if (element.name === "iq") parser.suspend();
      },
      close: () => void heard.push("close"),
    },
    LIMITS,
  );
  try {
    for (const chunk of chunks) {
      parser.write(chunk);
      while (parser.kept > 0) parser.resume();
    }
  } catch (error) {
    if (!(error instanceof XmlError)) {
      console.error(`seed ${seed}, case ${cases}: ${JSON.stringify(Buffer.concat(chunks).toString("latin1"))}`);
      throw error;
    }
    return { heard, failed: true };
  }
  return { heard, failed: false };
}

function mutate(sample: Buffer): Buffer {
  let bytes = sample;
  for (let n = below(5); n >= 0; n--) {
    const [from, to] = [below(bytes.length + 1), below(bytes.length + 1)].sort((a, b) => a - b) as [number, number];
    const change = below(5);
    if (change === 0) bytes = splice(bytes, from, from, pick(FRAGMENTS));
    else if (change === 1) bytes = splice(bytes, from, from + 1, Buffer.of(below(256)));
    else if (change === 2) bytes = splice(bytes, from, Math.min(to, from + below(16)), Buffer.alloc(0));
    else if (change === 3) bytes = splice(bytes, from, from, bytes.subarray(from, to));
    else bytes = splice(bytes, from, from, Buffer.concat(Array<Buffer>(below(400)).fill(pick(FRAGMENTS))));
  }
  return bytes.subarray(0, 4000);
}

function splice(bytes: Buffer, from: number, to: number, middle: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, from), middle, bytes.subarray(to)]);
}

function pieceUp(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const length = 1 + below(40);
    pieces.push(bytes.subarray(from, from + length));
    from += length;
  }
  return pieces;
}

/** Numbers in [0, 1) that follow from the seed alone (a linear congruential generator, as in Numerical Recipes). */
function generator(start: number): () => number {
  let state = start;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
