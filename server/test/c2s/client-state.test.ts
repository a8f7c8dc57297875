/** XEP-0352 as a client meets it: what waits while it is not looking, and in which order it comes. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { NS } from "../../src/xmpp/namespaces.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";

const INACTIVE = `<inactive xmlns='${NS.clientState}'/>`;
const ACTIVE = `<active xmlns='${NS.clientState}'/>`;
const CHAT_STATE = `<composing xmlns='${NS.chatStates}'/>`;
const RECEIPT = "<received xmlns='urn:xmpp:receipts' id='x'/>";

function event(id: string, node: string): string {
  return `<message to='alice@example.org/phone' type='headline' id='${id}'><event xmlns='${NS.pubsubEvent}'><items node='${node}'/></event></message>`;
}

/** Alice's client that is not looking, and Bob, whose directed presence and messages reach it. */
async function quiet(t: TestContext, toml = ""): Promise<[RawClient, RawClient, TestServer]> {
  const server = await startServer(t, { toml });
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone");
  alice.send(INACTIVE);
  return [alice, bob, server];
}

const to = (kind: string, id: string, children = "", type = "chat") =>
  `<${kind} to='alice@example.org/phone' id='${id}'${kind === "message" ? ` type='${type}'` : ""}>${children}</${kind}>`;

/** Bob's stanzas have been delivered, or are held, when this settles. */
async function said(bob: RawClient, ...stanzas: string[]): Promise<void> {
  bob.send(stanzas.join(""));
  await bob.receivesNothing();
}

async function hears(client: RawClient, ...ids: string[]): Promise<void> {
  const heard: (string | undefined)[] = [];
  while (heard.length < ids.length) heard.push((await client.next()).attrs.id);
  assert.deepEqual(heard, ids);
}

test("it is offered to those who have logged in", async (t) => {
  const server = await startServer(t);
  await server.account("alice");
  const client = await server.connect();
  assert.equal((await client.open()).child("csi", NS.clientState), undefined);
  await client.scram("alice");
  assert.ok((await client.open()).child("csi", NS.clientState));
});

test("presence, typing, receipts and events wait; of those that say the same of the same, the last alone comes", async (t) => {
  const [alice, bob] = await quiet(t);
  await said(
    bob,
    to("presence", "p1"),
    to("message", "c1", CHAT_STATE),
    to("message", "r1", RECEIPT),
    event("e1", "mood"),
    event("e2", "tune"),
    to("presence", "p2"),
    to("message", "r2", RECEIPT),
    event("e3", "mood"),
    to("message", "c2", `<paused xmlns='${NS.chatStates}'/><no-store xmlns='urn:xmpp:hints'/>`),
  );
  alice.send(ACTIVE);
  await hears(alice, "r1", "e2", "p2", "r2", "e3", "c2");
});

test("events about different items of a node all come; of those about one item, the last", async (t) => {
  const [alice, bob] = await quiet(t);
  const about = (id: string, change: string) =>
    to("message", id, `<event xmlns='${NS.pubsubEvent}'><items node='bookmarks'>${change}</items></event>`, "headline");
  await said(bob, about("1", "<item id='a'/>"), about("2", "<item id='b'/>"), about("3", "<retract id='a'/>"));
  alice.send(ACTIVE);
  await hears(alice, "2", "3");
});

const IMPORTANT = {
  "a message with a body": to("message", "x", "<body>look</body>"),
  "one with a body and a state": to("message", "x", `<body>look</body><active xmlns='${NS.chatStates}'/>`),
  "one that is encrypted": to("message", "x", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"),
  "a subject of a room": to("message", "x", "<subject>s</subject>", "groupchat"),
  "an error": to("message", "x", `${CHAT_STATE}<error type='cancel'/>`, "error"),
  "an iq": "<iq to='alice@example.org/phone' id='x' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
  "word of the client's own place in a room": to(
    "presence",
    "x",
    "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>",
  ),
};

for (const [what, stanza] of Object.entries(IMPORTANT)) {
  test(`${what} comes at once, and what waited comes before it`, async (t) => {
    const [alice, bob] = await quiet(t);
    await said(bob, to("presence", "1"), stanza);
    await hears(alice, "1", "x");
    // And it goes on being quiet.
    await said(bob, to("presence", "2"));
    alice.send(ACTIVE);
    await hears(alice, "2");
  });
}

test("a request to subscribe comes at once", async (t) => {
  const [alice, bob] = await quiet(t);
  bob.send("<presence to='alice@example.org' type='subscribe' id='s'/>");
  await hears(alice, "s");
});

test("what the client itself asks for brings all that waited", async (t) => {
  const [alice, bob] = await quiet(t);
  await said(bob, to("presence", "1"));
  alice.send("<iq type='get' id='2' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  await hears(alice, "1", "2");
});

test("no more than so many wait: the next one brings them all", async (t) => {
  const [alice, bob] = await quiet(t, "sessions = { inactive_stanzas = 2 }");
  await said(bob, to("message", "1", RECEIPT), to("message", "2", RECEIPT));
  await said(bob, to("message", "3", RECEIPT));
  await hears(alice, "1", "2", "3");
});

test("nothing waits where nothing may", async (t) => {
  const [alice, bob] = await quiet(t, "sessions = { inactive_stanzas = 0 }");
  bob.send(to("presence", "1"));
  await hears(alice, "1");
});

test("what waited when the connection broke comes on resumption, and the client counts as looking again", async (t) => {
  const [alice, bob, server] = await quiet(t);
  alice.send(`<enable xmlns='${NS.streamManagement}' resume='true'/>`);
  const { id } = (await alice.next()).attrs;
  await said(bob, to("presence", "1"), to("message", "2", RECEIPT));
  alice.socket.resetAndDestroy();
  await alice.take();
  await said(bob, to("message", "3", RECEIPT));
  const again = await server.connect();
  await again.open();
  await again.scram("alice");
  await again.open();
  again.send(`<resume xmlns='${NS.streamManagement}' previd='${id}' h='0'/>`);
  assert.equal((await again.next()).name, "resumed");
  await hears(again, "1", "2", "3");
  bob.send(to("presence", "4"));
  for (;;) if ((await again.next()).attrs.id === "4") break;
});
