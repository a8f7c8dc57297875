/** Clients that pretend: to be others, to be the server, or to be further along than they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NS } from "../../src/xmpp/namespaces.ts";
import { type RawClient, startServer } from "../support/server.ts";

const BODY = "<body>pay Mallory</body>";

/** Mallory's session, and Bob's, who is online. */
async function malloryAndBob(t: Parameters<typeof startServer>[0]): Promise<[RawClient, RawClient]> {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  return [await server.login("mallory", "desk"), bob];
}

test("the sender is stamped over whatever looks like one: another case, another prefix, another namespace", async (t) => {
  const [mallory, bob] = await malloryAndBob(t);
  const stamped = "to='bob@example.org' from='mallory@example.org/desk'";
  for (const [lie, passed] of [
    ["FROM='bank@example.org'", "FROM='bank@example.org'"],
    ["From='bank@example.org'", "From='bank@example.org'"],
    ["xml:from='bank@example.org'", "xml:from='bank@example.org'"],
    ["xmlns:c='jabber:client' c:from='bank@example.org'", "xmlns:c='jabber:client' c:from='bank@example.org'"],
    ["fr\u043em='bank@example.org'", "fr\u043em='bank@example.org'"],
    ["__proto__='bank@example.org'", "__proto__='bank@example.org'"],
  ]) {
    mallory.send(`<message to='bob@example.org' ${lie}>${BODY}</message>`);
    await bob.receives(`<message ${stamped} ${passed}>${BODY}</message>`);
  }
});

test("a stanza under a prefix of the client namespace is stamped like any", async (t) => {
  const [mallory, bob] = await malloryAndBob(t);
  mallory.send(`<c:message xmlns:c='jabber:client' to='bob@example.org'><c:body>x</c:body></c:message>`);
  await bob.receives("<message to='bob@example.org' from='mallory@example.org/desk'><body>x</body></message>");
});

test("the same address in other letters is one's own, one that only looks like it is not", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const mallory = await server.login("mallory", "desk");
  // Prepared, they are equal: full-width letters, upper case, and a domain with its dot.
  for (const from of ["\uff4dallory@example.org", "Mallory@EXAMPLE.org/desk", "mallory@example.org./desk"]) {
    mallory.send(`<message to='bob@example.org' from='${from}'>${BODY}</message>`);
    await bob.receives(`<message to='bob@example.org' from='mallory@example.org/desk'>${BODY}</message>`);
  }
  // A Cyrillic letter, another resource by case, and no address at all.
  for (const from of ["m\u0430llory@example.org", "mallory@example.org/DESK", "mallory@example.org/", ""]) {
    const liar = await server.login("mallory", "desk");
    liar.send(`<message to='bob@example.org' from='${from}'>${BODY}</message>`);
    await liar.endsWith("invalid-from");
  }
  await bob.receivesNothing();
});

test("nobody speaks for the host, for its bare domain, or for another account", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  for (const from of ["example.org", "example.org/x", "other.example", "bob@example.org", "bob@example.org/desk"]) {
    for (const stanza of ["message", "presence", "iq type='set' id='1'"]) {
      const mallory = await server.login("mallory", "desk");
      mallory.send(`<${stanza} to='bob@example.org/desk' from='${from}'/>`);
      await mallory.endsWith("invalid-from");
    }
  }
  await bob.receivesNothing();
});

test("two senders in one stanza are not well-formed", async (t) => {
  const server = await startServer(t);
  for (const twice of [
    "from='mallory@example.org' from='bob@example.org'",
    "xmlns:a='u' xmlns:b='u' a:from='x' b:from='y'",
  ]) {
    const mallory = await server.login("mallory", "desk");
    mallory.send(`<message to='bob@example.org' ${twice}/>`);
    await mallory.endsWith("not-well-formed");
  }
});

test("a malformed recipient is refused to its sender, and the stream goes on", async (t) => {
  const server = await startServer(t);
  const mallory = await server.login("mallory", "desk");
  for (const to of ["", "@", "bob@", "bob@example.org/", "b ob@example.org", "bob@exa mple.org", "bob@example.org@x"]) {
    mallory.send(`<message id='1' to='${to}'>${BODY}</message>`);
    const error = (await mallory.next()).child("error");
    assert.equal(error?.elements()[0]?.name, "jid-malformed", to);
  }
  await mallory.receivesNothing();
});

