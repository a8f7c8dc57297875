/** XEP-0198 as a client meets it: what is counted, what comes again, and what becomes of what it never took. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { Element } from "../../src/xml/element.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";

const SM = NS.streamManagement;
const ENABLE = `<enable xmlns='${SM}' resume='true'/>`;
const R = `<r xmlns='${SM}'/>`;
const a = (h: number) => `<a xmlns='${SM}' h='${h}'/>`;
const failed = (condition: string, more = "") =>
  `<failed xmlns='${SM}'${more}><${condition} xmlns='${NS.stanzaErrors}'/></failed>`;
/** Nothing is asked of the client while a test does not want it. */
const QUIET = "ack_every = 10000\nack_after = '1m'";

function withSessions(settings: string): { toml: string } {
  return { toml: `[sessions]\n${settings}` };
}

/** Enables with resumption; returns the id of the session. */
async function enable(client: RawClient, request = ENABLE): Promise<string> {
  client.send(request);
  const enabled = await client.next();
  assert.equal(enabled.name, "enabled", enabled.toXml());
  return enabled.attrs.id ?? "";
}

/** The connection breaks without a word; settles when the server knows. */
async function breaks(client: RawClient): Promise<void> {
  client.socket.resetAndDestroy();
  assert.equal(await client.take(), "end");
}

/** Logs in on a new connection, up to where a resource would be bound. */
async function back(server: TestServer, local: string): Promise<RawClient> {
  const client = await server.connect();
  await client.open();
  await client.scram(local);
  await client.open();
  return client;
}

async function resume(server: TestServer, local: string, id: string, h: number): Promise<[RawClient, Element]> {
  const client = await back(server, local);
  client.send(`<resume xmlns='${SM}' previd='${id}' h='${h}'/>`);
  return [client, await client.next()];
}

const chat = (to: string, id: string) => `<message type='chat' to='${to}' id='${id}'><body>${id}</body></message>`;

async function hears(client: RawClient, ...ids: string[]): Promise<void> {
  for (const id of ids) assert.equal((await client.next()).attrs.id, id);
}

/** What comes next that is not presence. */
async function nextBut(client: RawClient, name = "presence"): Promise<Element> {
  for (;;) {
    const heard = await client.next();
    if (heard.name !== name) return heard;
  }
}

test("it is offered to those who have logged in, and enabling it names the session", async (t) => {
  const server = await startServer(t, withSessions('resume_timeout = "90s"\nresume_location = "n1.example.org:5222"'));
  await server.account("alice");
  const client = await server.connect();
  assert.equal((await client.open()).child("sm", SM), undefined);
  await client.scram("alice");
  assert.ok((await client.open()).child("sm", SM));
  const alice = await server.login("alice", "desk");
  alice.send(ENABLE);
  const { attrs } = await alice.next();
  assert.deepEqual([attrs.resume, attrs.max, attrs.location], ["true", "90", "n1.example.org:5222"]);
  assert.match(attrs.id ?? "", /^n1:[\w-]{22}$/);
});

test("who does not want to resume gets no id, nor does anyone where nothing can be resumed", async (t) => {
  const server = await startServer(t);
  const never = await startServer(t, withSessions('resume_timeout = "0s"'));
  const alice = await server.login("alice", "desk");
  alice.send(`<enable xmlns='${SM}'/>`);
  await alice.receives(`<enabled xmlns='${SM}'/>`);
  const bob = await never.login("bob", "desk");
  bob.send(ENABLE);
  await bob.receives(`<enabled xmlns='${SM}'/>`);
});

test("a client may ask for less time than there is, not for more", async (t) => {
  const server = await startServer(t, withSessions('resume_timeout = "5m"'));
  for (const [wanted, granted] of [
    ["60", "60"],
    ["301", "300"],
    ["x", "300"],
  ]) {
    const alice = await server.login("alice", "desk");
    alice.send(`<enable xmlns='${SM}' resume='1' max='${wanted}'/>`);
    assert.equal((await alice.next()).attrs.max, granted);
  }
});

