import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Element, element, type Node, newAttrs } from "../../src/xml/element.ts";
import { parseElement, StreamParser, XmlError, type XmlLimits } from "../../src/xml/parser.ts";
import { HEADER, Recorder, read } from "./recorder.ts";

// A fixed seed, so that a failure here is one everywhere; fast-check prints it with the path to the counterexample.
const SETTINGS = { seed: 6120, numRuns: 300 };

const characters = fc
  .string({ unit: "binary", maxLength: 12 })
  .map((text) => text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\u00e9"));
const name = fc.constantFrom("message", "body", "x", "_", "a.b-c", "\u00e9l\u00e9ment", "constructor", "__proto__");
const uri = fc.constantFrom("jabber:client", "urn:x", "urn:\u00e9&'", "");
const attributes = fc
  .array(fc.tuple(fc.oneof(name, fc.constantFrom("p:k", "xml:lang")), characters), { maxLength: 4 })
  .map((pairs) => {
    const attrs = newAttrs();
    for (const [key, value] of pairs) attrs[key] = value;
    if ("p:k" in attrs) attrs["xmlns:p"] = "urn:p";
    return attrs;
  });
const trees = fc.letrec<{ element: Element; node: Node }>((tie) => ({
  element: fc
    .tuple(name, uri, attributes, fc.array(tie("node"), { maxLength: 4, depthIdentifier: "tree" }))
    .map(([local, xmlns, attrs, children]) => new Element(local, xmlns, attrs, mergeText(children))),
  node: fc.oneof({ maxDepth: 4, depthIdentifier: "tree" }, characters, tie("element")),
}));

/** Text nodes side by side are one once they are read, and empty ones none. */
function mergeText(nodes: readonly Node[]): Node[] {
  const merged: Node[] = [];
  for (const node of nodes) {
    const last = merged.at(-1);
    if (typeof node === "string" && typeof last === "string") merged[merged.length - 1] = last + node;
    else if (node !== "") merged.push(node);
  }
  return merged;
}

/** The bytes cut at the given places. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge));
}

const places = fc.array(fc.nat(), { maxLength: 12 });

test("an element that is written and read is the same", () => {
  fc.assert(
    fc.property(trees.element, (tree) => assert.deepEqual(shape(parseElement(Buffer.from(tree.toXml()))), shape(tree))),
    SETTINGS,
  );
});

test("a stream comes to the same elements however its bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(trees.element, { minLength: 1, maxLength: 4 }), places, (stanzas, cuts) => {
      const text = stanzas.map((stanza) => stanza.toXml("jabber:client")).join(" \n");
      const bytes = Buffer.from(`\ufeff<?xml version='1.0'?>\r\n${HEADER}${text}</stream:stream>`);
      const { elements, condition, heard } = read(cutAt(bytes, cuts));
      assert.equal(condition, undefined);
      assert.equal(heard.at(-1), "close");
      assert.deepEqual(elements.map(shape), stanzas.map(shape));
    }),
    SETTINGS,
  );
});

/** Streams with everything in them that may be cut in two, in order and not. */
const CORPUS = [
  `\ufeff<?xml version='1.0' encoding='UTF-8'?>\r\n${HEADER}<message id='1' xml:lang='en'><body>a &amp; b</body></message></stream:stream>`,
  `${HEADER}<p:a xmlns:p='u' p:k="'&#x1f600;'" b = '>\t\r\n'\n><c xmlns='v'/><c xmlns=''></c ></p:a> \r\n<iq/>`,
  `${HEADER}<body>\u00e9\u20ac\u{1f600}\r\r\n]]<![CDATA[<x>&amp;]]]]><![CDATA[>]]>&#13;&lt;</body>`,
  `${HEADER}<a>]]></a>`,
  `${HEADER}<a>&unknown;</a>`,
  `${HEADER}<a><b></a></b>`,
  `${HEADER}<a b='1' b='2'/>`,
  `${HEADER}<a/><!-- -->`,
  `${HEADER}<a/>text`,
  `${HEADER}<a>&#xD800;</a>`,
].map((text) => Buffer.from(text));
CORPUS.push(Buffer.concat([Buffer.from(`${HEADER}<a>\u20ac`), Buffer.of(0xe2, 0x82), Buffer.from("</a>")]));

test("each place where a stream can be cut in two, or in three, makes no difference", () => {
  for (const bytes of CORPUS) {
    const whole = read([bytes]);
    for (let at = 0; at <= bytes.length; at++) {
      const shown = `${bytes.subarray(0, at)}|${bytes.subarray(at)}`;
      for (const places of [[at], [at, at + 1], [at, at + 5]]) {
        const pieces = read(cutAt(bytes, places));
        assert.equal(pieces.condition, whole.condition, shown);
        // Bytes that are not UTF-8 take their whole chunk with them.
        assert.deepEqual(pieces.heard.slice(0, whole.heard.length), whole.heard, shown);
        if (whole.condition !== "unsupported-encoding") assert.equal(pieces.heard.length, whole.heard.length, shown);
      }
    }
  }
});

test("a character is read whole wherever its bytes are parted", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 4 }), places, (text, cuts) => {
      const bytes = Buffer.from(element("a", "u", {}, text).toXml());
      const { elements } = read([HEADER, ...cutAt(bytes, cuts)]);
      assert.equal(elements[0]?.text(), text);
      assert.equal(read([HEADER, ...Array.from(bytes, (byte) => Buffer.of(byte))]).elements[0]?.text(), text);
    }),
    SETTINGS,
  );
});

