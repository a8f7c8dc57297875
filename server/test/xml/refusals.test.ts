import assert from "node:assert/strict";
import { test } from "node:test";
import { drip, HEADER, read } from "./recorder.ts";

/** Each is refused after the header, given whole and byte by byte, and nothing of it reaches the sink. */
function refused(name: string, condition: string, ...inputs: (string | Uint8Array)[]): void {
  test(name, () => {
    for (const input of inputs) {
      const shown = Buffer.from(input as string).toString("latin1");
      for (const chunks of [
        [HEADER, input],
        [HEADER, ...drip(input)],
      ]) {
        const outcome = read(chunks);
        assert.equal(outcome.condition, condition, shown);
        assert.equal(outcome.heard.length, 1, shown);
      }
    }
  });
}

/** A message with raw bytes in its body. */
function body(...bytes: number[]): Uint8Array {
  return Buffer.concat([Buffer.from("<message><body>"), Buffer.from(bytes), Buffer.from("</body></message>")]);
}

const inBody = (text: string) => `<message><body>${text}</body></message>`;

refused(
  "a document type is refused where it begins, not waited out",
  "restricted-xml",
  "<!DOCTYPE",
  "<message><!DOCTYPE foo",
  '<!ENTITY a "b">',
);
refused("comments are refused", "restricted-xml", "<!-- c -->", "<message><!-- a > b --></message>", "<!--");
refused("processing instructions are refused", "restricted-xml", "<?php x?>", "<message><?xml version='1.0'?>");
refused("an XML declaration after the header is refused", "restricted-xml", "<?xml version='1.0'?>");
refused(
  "entities that only a DTD can define are refused",
  "restricted-xml",
  inBody("&foo;"),
  inBody("&constructor;"),
  inBody("&toString;"),
  "<message id='&foo;'/>",
  inBody("&averyveryverylongentityname;"),
);

refused(
  "bytes that are never UTF-8 are refused",
  "unsupported-encoding",
  body(0xff, 0xfe),
  body(0xf5, 0x80, 0x80, 0x80),
);
refused("overlong UTF-8 is refused", "unsupported-encoding", body(0xc0, 0xbc), body(0xe0, 0x80, 0xbc));
refused("surrogates in UTF-8 are refused", "unsupported-encoding", body(0xed, 0xa0, 0x80));
refused("a torn or stray UTF-8 sequence is refused", "unsupported-encoding", body(0xe2, 0x82), body(0x82));
refused("code points past U+10FFFF are refused", "unsupported-encoding", body(0xf4, 0x90, 0x80, 0x80));
refused(
  "characters that XML has not are refused",
  "not-well-formed",
  inBody("\u0001"),
  inBody("\0"),
  inBody("\ufffe"),
  inBody("\uffff"),
  "<message id='\u000b'/>",
);

refused(
  "a bare ampersand is refused",
  "not-well-formed",
  inBody("a & b"),
  inBody("a&"),
  inBody("&;"),
  "<message id='a & b'/>",
  "<message id='&'/>",
);
refused(
  "references to characters that are none are refused",
  "not-well-formed",
  ...["#0", "#xD800", "#xFFFE", "#x110000", "#", "#x", "#12a", "#X41", "#00000000000000000065"].map((r) =>
    inBody(`&${r};`),
  ),
);
refused("`]]>` in text is refused", "not-well-formed", inBody("a ]]> b"), inBody("]]]>"));
refused("`<` in an attribute value is refused", "not-well-formed", "<message id='<'/>");

refused("an attribute given twice is refused", "not-well-formed", "<message id='1' id='2'/>");
refused(
  "an attribute given twice under two prefixes of one namespace is refused",
  "not-well-formed",
  "<message xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>",
);
refused(
  "a namespace declared twice is refused",
  "not-well-formed",
  "<message xmlns='a' xmlns='b'/>",
  "<message xmlns:a='a' xmlns:a='b'/>",
);
refused("values without quotes are refused", "not-well-formed", "<message id=1>", '<message id=1 a="">');
refused("attributes without a value are refused", "not-well-formed", "<message checked>", "<message checked id='1'/>");
refused("attributes without space between them are refused", "not-well-formed", "<message a='1'b='2'/>");
refused("a slash inside of a tag is refused", "not-well-formed", "<message / a='1'>", "<message a='1'/ >");
refused(
  "names that are none are refused",
  "not-well-formed",
  "<1message>",
  "<-m>",
  "<a:b:c>",
  "<:a>",
  "<a:>",
  "<>",
  "< message>",
  "<message 1='2'>",
  "<a\u00d7>",
  "<message a$='2'>",
);