test("enabling before binding fails and changes nothing; doing it twice ends the stream", async (t) => {
  const server = await startServer(t);
  await server.account("alice");
  const early = await back(server, "alice");
  early.send(ENABLE);
  await early.receives(failed("unexpected-request"));
  early.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`);
  assert.equal((await early.next()).attrs.type, "result");
  await enable(early);
  early.send(ENABLE);
  await early.receives(failed("unexpected-request"));
  await early.endsWith("policy-violation");
});

test("stanzas are counted from enabling on, and only stanzas", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  alice.send(chat("alice@example.org/desk", "before"));
  await hears(alice, "before");
  await enable(alice);
  alice.send(R);
  await alice.receives(a(0));
  alice.send(
    `${chat("alice@example.org/desk", "1")}${R}<iq type='get' id='2' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>${R} ${R}`,
  );
  await hears(alice, "1");
  await alice.receives(a(1));
  await hears(alice, "2");
  await alice.receives(a(2));
  await alice.receives(a(2));
});

test("a stanza that is refused was handled all the same", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await enable(alice);
  alice.send(`<message to='@' id='1'/>${R}`);
  assert.equal((await alice.next()).attrs.type, "error");
  await alice.receives(a(1));
});

test("the server asks after so many stanzas, and after so long", async (t) => {
  const often = await startServer(t, withSessions('ack_every = 2\nack_after = "1m"'));
  const alice = await often.login("alice", "desk");
  await enable(alice);
  alice.send(chat("alice@example.org/desk", "1") + chat("alice@example.org/desk", "2"));
  await hears(alice, "1", "2");
  await alice.receives(R);
  const late = await startServer(t, withSessions('ack_every = 10000\nack_after = "10ms"'));
  const bob = await late.login("bob", "desk");
  await enable(bob);
  bob.send(chat("bob@example.org/desk", "1"));
  await hears(bob, "1");
  await bob.receives(R);
});

test("to acknowledge more than was sent ends the stream", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const alice = await server.login("alice", "desk");
  await enable(alice);
  alice.send(chat("alice@example.org/desk", "1"));
  await hears(alice, "1");
  alice.send(a(2));
  const error = await alice.endsWith("undefined-condition");
  assert.equal(
    error.child("handled-count-too-high", SM)?.toXml(),
    `<handled-count-too-high xmlns='${SM}' h='2' send-count='1'/>`,
  );
});

for (const wrong of ["<a xmlns='urn:xmpp:sm:3'/>", a(-1), a(4_294_967_296), "<a xmlns='urn:xmpp:sm:3' h='x'/>"]) {
  test(`${wrong} ends the stream`, async (t) => {
    const server = await startServer(t);
    const alice = await server.login("alice", "desk");
    await enable(alice);
    alice.send(wrong);
    await alice.endsWith("policy-violation");
  });
}

test("a broken connection is nothing that others see, and what was missed comes after resuming, in order and once", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const bob = await server.online("bob", "desk");
  const alice = await server.online("alice", "phone");
  const id = await enable(alice);
  bob.send(chat("alice@example.org", "1") + chat("alice@example.org/phone", "2"));
  await hears(alice, "1", "2");
  await breaks(alice);
  bob.send(chat("alice@example.org", "3") + chat("alice@example.org/phone", "4"));
  await bob.receivesNothing();
  const [again, resumed] = await resume(server, "alice", id, 1);
  assert.deepEqual([resumed.name, resumed.attrs.previd, resumed.attrs.h], ["resumed", id, "0"]);
  await hears(again, "2", "3", "4");
  again.jid = alice.jid;
  again.send(chat("bob@example.org/desk", "5"));
  await hears(bob, "5");
  again.send(R);
  await again.receives(a(1));
  // The counters go on as if nothing had been.
  again.send(a(4));
  await again.receivesNothing();
  await bob.receivesNothing();
});

test("a stream that still lives is closed with conflict by the one that takes its session", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const alice = await server.online("alice", "phone");
  const id = await enable(alice);
  alice.send(`<message to='bob@example.org' type='headline'/>`);
  const [again, resumed] = await resume(server, "alice", id, 0);
  await alice.endsWith("conflict");
  assert.equal(resumed.attrs.h, "1");
  again.jid = alice.jid;
  await again.receivesNothing();
});

test("who says good-bye ends the session, and it cannot be resumed; the last count is told", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const alice = await server.login("alice", "phone");
  const id = await enable(alice);
  alice.send(chat("alice@example.org/phone", "1"));
  await hears(alice, "1");
  await alice.leave();
  const [client, answer] = await resume(server, "alice", id, 1);
  assert.equal(answer.toXml(), failed("item-not-found", " h='1'"));
  client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`);
  assert.equal((await client.next()).attrs.type, "result");
});

test("another account cannot take a session, nor learn that it is there", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  await server.account("mallory");
  const alice = await server.login("alice", "phone");
  const id = await enable(alice);
  const [, answer] = await resume(server, "mallory", id, 0);
  assert.equal(answer.toXml(), failed("item-not-found"));
  await alice.leave();
  const [, later] = await resume(server, "mallory", id, 0);
  assert.equal(later.toXml(), failed("item-not-found"));
});

