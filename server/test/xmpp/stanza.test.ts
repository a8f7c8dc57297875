import assert from "node:assert/strict";
import { test } from "node:test";
import { StanzaError } from "../../src/xmpp/errors.ts";
import {
  checkStanza,
  errorReply,
  iqResult,
  isRequest,
  isSubscription,
  MESSAGE_TYPES,
  mayBounce,
  messageType,
  PRESENCE_TYPES,
  presencePriority,
  presenceType,
} from "../../src/xmpp/stanza.ts";
import { normal, parse } from "../support/server.ts";

test("a message of no type, or of one that is not defined, is normal", () => {
  for (const type of MESSAGE_TYPES) assert.equal(messageType(parse(`<message type='${type}'/>`)), type);
  for (const attrs of ["", " type=''", " type='Chat'", " type='constructor'"]) {
    assert.equal(messageType(parse(`<message${attrs}/>`)), "normal", attrs);
  }
});

test("a presence of no type is available, and no other type means that", () => {
  assert.equal(presenceType(parse("<presence/>")), "available");
  for (const type of PRESENCE_TYPES.filter((type) => type !== "available")) {
    assert.equal(presenceType(parse(`<presence type='${type}'/>`)), type);
  }
  for (const type of ["available", "", "Subscribe", "invisible", "toString"]) {
    assert.equal(presenceType(parse(`<presence type='${type}'/>`)), undefined, type);
  }
});

test("four types of presence are about subscriptions", () => {
  assert.deepEqual(PRESENCE_TYPES.filter(isSubscription), ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]);
});

test("a priority is an integer from -128 to 127, and 0 when there is none", () => {
  const priority = (text: string) => presencePriority(parse(`<presence><priority>${text}</priority></presence>`));
  assert.equal(presencePriority(parse("<presence/>")), 0);
  for (const [text, value] of [
    ["0", 0],
    ["-128", -128],
    ["127", 127],
    ["+5", 5],
    [" 7\n", 7],
    ["007", 7],
  ] as const) {
    assert.equal(priority(text), value, text);
  }
  for (const text of ["-129", "128", "", "1.5", "1e1", "0x1", "high", "1 2", "9999999999"]) {
    assert.equal(priority(text), undefined, text);
  }
  assert.equal(presencePriority(parse("<presence><priority xmlns='urn:x'>5</priority></presence>")), 0);
});

test("get and set ask for an answer, and nothing else does", () => {
  assert.ok(isRequest(parse("<iq type='get'/>")));
  assert.ok(isRequest(parse("<iq type='set'/>")));
  for (const xml of ["<iq type='result'/>", "<iq type='error'/>", "<iq/>", "<message type='get'/>"]) {
    assert.ok(!isRequest(parse(xml)), xml);
  }
});

test("an iq has an id, a type, and when it asks one child", () => {
  for (const xml of [
    "<message/>",
    "<presence type='nonsense'/>",
    "<iq id='1' type='get'><a xmlns='x'/></iq>",
    "<iq id='1' type='set'> <a xmlns='x'/> </iq>",
    "<iq id='1' type='result'/>",
    "<iq id='1' type='error'/>",
  ]) {
    checkStanza(parse(xml));
  }
  for (const xml of [
    "<iq type='get'><a xmlns='x'/></iq>",
    "<iq id='1'><a xmlns='x'/></iq>",
    "<iq id='1' type='query'><a xmlns='x'/></iq>",
    "<iq id='1' type='get'/>",
    "<iq id='1' type='set'>text</iq>",
    "<iq id='1' type='get'><a xmlns='x'/><b xmlns='x'/></iq>",
  ]) {
    assert.throws(() => checkStanza(parse(xml)), { name: "StanzaError", condition: "bad-request" }, xml);
  }
});

test("errors and results are not answered with an error, nor presence that only says something", () => {
  for (const xml of [
    "<message/>",
    "<message type='groupchat'/>",
    "<iq type='get'/>",
    "<iq type='set'/>",
    "<iq/>",
    "<presence type='subscribe'/>",
    "<presence type='nonsense'/>",
    "<presence to='@'/>",
    "<presence type='unavailable' to='@'/>",
    "<presence type='subscribed'/>",
    "<presence><priority>128</priority></presence>",
  ]) {
    assert.ok(mayBounce(parse(xml)), xml);
  }
  for (const xml of [
    "<message type='error'/>",
    "<iq type='error'/>",
    "<iq type='result'/>",
    "<presence/>",
    "<presence type='error'/>",
    "<presence type='probe'/>",
    "<presence type='unavailable'/>",
    "<presence to='a@x'/>",
    "<presence to='a@x' type='subscribed'/>",
    "<presence to='a@x' type='unsubscribe'/>",
    "<presence to='a@x' type='unsubscribed'/>",
  ]) {
    assert.ok(!mayBounce(parse(xml)), xml);
  }
});

test("an error reply goes back with id, what was sent, condition, type and text", () => {
  const sent = parse("<message to='b@x' from='a@x/r' id='1' type='chat'><body>hi</body></message>");
  const reply = errorReply(sent, new StanzaError("not-allowed", "no & never"), "b@x", "a@x/r");
  assert.equal(
    normal(reply),
    normal(
      parse(
        "<message from='b@x' to='a@x/r' id='1' type='error'><body>hi</body><error type='cancel'>" +
          "<not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
          "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no &amp; never</text></error></message>",
      ),
    ),
  );
});

test("an error reply to a stanza without an id has none, and no sender where none is given", () => {
  const reply = errorReply(parse("<message/>"), new StanzaError("gone", "", "modify"), undefined, "a@x");
  assert.equal(
    normal(reply),
    normal(
      parse(
        "<message to='a@x' type='error'><error type='modify'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
      ),
    ),
  );
});

test("an error reply says more where the refusal does (RFC 6120 8.3.4)", () => {
  const detail = parse("<bad-action xmlns='http://jabber.org/protocol/commands'/>");
  const reply = errorReply(parse("<iq id='1'/>"), new StanzaError("bad-request", "", "modify", detail), "b@x", "a@x");
  assert.equal(
    normal(reply),
    normal(
      parse(
        "<iq from='b@x' id='1' to='a@x' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><bad-action xmlns='http://jabber.org/protocol/commands'/></error></iq>",
      ),
    ),
  );
});

test("a result has the id of its request, and a payload if there is one", () => {
  const request = parse("<iq id='7' type='get' from='a@x' to='x'><q xmlns='q'/></iq>");
  assert.equal(
    normal(iqResult(request, "x", "a@x", undefined)),
    normal(parse("<iq id='7' type='result' from='x' to='a@x'/>")),
  );
  assert.equal(
    normal(iqResult(request, "x", "a@x", parse("<q xmlns='q'>1</q>"))),
    normal(parse("<iq id='7' type='result' from='x' to='a@x'><q xmlns='q'>1</q></iq>")),
  );
});