refused(
  "names that XML has only since its fifth edition are refused: expat knows none, and would end a receiver's stream",
  "policy-violation",
  "<\u{10000}/>",
  "<a\u{10000}/>",
  "<message \u4dff='1'/>",
  "<p:a\ua75d xmlns:p='u'/>",
  "<\u06e2:a xmlns:\u06e2='u'/>",
);
refused(
  "namespaces that are no URI are refused: readers that join them with names would read other names",
  "policy-violation",
  "<message xmlns='jabber:client body'/>",
  "<message xmlns='jabber:client}body'/>",
  "<message xmlns:p='u|v'/>",
  "<message xmlns='u&#10;'/>",
  "<message xmlns='u&lt;'/>",
  "<message xmlns='{u'/>",
);
refused(
  "end tags out of order are refused",
  "not-well-formed",
  "<message><body></message></body>",
  "<message></messages>",
);
refused("an end tag with attributes is refused", "not-well-formed", "<message></message a='1'>");
refused(
  "an end tag under another prefix of the namespace is refused",
  "not-well-formed",
  "<a:b xmlns:a='u' xmlns:c='u'></c:b>",
);
refused("text between stanzas is refused", "bad-format", "evil<message/>", "&#32;", "<![CDATA[ ]]>");

refused("an element with an undeclared prefix is refused", "not-well-formed", "<foo:message/>");
refused("an attribute with an undeclared prefix is refused", "not-well-formed", "<message foo:a='1'/>");
refused("a prefix ends with its element", "not-well-formed", "<message><a xmlns:p='u'/><p:b/></message>");
refused(
  "reserved prefixes and namespaces cannot be declared",
  "not-well-formed",
  "<message xmlns:xmlns='u'/>",
  "<message xmlns:xml='u'/>",
  "<message xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
  "<message xmlns:p='http://www.w3.org/2000/xmlns/'/>",
  "<message xmlns='http://www.w3.org/XML/1998/namespace'/>",
  "<message xmlns:p=''/>",
);
refused("elements in the reserved namespace are refused", "bad-namespace-prefix", "<xml:message/>", "<xmlns:message/>");

test("content after the root is refused", () => {
  for (const rest of ["<message/>", "x", "</stream:stream>", "<![CDATA[x]]>"]) {
    const { heard, condition } = read([HEADER, `</stream:stream> \n${rest}`]);
    assert.equal(condition, "not-well-formed", rest);
    assert.deepEqual(heard.slice(1), ["close"]);
  }
});

test("text before the root is refused", () => {
  for (const text of ["x", "&amp;", "</stream:stream>", "GET / HTTP/1.1\r\n", "<![CDATA[x]]>"]) {
    assert.equal(read([text]).condition, "not-well-formed", text);
  }
});

test("a document type or comment before the root is refused", () => {
  for (const text of ["<!DOCTYPE a>", "<!-- -->", "<?pi ?>", "<?xml-stylesheet href='a'?>", " <?xml version='1.0'?>"]) {
    for (const chunks of [[text], drip(text)]) assert.equal(read(chunks).condition, "restricted-xml", text);
  }
});

test("an XML declaration is taken at the very start, in UTF-8 only", () => {
  const cases: [string, string | undefined][] = [
    ["<?xml version='1.0'?>", undefined],
    ['<?xml version="1.0" encoding="utf-8" standalone=\'yes\' ?>\n', undefined],
    ["\ufeff<?xml version='1.0' encoding='UTF-8'?>", undefined],
    ["\ufeff", undefined],
    ["<?xml version='1.0' encoding='ISO-8859-1'?>", "unsupported-encoding"],
    ["<?xml version='1.1'?>", "not-well-formed"],
    ["<?xml encoding='UTF-8'?>", "not-well-formed"],
    ["<?xml version='1.0'?><?xml version='1.0'?>", "restricted-xml"],
    ["\ufeff\ufeff", "not-well-formed"],
  ];
  for (const [text, condition] of cases) {
    for (const chunks of [[text, HEADER], drip(text + HEADER)]) {
      const outcome = read(chunks);
      assert.equal(outcome.condition, condition, text);
      assert.equal(outcome.heard.length, condition === undefined ? 1 : 0, text);
    }
  }
});
