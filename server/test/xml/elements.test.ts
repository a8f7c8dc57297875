import assert from "node:assert/strict";
import { test } from "node:test";
import { Element, element, escapeXml } from "../../src/xml/element.ts";
import { parseElement, StreamParser, XmlError } from "../../src/xml/parser.ts";
import { Interned, ownedCopy } from "../../src/xml/strings.ts";
import { elementsOf, HEADER, Recorder } from "./recorder.ts";

const PROTO = "__proto__";
const parse = (text: string) => parseElement(Buffer.from(text));
const refusal = (condition: string) => (error: unknown) => error instanceof XmlError && error.condition === condition;

test("the header is handed on with its namespace and the prefixes that it bound", () => {
  const recorder = new Recorder();
  new StreamParser(recorder).write(Buffer.from(HEADER));
  assert.equal(recorder.root?.name, "stream");
  assert.equal(recorder.root?.xmlns, "http://etherx.jabber.org/streams");
  assert.deepEqual({ ...recorder.root?.attrs }, { to: "example.org" });
  assert.deepEqual(
    recorder.declared,
    new Map([
      ["stream", "http://etherx.jabber.org/streams"],
      ["", "jabber:client"],
    ]),
  );
});

test("a header that is an empty element opens and closes the stream", () => {
  const recorder = new Recorder();
  new StreamParser(recorder).write(Buffer.from("<stream xmlns='u'/>"));
  assert.deepEqual(recorder.heard, ["open <stream xmlns='u'/>", "close"]);
});

test("elements carry their expanded namespace and lose their prefix", () => {
  const [message] = elementsOf(
    "<message xmlns:p='urn:p'><p:a><b/></p:a><c xmlns='urn:c'><d/><e xmlns=''/></c></message>",
  );
  assert.equal(message?.xmlns, "jabber:client");
  const [a, c] = message?.elements() ?? [];
  assert.deepEqual([a?.name, a?.xmlns, a?.elements()[0]?.xmlns], ["a", "urn:p", "jabber:client"]);
  assert.deepEqual([c?.xmlns, ...(c?.elements().map((child) => child.xmlns) ?? [])], ["urn:c", "urn:c", ""]);
  assert.deepEqual(
    [message, a, c].map((each) => Object.keys(each?.attrs ?? { none: "" })),
    [[], [], []],
  );
});

test("the default namespace is back when the element that changed it is over", () => {
  const [, second] = elementsOf("<a xmlns='urn:a'><b/></a><c/>");
  assert.equal(second?.xmlns, "jabber:client");
});

test("a prefixed attribute brings its declaration along", () => {
  const [message] = elementsOf("<message xmlns:p='urn:p'><a p:k='1' xml:lang='de'/></message>");
  const a = message?.elements()[0] as Element;
  assert.deepEqual({ ...a.attrs }, { "p:k": "1", "xml:lang": "de", "xmlns:p": "urn:p" });
  assert.deepEqual({ ...parse(a.toXml()).attrs }, { ...a.attrs });
});

test("attributes inherit nothing, and __proto__ is one like any other", () => {
  const [message] = elementsOf("<message __proto__='x' constructor='y'/><presence/>");
  assert.equal(message?.attrs[PROTO], "x");
  assert.deepEqual(Object.keys(message?.attrs ?? {}), [PROTO, "constructor"]);
  assert.equal(elementsOf("<presence/>")[0]?.attrs.constructor, undefined);
  assert.equal(elementsOf("<presence/>")[0]?.attrs[PROTO], undefined);
  assert.match(message?.with({ id: "1" }).toXml() ?? "", / __proto__='x' constructor='y' id='1'/);
});

test("references and CDATA are text, and text that touches is one node", () => {
  const [message] = elementsOf("<message>a&lt;&#x42;&#10;<![CDATA[<c>&amp;]]]]><![CDATA[>]]> d</message>");
  assert.deepEqual(message?.children, ["a<B\n<c>&amp;]]> d"]);
});

test("line ends become one line feed, and literal white space in a value a space", () => {
  const [message] = elementsOf("<message id='a\tb\r\nc&#10;d'>1\r\n2\r3\n4</message>");
  assert.equal(message?.attrs.id, "a b c\nd");
  assert.equal(message?.text(), "1\n2\n3\n4");
});

test("spaces are taken wherever a tag may have them", () => {
  const [message] = elementsOf("<message\n\tid = 'a'\r\n to=\"b'\" ><body /></message\n>");
  assert.equal(message?.toXml("jabber:client"), "<message id='a' to='b&apos;'><body/></message>");
});

test("white space between stanzas is passed over, however much", () => {
  const recorder = new Recorder();
  const parser = new StreamParser(recorder, { maxStanzaBytes: 200 });
  parser.write(Buffer.from(HEADER));
  for (let n = 0; n < 1000; n++) parser.write(Buffer.from(" \n"));
  parser.write(Buffer.from("<presence/>"));
  assert.equal(recorder.elements.length, 1);
});

test("one element is read from a document of its own", () => {
  assert.equal(parse("<?xml version='1.0'?>\n<open xmlns='u'/> ").toXml(), "<open xmlns='u'/>");
  assert.equal(parse(" <message xmlns='jabber:client'><body>x</body></message>\n").childText("body"), "x");
});

test("anything but one element is refused", () => {
  for (const text of ["", " ", "<a>", "<a/><b/>", "<a/>x", "x<a/>", "<a></b>", "<a/><", "<a/>\u00e9", "</a>", "<a"]) {
    assert.throws(() => parse(text), refusal("not-well-formed"), text);
  }
  assert.throws(() => parseElement(Buffer.from([...Buffer.from("<a/>"), 0xe2])), refusal("not-well-formed"));
  assert.throws(() => parse("<a/><!-- -->"), refusal("restricted-xml"));
  assert.throws(() => parse("<stream:error/>"), refusal("not-well-formed"));
});

test("one element has the limits of a stanza", () => {
  const text = `<a>${"x".repeat(93)}</a>`;
  assert.equal(parseElement(Buffer.from(text), { maxStanzaBytes: 100 }).text().length, 93);
  assert.throws(() => parseElement(Buffer.from(text), { maxStanzaBytes: 99 }), refusal("policy-violation"));
  assert.throws(() => parseElement(Buffer.from("<a><b/></a>"), { maxDepth: 1 }), refusal("policy-violation"));
});

test("what is serialised cannot be read as markup", () => {
  const body = element("body", "u", { a: "'\"<>&\t\n\r" }, "a<b/>&c]]>\r");
  const copy = parse(body.toXml());
  assert.deepEqual([copy.text(), copy.attrs.a, copy.elements()], [body.text(), body.attrs.a, []]);
  assert.equal(escapeXml("plain"), "plain");
});

test("a copy owns its characters, lone surrogates included", () => {
  for (const text of ["", "juliet@example.org", "h\u00e9 \u{1f600}", "\ud800"]) assert.equal(ownedCopy(text), text);
});

test("the table of known strings stays bounded and keeps what is in use", () => {
  let made = 0;
  const table = new Interned((key) => `${key}${made++}`, 8, 10);
  const first = table.get("used");
  for (let n = 0; n < 100; n++) {
    table.get(`k${n}`);
    if (n % 4 === 0) assert.equal(table.get("used"), first);
    assert.ok(table.count <= 16);
  }
  table.get("a".repeat(11));
  assert.notEqual(table.get("a".repeat(11)), table.get("a".repeat(11)));
});

test("an empty text node is left out", () => {
  assert.ok(new Element("a", "u", {}, []).toXml() === element("a", "u", {}, "").toXml());
});