test("a request to resume that lacks something fails, and a count that cannot be ends the stream and spares the session", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const alice = await server.login("alice", "phone");
  const id = await enable(alice);
  const client = await back(server, "alice");
  for (const wrong of [`previd='${id}'`, "h='0'", `previd='${id}' h='-1'`]) {
    client.send(`<resume xmlns='${SM}' ${wrong}/>`);
    await client.receives(failed("bad-request"));
  }
  client.send(`<resume xmlns='${SM}' previd='${id}' h='7'/>`);
  assert.ok((await client.endsWith("undefined-condition")).child("handled-count-too-high", SM));
  const [, resumed] = await resume(server, "alice", id, 0);
  assert.equal(resumed.name, "resumed");
});

test("after the time for it the session is gone: contacts see it, and what it never took goes to another session", async (t) => {
  const server = await startServer(t, withSessions(`resume_timeout = "1s"\n${QUIET}`));
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone");
  const id = await enable(alice);
  bob.send(chat("alice@example.org", "1") + chat("alice@example.org/phone", "2"));
  await hears(alice, "1", "2");
  await breaks(alice);
  const desk = await server.login("alice", "desk");
  desk.send("<presence><priority>-1</priority></presence>");
  // Its own presence, the phone's, and the phone's good-bye.
  assert.equal((await desk.next()).name, "presence");
  assert.equal((await desk.next()).attrs.from, "alice@example.org/phone");
  desk.send("<presence/>");
  assert.equal((await desk.next()).name, "presence");
  assert.equal((await desk.next()).attrs.type, "unavailable");
  for (const wanted of ["1", "2"]) {
    const message = await desk.next();
    assert.equal(message.attrs.id, wanted);
    assert.match(message.child("delay", NS.delay)?.attrs.stamp ?? "", /^\d{4}-\d\d-\d\dT/);
    assert.equal(message.child("delay", NS.delay)?.attrs.from, "example.org");
  }
  const [, answer] = await resume(server, "alice", id, 0);
  assert.equal(answer.child("item-not-found", NS.stanzaErrors)?.name, "item-not-found");
});

test("with no other session the sender hears of it, by an error for each of its stanzas that may have one", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone");
  await enable(alice);
  const to = "to='alice@example.org/phone'";
  bob.send(
    `${chat("alice@example.org/phone", "1")}<message ${to} id='2' type='groupchat'/><message ${to} id='3' type='headline'/>
     <iq ${to} id='4' type='get'><x xmlns='urn:x'/></iq><iq ${to} id='5' type='result'/><message ${to} id='6' type='error'/>`,
  );
  await hears(alice, "1", "2", "3", "4", "5", "6");
  await alice.leave();
  for (const [id, condition] of [
    ["1", "service-unavailable"],
    ["2", "recipient-unavailable"],
    ["4", "recipient-unavailable"],
  ] as const) {
    const error = await bob.next();
    assert.equal(error.attrs.id, id);
    assert.ok(error.child("error")?.child(condition, NS.stanzaErrors), error.toXml());
  }
  await bob.receivesNothing();
});

test("a message that others got too is not sent again when one of them never took it", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const bob = await server.login("bob", "desk");
  const phone = await server.online("alice", "phone");
  const desk = await server.online("alice", "desk");
  await nextBut(phone, "none");
  await nextBut(desk, "none");
  await enable(phone);
  bob.send(chat("alice@example.org", "1"));
  await hears(phone, "1");
  await hears(desk, "1");
  await phone.leave();
  assert.equal((await desk.next()).attrs.type, "unavailable");
  await desk.receivesNothing();
  await bob.receivesNothing();
});

for (const [where, isSame] of [
  ["on the same node", true],
  ["on another node", false],
] as const) {
  test(`who takes the address ${where} gets what the old session never acknowledged`, async (t) => {
    const [one, two] = await twoNodes(t);
    const bob = await one.login("bob", "desk");
    const old = await one.online("alice", "phone");
    await enable(old);
    bob.send(chat("alice@example.org", "1") + chat("alice@example.org/phone", "2"));
    await hears(old, "1", "2");
    await breaks(old);
    bob.send(chat("alice@example.org/phone", "3"));
    await bob.receivesNothing();
    const fresh = await (isSame ? one : two).login("alice", "phone");
    await hears(fresh, "1", "2", "3");
    await bob.receivesNothing();
  });
}

test("a session that nobody takes up keeps no more than it may: then it ends, and nothing is lost or out of order", async (t) => {
  const server = await startServer(t, withSessions(`unacked_stanzas = 10\n${QUIET}`));
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone", "<presence><priority>5</priority></presence>");
  const desk = await server.online("alice", "desk");
  await nextBut(alice, "none");
  assert.equal((await desk.next()).attrs.from, "alice@example.org/phone");
  await enable(alice);
  await breaks(alice);
  const ids = Array.from({ length: 15 }, (_, i) => `${i}`);
  for (const id of ids) bob.send(chat("alice@example.org", id));
  for (const id of ids) assert.equal((await nextBut(desk)).attrs.id, id);
});