/** Inputs of exactly `n` of what a limit counts, whatever else is in them. */
const COUNTED: readonly [limit: keyof XmlLimits, least: number, input: (n: number) => string][] = [
  ["maxStanzaBytes", 120, (n) => `<message>${"x".repeat(n - 19)}</message>`],
  ["maxStanzaBytes", 120, (n) => `<a>${"\u20ac".repeat(Math.floor((n - 7) / 3))}${"y".repeat((n - 7) % 3)}</a>`],
  ["maxStanzaBytes", 120, (n) => `<a b='${"x".repeat(n - 20)}'>&lt;<c/></a>`],
  ["maxDepth", 2, (n) => `${"<a>".repeat(n - 1)}${"</a>".repeat(n - 1)}`],
  ["maxDepth", 3, (n) => `${"<a>".repeat(n - 2)}<b/>${"</a>".repeat(n - 2)}`],
  // The header is a tag too: about 110 bytes, two declarations and an attribute.
  ["maxAttributes", 3, (n) => `<a${Array.from({ length: n }, (_, each) => ` a${each}='&amp;'`).join("")}/>`],
  ["maxAttributes", 4, (n) => `<a${Array.from({ length: n - 1 }, (_, each) => ` xmlns:a${each}='u'`).join("")}/>`],
  ["maxTagBytes", 120, (n) => `<a b='${"x".repeat(n - 9)}'/>`],
  ["maxTagBytes", 120, (n) => `<a b='${"\u00e9".repeat((n - 9) >> 1)}${"x".repeat((n - 9) & 1)}'/>`],
  ["maxTagBytes", 120, (n) => `<a></a${" ".repeat(n - 4)}>`],
];

test("each limit takes n and refuses n + 1, for any n and any cut", () => {
  fc.assert(
    fc.property(fc.constantFrom(...COUNTED), fc.nat(60), places, ([limit, least, input], more, cuts) => {
      const n = least + more;
      const limits = { [limit]: n };
      const outcome = (text: string) => read([HEADER, ...cutAt(Buffer.from(text), cuts)], limits);
      assert.deepEqual(
        [outcome(input(n)).condition, outcome(input(n)).elements.length],
        [undefined, 1],
        `${limit} ${n}`,
      );
      assert.deepEqual(
        [outcome(input(n + 1)).condition, outcome(input(n + 1)).elements.length],
        ["policy-violation", 0],
      );
    }),
    SETTINGS,
  );
});

test("pausing anywhere, between chunks and inside of calls, changes nothing, and neither does a restart while paused", () => {
  const schedule = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.constantFrom(...CORPUS), places, schedule, fc.boolean(), (bytes, cuts, pauses, restarts) => {
      const heardBy = (pausing: boolean): string[] => {
        const recorder = new Recorder();
        const parser = new StreamParser(recorder);
        let turn = 0;
        const next = () => pausing && pauses[turn++ % pauses.length];
        let due = false;
        recorder.onElement = (each) => {
          due = restarts && each.name === "message";
          if (next()) parser.suspend();
          else if (due) restart();
        };
        const restart = () => {
          due = false;
          parser.restart();
        };
        const goOn = () => {
          if (due) restart();
          parser.resume();
        };
        try {
          for (const chunk of cutAt(bytes, cuts)) {
            if (next()) parser.suspend();
            parser.write(chunk);
            if (!next()) goOn();
          }
          do goOn();
          while (parser.kept > 0);
          goOn();
        } catch (error) {
          if (!(error instanceof XmlError)) throw error;
          recorder.heard.push(error.condition);
        }
        return recorder.heard;
      };
      assert.deepEqual(heardBy(true), heardBy(false));
    }),
    SETTINGS,
  );
});

const PARTS = [
  "<",
  ">",
  "/",
  "'",
  '"',
  "=",
  " ",
  "&",
  ";",
  "]]>",
  "<![CDATA[",
  "<!--",
  "<?xml",
  "a",
  "b:c",
  "xmlns",
  "xmlns:b",
  "\r\n",
  "\u00e9",
  "&#65;",
  "&lt;",
  "<a>",
  "</a>",
  "<a b='c'/>",
  "]",
];
const garbage = fc.array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...PARTS) }, fc.string({ maxLength: 3 })), {
  maxLength: 30,
});
// Whatever tag, value or section is open: this is the end of it, and no stream goes on after it.
const ENDING = "'>\">'>\">]]><";

test("garbage is refused with an XmlError or read, and the same for any cut", () => {
  fc.assert(
    fc.property(garbage, places, fc.boolean(), (parts, cuts, header) => {
      const bytes = Buffer.from(`${header ? HEADER : ""}${parts.join("")}${ENDING}</`);
      const whole = read([bytes]);
      const pieces = read(cutAt(bytes, cuts));
      assert.deepEqual(pieces.heard, whole.heard);
      assert.equal(pieces.condition === undefined, whole.condition === undefined);
    }),
    { ...SETTINGS, numRuns: 700 },
  );
});

test("bytes without sense throw nothing but XmlError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      read([HEADER, "<a>", bytes]);
      assert.throws(() => parseElement(bytes), XmlError);
    }),
    SETTINGS,
  );
});

test("a text that was escaped reads as it was", () => {
  fc.assert(
    fc.property(characters, (text) => {
      const copy = parseElement(Buffer.from(element("a", "u", { b: text }, text).toXml()));
      assert.deepEqual([copy.text(), copy.attrs.b], [text, text]);
    }),
    SETTINGS,
  );
});

/** All there is to an element, without what it keeps once it was serialised. */
function shape(node: Node): unknown {
  if (typeof node === "string") return node;
  return [node.name, node.xmlns, Object.entries(node.attrs).sort(), node.children.map(shape)];
}