test("a forged copy or forwarded message arrives from whoever forged it, for the receiver to see (XEP-0280 11)", async (t) => {
  const [mallory, bob] = await malloryAndBob(t);
  const inner = `<message xmlns='jabber:client' from='bank@example.org/desk' to='bob@example.org'>${BODY}</message>`;
  const forwarded = `<forwarded xmlns='urn:xmpp:forward:0'>${inner}</forwarded>`;
  for (const wrapper of [
    `<received xmlns='urn:xmpp:carbons:2'>${forwarded}</received>`,
    `<sent xmlns='urn:xmpp:carbons:2'>${forwarded}</sent>`,
    `<result xmlns='urn:xmpp:mam:2' id='1'>${forwarded}</result>`,
    forwarded,
  ]) {
    mallory.send(`<message to='bob@example.org/desk'>${wrapper}</message>`);
    await bob.receives(`<message to='bob@example.org/desk' from='mallory@example.org/desk'>${wrapper}</message>`);
  }
});

test("an id used again is answered again, by whoever was asked", async (t) => {
  const server = await startServer(t);
  const mallory = await server.login("mallory", "desk");
  for (let round = 0; round < 3; round++) {
    mallory.send("<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    await mallory.receives("<iq type='result' id='1' from='example.org' to='mallory@example.org/desk'/>");
  }
});

test("an answer that nobody asked for reaches its receiver as its true sender's, or nobody", async (t) => {
  const [mallory, bob] = await malloryAndBob(t);
  mallory.send("<iq type='result' id='bind_1' to='bob@example.org/desk'><query xmlns='jabber:iq:roster'/></iq>");
  await bob.receives(
    "<iq type='result' id='bind_1' to='bob@example.org/desk' from='mallory@example.org/desk'><query xmlns='jabber:iq:roster'/></iq>",
  );
  mallory.send("<iq type='result' id='roster_1' to='bob@example.org'><query xmlns='jabber:iq:roster'/></iq>");
  await mallory.receivesNothing();
  await bob.receivesNothing();
});

/** What a bound client sends, and the condition that its stream ends with. */
const STREAM_TRICKS: readonly [name: string, xml: string, condition: string][] = [
  ["a second header", "<stream:stream to='example.org' version='1.0'></stream:stream>", "unsupported-stanza-type"],
  ["an XML declaration", "<?xml version='1.0'?>", "restricted-xml"],
  ["the stream's end inside of a stanza", "<message to='bob@example.org'></stream:stream>", "not-well-formed"],
  ["a stanza's end without its beginning", "</message>", "not-well-formed"],
  [
    "features of its own",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    "unsupported-stanza-type",
  ],
  ["success of its own", `<success xmlns='${NS.sasl}'/>`, "unsupported-stanza-type"],
  ["STARTTLS late", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "unsupported-stanza-type"],
  ["dialback", "<db:result xmlns:db='jabber:server:dialback' from='a' to='b'>k</db:result>", "unsupported-stanza-type"],
  ["a server's stanza", "<message xmlns='jabber:server' to='bob@example.org' from='x@y'/>", "invalid-namespace"],
  ["a stanza in no namespace", "<message xmlns='' to='bob@example.org'/>", "invalid-namespace"],
  ["a document type", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"],
  ["text between stanzas", "x<message/>", "bad-format"],
];

for (const [name, xml, condition] of STREAM_TRICKS) {
  test(`${name} ends a bound stream with ${condition}, and nothing of it or behind it is routed`, async (t) => {
    const [mallory, bob] = await malloryAndBob(t);
    mallory.send(`${xml}<message to='bob@example.org'>${BODY}</message>`);
    await mallory.endsWith(condition);
    await bob.receivesNothing();
  });
}

test("a stanza that comes with the header, before any feature, is not routed", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const mallory = await server.connect();
  const opening = mallory.open();
  mallory.send(`<message to='bob@example.org' from='bob@example.org'>${BODY}</message>`);
  await opening;
  await mallory.endsWith("not-authorized");
  await bob.receivesNothing();
});
