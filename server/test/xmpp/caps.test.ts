/** The examples of XEP-0115 and XEP-0390 are what the hashes are held against. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { featuresOf, hash, hashInput, verificationString } from "../../src/xmpp/caps.ts";
import { parse } from "../support/server.ts";

const EXODUS = `<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc' name='Exodus 0.9.1'/><feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/caps'/></query>`;
const PSI = `<query xmlns='http://jabber.org/protocol/disco#info' node='http://psi-im.org#q07IKJEyjvHSyhy//CH0CxmKi8w='><identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/><identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/><feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field><field var='ip_version' type='text-multi' ><value>ipv4</value><value>ipv6</value></field><field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field><field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x></query>`;
const BOMBUS = `<query xmlns="http://jabber.org/protocol/disco#info"><identity category="client" name="BombusMod" type="mobile"/><feature var="http://jabber.org/protocol/si"/><feature var="http://jabber.org/protocol/bytestreams"/><feature var="http://jabber.org/protocol/chatstates"/><feature var="http://jabber.org/protocol/disco#info"/><feature var="http://jabber.org/protocol/disco#items"/><feature var="urn:xmpp:ping"/><feature var="jabber:iq:time"/><feature var="jabber:iq:privacy"/><feature var="jabber:iq:version"/><feature var="http://jabber.org/protocol/rosterx"/><feature var="urn:xmpp:time"/><feature var="jabber:x:oob"/><feature var="http://jabber.org/protocol/ibb"/><feature var="http://jabber.org/protocol/si/profile/file-transfer"/><feature var="urn:xmpp:receipts"/><feature var="jabber:iq:roster"/><feature var="jabber:iq:last"/></query>`;
const TKABBER = `<query xmlns="http://jabber.org/protocol/disco#info"><identity category="client" name="Tkabber" type="pc" xml:lang="en"/><identity category="client" name="Ткаббер" type="pc" xml:lang="ru"/><feature var="games:board"/><feature var="http://jabber.org/protocol/activity"/><feature var="http://jabber.org/protocol/activity+notify"/><feature var="http://jabber.org/protocol/bytestreams"/><feature var="http://jabber.org/protocol/chatstates"/><feature var="http://jabber.org/protocol/commands"/><feature var="http://jabber.org/protocol/disco#info"/><feature var="http://jabber.org/protocol/disco#items"/><feature var="http://jabber.org/protocol/evil"/><feature var="http://jabber.org/protocol/feature-neg"/><feature var="http://jabber.org/protocol/geoloc"/><feature var="http://jabber.org/protocol/geoloc+notify"/><feature var="http://jabber.org/protocol/ibb"/><feature var="http://jabber.org/protocol/iqibb"/><feature var="http://jabber.org/protocol/mood"/><feature var="http://jabber.org/protocol/mood+notify"/><feature var="http://jabber.org/protocol/rosterx"/><feature var="http://jabber.org/protocol/si"/><feature var="http://jabber.org/protocol/si/profile/file-transfer"/><feature var="http://jabber.org/protocol/tune"/><feature var="http://www.facebook.com/xmpp/messages"/><feature var="http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify"/><feature var="jabber:iq:avatar"/><feature var="jabber:iq:browse"/><feature var="jabber:iq:dtcp"/><feature var="jabber:iq:filexfer"/><feature var="jabber:iq:ibb"/><feature var="jabber:iq:inband"/><feature var="jabber:iq:jidlink"/><feature var="jabber:iq:last"/><feature var="jabber:iq:oob"/><feature var="jabber:iq:privacy"/><feature var="jabber:iq:roster"/><feature var="jabber:iq:time"/><feature var="jabber:iq:version"/><feature var="jabber:x:data"/><feature var="jabber:x:event"/><feature var="jabber:x:oob"/><feature var="urn:xmpp:avatar:metadata+notify"/><feature var="urn:xmpp:ping"/><feature var="urn:xmpp:receipts"/><feature var="urn:xmpp:time"/><x xmlns="jabber:x:data" type="result"><field type="hidden" var="FORM_TYPE"><value>urn:xmpp:dataforms:softwareinfo</value></field><field var="software"><value>Tkabber</value></field><field var="software_version"><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field><field var="os"><value>Windows</value></field><field var="os_version"><value>XP</value></field></x></query>`;

const verification = (xml: string) => verificationString(parse(xml));
const sha1 = (xml: string) => hash(verification(xml)?.text ?? "", "sha-1");

test("XEP-0115 5.2: the simple example", () => {
  assert.equal(
    verification(EXODUS)?.text,
    "client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<http://jabber.org/protocol/disco#info<http://jabber.org/protocol/disco#items<http://jabber.org/protocol/muc<",
  );
  assert.equal(sha1(EXODUS), "QgayPKawpkPSDYmwT/WM94uAlu0=");
});

test("XEP-0115 5.3: the complex example", () => {
  assert.equal(sha1(PSI), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
});

for (const [name, info, sha256, sha3] of [
  [
    "4.5.1: the simple example",
    BOMBUS,
    "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=",
    "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=",
  ],
  [
    "4.5.2: the complex example",
    TKABBER,
    "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=",
    "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=",
  ],
] as const) {
  test(`XEP-0390 ${name}`, () => {
    const input = hashInput(parse(info)) as Buffer;
    assert.equal(hash(input, "sha-256"), sha256);
    assert.equal(hash(input, "sha3-256"), sha3);
  });
}

test("the order in which an answer comes makes no difference", () => {
  for (const xml of [EXODUS, PSI, BOMBUS, TKABBER]) {
    const info = parse(xml);
    const turned = info.withChildren([...info.children].reverse());
    assert.equal(verificationString(turned)?.text, verificationString(info)?.text);
    assert.deepEqual(hashInput(turned), hashInput(info));
  }
});

test("octets are sorted, not letters", () => {
  const info = parse(
    "<query xmlns='http://jabber.org/protocol/disco#info'><feature var='\u{1F600}'/><feature var='\uFFFD'/></query>",
  );
  assert.equal(verificationString(info)?.text, "\uFFFD<\u{1F600}<");
});

const query = (inner: string, attrs = "") =>
  `<query xmlns='http://jabber.org/protocol/disco#info' ${attrs}><identity category='client' type='pc'/>${inner}</query>`;
const form = (type: string, fields = "", field = "type='hidden'") =>
  `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' ${field}><value>${type}</value></field>${fields}</x>`;

for (const [what, xml] of [
  ["two identities alike", query("<identity category='client' type='pc'/>")],
  ["a feature twice", query("<feature var='a'/><feature var='a'/>")],
  ["two forms of one type", query(form("a") + form("a"))],
  ["a form of two types", query(form("a</value><value>b"))],
  ["a table", query("<x xmlns='jabber:x:data' type='result'><reported/></x>")],
] as const) {
  test(`XEP-0115 5.4: an answer with ${what} is ill-formed`, () => assert.equal(verification(xml), undefined));
}

test("XEP-0115 5.4: a form that does not say what it is, is left out", () => {
  const nameless = "<x xmlns='jabber:x:data' type='result'><field var='a'><value>b</value></field></x>";
  assert.equal(verification(query(nameless))?.text, "client/pc//<");
  assert.equal(verification(query(form("t", "", "")))?.text, "client/pc//<");
});

test("XEP-0390 4.1: there is no hash of other elements, of tables, and of forms that do not say what they are", () => {
  for (const inner of [
    "<other xmlns='urn:other'/>",
    "<item/>",
    "<x xmlns='jabber:x:data' type='result'><item/></x>",
    "<x xmlns='jabber:x:data' type='result'/>",
    form("t", "", ""),
  ]) {
    assert.equal(hashInput(parse(query(inner))), undefined, inner);
  }
});

test("XEP-0390 4.1: an identity has the language of what is around it", () => {
  const explicit = hashInput(
    parse(
      "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc' xml:lang='fr'/></query>",
    ),
  );
  assert.deepEqual(hashInput(parse(query("", "xml:lang='fr'")), "de"), explicit);
  assert.deepEqual(hashInput(parse(query("")), "fr"), explicit);
});

test("an answer that could be taken for another with other features holds for its sender alone", () => {
  assert.equal(verification(EXODUS)?.ambiguous, false);
  assert.equal(verification(PSI)?.ambiguous, false);
  // Each has the string of an answer with two features.
  const honest = verification(query("<feature var='urn:a'/><feature var='urn:b'/>"));
  for (const crafted of [query(form("urn:a", "<field var='urn:b'/>")), query("<feature var='urn:a&lt;urn:b'/>")]) {
    assert.equal(verification(crafted)?.text, honest?.text);
    assert.equal(verification(crafted)?.ambiguous, true);
  }
});

test("features are read as they stand", () => {
  assert.deepEqual(featuresOf(parse(query("<feature var='b'/><feature var='a'/><feature xmlns='x' var='c'/>"))), [
    "b",
    "a",
  ]);
});
