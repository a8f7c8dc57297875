import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Element, element, type Node, newAttrs } from "../../src/xml/element.ts";
import { parseElement, XmlError } from "../../src/xml/parser.ts";
import { HEADER, read } from "./recorder.ts";

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