test("a client that acknowledges nothing holds up its senders, then is cut off; resuming it gets everything", async (t) => {
  const server = await startServer(t, withSessions(`unacked_stanzas = 10\nunacked_wait = "10ms"\nack_timeout = "1m"`));
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone");
  const id = await enable(alice);
  const ids = Array.from({ length: 20 }, (_, i) => `${i}`);
  for (const one of ids) bob.send(chat("alice@example.org/phone", one));
  for (const one of ids) assert.equal((await nextBut(alice, "r")).attrs.id, one);
  await alice.endsWith("connection-timeout");
  const [again, resumed] = await resume(server, "alice", id, 5);
  assert.equal(resumed.name, "resumed");
  for (const one of ids.slice(5)) assert.equal((await nextBut(again, "r")).attrs.id, one);
  await bob.receivesNothing();
});

test("acknowledging makes room: senders wait no longer than it takes", async (t) => {
  const server = await startServer(t, withSessions('unacked_stanzas = 10\nunacked_wait = "1m"'));
  const bob = await server.login("bob", "desk");
  const alice = await server.online("alice", "phone");
  await enable(alice);
  for (let i = 0; i < 12; i++) bob.send(chat("alice@example.org/phone", `${i}`));
  for (let i = 0; i < 10; i++) assert.equal((await alice.next()).attrs.id, `${i}`);
  await alice.receives(R);
  // The ones behind are held back, and with them whatever their sender says next.
  bob.send(chat("alice@example.org/phone", "12"));
  alice.send(a(10));
  await hears(alice, "10", "11", "12");
});

test("a client that does not answer counts as gone, and can come back", async (t) => {
  const server = await startServer(t, withSessions('ack_every = 1\nack_after = "10ms"\nack_timeout = "1s"'));
  const alice = await server.login("alice", "phone");
  const id = await enable(alice);
  alice.send(chat("alice@example.org/phone", "1"));
  await hears(alice, "1");
  await alice.receives(R);
  await alice.endsWith("connection-timeout");
  const [again] = await resume(server, "alice", id, 0);
  await hears(again, "1");
});

test("what was acknowledged counts once, and a count that is not below 2^32 of it is too high", async () => {
  const { StreamManagement } = await import("../../src/c2s/stream-management.ts");
  const { element } = await import("../../src/xml/element.ts");
  const management = new StreamManagement("", 0);
  const one = { stanza: element("message", NS.client), envelope: undefined, at: 0, size: 7 };
  management.acknowledge(0);
  for (let i = 0; i < 3; i++) management.sent(one);
  assert.throws(() => management.acknowledge(4_294_967_295), /undefined-condition/);
  management.acknowledge(2);
  assert.deepEqual([management.unacked.length, management.bytes], [1, 7]);
  assert.equal(management.acknowledge(1), false);
});

async function twoNodes(t: TestContext): Promise<[TestServer, TestServer]> {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const toml = withSessions(QUIET).toml;
  return [
    await startServer(t, { cluster: neighbourhood.join("n1"), store, toml }),
    await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: `node = { id = "n2" }\n${toml}` }),
  ];
}

test("a client that comes back having less than it had said cannot resume; what it has not taken goes to its new session", async (t) => {
  const server = await startServer(t, withSessions(QUIET));
  const bob = await server.login("bob", "desk");
  const alice = await server.login("alice", "phone");
  const id = await enable(alice);
  for (const one of ["1", "2", "3"]) bob.send(chat("alice@example.org/phone", one));
  await hears(alice, "1", "2", "3");
  alice.send(`${a(2)}${a(1)}${R}`);
  await alice.receives(a(0));
  await breaks(alice);
  const [again, answer] = await resume(server, "alice", id, 1);
  assert.ok(answer.child("item-not-found", NS.stanzaErrors), answer.toXml());
  again.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>phone</resource></bind></iq>`);
  assert.equal((await again.next()).attrs.id, "b");
});

test("an answer of the server does not overtake a message that waits for room", async (t) => {
  const server = await startServer(t, withSessions(`unacked_stanzas = 10\nunacked_wait = "100ms"\n${QUIET}`));
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  await enable(alice);
  const ids = Array.from({ length: 11 }, (_, i) => `${i}`);
  for (const one of ids) bob.send(chat("alice@example.org/desk", one));
  for (const one of ids.slice(0, 10)) assert.equal((await alice.next()).attrs.id, one);
  await alice.receives(R);
  alice.send("<iq type='get' id='q' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  await hears(alice, "10", "q");
});
