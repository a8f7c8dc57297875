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

test("names and namespaces beyond ASCII are taken where every edition of XML has them", () => {
  const [message] = elementsOf("<\u00e9l\u00e9ment xmlns='urn:\u00e9' \u0431='1'><\u4e00\u0300/></\u00e9l\u00e9ment>");
  assert.equal(
    message?.toXml(),
    "<\u00e9l\u00e9ment xmlns='urn:\u00e9' \u0431='1'><\u4e00\u0300/></\u00e9l\u00e9ment>",
  );
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

test("of the known strings with one hash the two newest are kept, and none is taken for another", () => {
  let made = 0;
  const table = new Interned((key) => `${key}${made++}`, 8, 10);
  const get = (key: string, hash: number) => table.at(`<${key} `, 1, 1 + key.length, hash);
  assert.deepEqual([get("a", 3), get("b", 3), get("a", 3), get("b", 3), get("a", 11)], ["a0", "b1", "a0", "b1", "a0"]);
  assert.deepEqual([get("c", 3), get("b", 3), get("a", 3)], ["c2", "b1", "a3"]);
  assert.deepEqual([get("ab", 3), get("", 3)], ["ab4", "5"]);
  assert.equal(get("c", 2), "c6");
  const long = "a".repeat(11);
  assert.notEqual(get(long, 1), get(long, 1));
});

test("a name is what stands in its tag, also among names made to share its place in the table", () => {
  // Java's well-known pair: both have the hash that 31 gives.
  const names = ["Aa", "BB", "AaAa", "BBBB", "AaBB", "BBAa"];
  for (let round = 0; round < 3; round++) {
    const read = elementsOf(...names.map((name) => `<${name} ${name}='1' xmlns='urn:${name}'/>`));
    assert.deepEqual(
      read.map(({ name, xmlns, attrs }) => [name, xmlns, ...Object.keys(attrs)]),
      names.map((name) => [name, `urn:${name}`, name]),
    );
  }
});

test("copies under other attributes share what was written of their children", () => {
  const [message] = elementsOf("<message id='1'><body>a &amp; b</body><x xmlns='u' k='v'><y/></x></message>");
  const copies = ["a", "b"].map((to) => message?.with({ to }).toXml("jabber:client"));
  const inner = "<body>a &amp; b</body><x xmlns='u' k='v'><y/></x>";
  assert.deepEqual(copies, [`<message id='1' to='a'>${inner}</message>`, `<message id='1' to='b'>${inner}</message>`]);
  assert.equal(message?.withChildren(["c"]).toXml("jabber:client"), "<message id='1'>c</message>");
  assert.equal(message?.toXml(), `<message xmlns='jabber:client' id='1'>${inner}</message>`);
});

test("an attribute is changed in its place, added at the end, or taken away", () => {
  const stanza = element("a", "u", { b: "1", c: "2", constructor: "3" });
  assert.equal(stanza.with({ b: "0", d: "4" }).toXml("u"), "<a b='0' c='2' constructor='3' d='4'/>");
  assert.equal(stanza.with({ c: undefined, e: undefined }).toXml("u"), "<a b='1' constructor='3'/>");
  assert.equal(stanza.toXml("u"), "<a b='1' c='2' constructor='3'/>");
});

test("an empty text node is left out", () => {
  assert.ok(new Element("a", "u", {}, []).toXml() === element("a", "u", {}, "").toXml());
});
