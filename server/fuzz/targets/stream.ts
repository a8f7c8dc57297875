import assert from "node:assert/strict";
import { StreamParser, XmlError } from "../../src/xml/parser.ts";
import { FRAGMENTS, someDocument } from "../documents.ts";
import { cutUp, mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

const LIMITS = { maxStanzaBytes: 2000, maxTagBytes: 400, maxDepth: 8, maxAttributes: 6 };
// Whatever tag, value or section is open or due ends here, and no stream goes on after it.
const ENDING = Buffer.from("'>\">'>\">]]><</");

const SAMPLES: readonly Buffer[] = [
  "<?xml version='1.0' encoding='utf-8'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a'>" +
    "<message id='1' xml:lang='en'><body>hi &amp; b\u00e9 &#x1f600;</body><x xmlns='u' p:k='v' xmlns:p='w'/></message> <iq/></stream:stream>",
  "\ufeff<s:s xmlns:s='a'>\r\n<s:a>\u20ac<![CDATA[<]]]]>\r</s:a ><b c=\"'\"></b>",
  "<a xmlns='b'><c><d><e/></d></c>text?</a>",
].map((text) => Buffer.from(text));

interface Outcome {
  readonly heard: readonly string[];
  readonly refused: boolean;
}

/** Whole, in pieces, byte by byte and with pauses, a stream comes to the same elements and the same end. */
export const stream: Target = {
  name: "stream",

  make(random) {
    const samples = random.chance(50)
      ? [random.pick(SAMPLES)]
      : [Buffer.from("<r>"), ...random.many(4, () => someDocument(random))];
    const sample = Buffer.concat(samples);
    return random.chance(70) ? mutate(random, sample, FRAGMENTS) : sample;
  },

  check(begun, random) {
    const input = Buffer.concat([begun, ENDING]);
    const whole = read([input], undefined);
    const cuts = [cutUp(random, input, 40), cutUp(random, input, 3), cutUp(random, input, 1)];
    for (const chunks of cuts) same(read(chunks, undefined), whole);
    same(read(cutUp(random, input, 40), random), whole);
    return !whole.refused || whole.heard.length > 1;
  },
};

function same(pieces: Outcome, whole: Outcome): void {
  assert.equal(pieces.refused, whole.refused, "taken or refused, depending on the cut");
  // A chunk with a character that is none is refused whole, so a finer cut may hear more before the fault, never less.
  const heard = whole.refused ? pieces.heard.slice(0, whole.heard.length) : pieces.heard;
  assert.deepEqual(heard, whole.heard, "other elements, depending on the cut");
}

/** With `random`, the reader is paused now and then between chunks as well. */
function read(chunks: readonly Uint8Array[], random: Random | undefined): Outcome {
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
      if (random?.chance(20)) parser.suspend();
      parser.write(chunk);
      if (random?.chance(50)) continue;
      parser.resume();
      while (parser.kept > 0) parser.resume();
    }
    parser.resume();
    while (parser.kept > 0) parser.resume();
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    return { heard, refused: true };
  }
  return { heard, refused: false };
}
