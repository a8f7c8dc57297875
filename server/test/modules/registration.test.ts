/** XEP-0077: who can make an account, how often, and what becomes of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { registration } from "../../src/modules/registration.ts";
import { mistakesIn } from "../config/support.ts";
import { WoundClock } from "../support/clock.ts";
import { normal, PASSWORD, parse, RawClient, startServer, type TestServer } from "../support/server.ts";
import { befriend, come, getRoster, heard, isRefused, item, moduleConfig, twoNodes } from "./contacts.ts";
import { mistaken, taken } from "./settings.ts";

const REGISTER = "jabber:iq:register";
const OPEN = "open = true, secure_only = false";

function start(t: TestContext, settings = OPEN, clock?: WoundClock): Promise<TestServer> {
  const toml = moduleConfig({ registration: settings });
  return startServer(t, clock === undefined ? { toml } : { toml, clock });
}

/** A client on an open stream that has not logged in; undefined when it may not register. */
async function visitor(server: TestServer): Promise<RawClient | undefined> {
  const client = await server.connect();
  const features = await client.open();
  return features.child("register", "http://jabber.org/features/iq-register") && client;
}

async function guest(server: TestServer): Promise<RawClient> {
  const client = await visitor(server);
  assert.ok(client, "registration is offered");
  return client;
}

const query = (inner: string) => `<query xmlns='${REGISTER}'>${inner}</query>`;
const named = (name: string, password = PASSWORD) =>
  query(`<username>${name}</username><password>${password}</password>`);
const set = (inner: string, attrs = "") => `<iq type='set' id='r' ${attrs}>${inner}</iq>`;

async function registers(client: RawClient, inner: string): Promise<void> {
  client.send(set(inner));
  await client.receives("<iq type='result' id='r' from='example.org'/>");
}

/** Refused so; and what was sent is not repeated. */
async function refused(client: RawClient, inner: string, condition: string, type: string, text = ""): Promise<void> {
  client.send(set(inner));
  const answer = await client.next();
  assert.equal(answer.elements().length, 1, answer.toXml());
  const error = answer.child("error");
  assert.deepEqual([error?.elements()[0]?.name, error?.attrs.type], [condition, type], answer.toXml());
  assert.ok(error?.toXml().includes(text), error?.toXml());
}

test("by default accounts are not made, and it is not offered", async (t) => {
  const server = await start(t, "");
  assert.equal(await visitor(server), undefined);
  const client = await server.connect();
  await client.open();
  client.send(set(named("alice")));
  const error = await client.next();
  assert.equal(error.name, "error");
});

test("a client asks what is needed, makes its account, and logs in on the same stream", async (t) => {
  const server = await start(t, `${OPEN}, instructions = "Be brief."`);
  const client = await guest(server);
  client.send(`<iq type='get' id='g' to='example.org'>${query("")}</iq>`);
  const form =
    "<x xmlns='jabber:x:data' type='form'><title>New account</title><instructions>Be brief.</instructions><field type='hidden' var='FORM_TYPE'><value>jabber:iq:register</value></field><field type='text-single' label='Name' var='username'><required/></field><field type='text-private' label='Password' var='password'><required/></field></x>";
  await client.receives(
    `<iq type='result' id='g' from='example.org'>${query(`<instructions>Be brief.</instructions><username/><password/>${form}`)}</iq>`,
  );
  await registers(client, named("Alice"));
  await client.scram("alice");
});

test("the form does as well as the fields, and comes before them", async (t) => {
  const server = await start(t);
  const client = await guest(server);
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const x = (inner: string) => `<x xmlns='jabber:x:data' type='submit'>${inner}</x>`;
  const filled = field("FORM_TYPE", REGISTER) + field("username", "alice") + field("password", PASSWORD);
  await registers(client, query(`${x(filled)}<username>eve</username><password>x</password>`));
  await refused(client, query(x(field("username", "bob"))), "not-acceptable", "modify", "Password");
  await refused(client, query(x(field("FORM_TYPE", "other"))), "not-acceptable", "modify");
  await refused(client, query("<x xmlns='jabber:x:data'/>"), "bad-request", "modify");
  await client.scram("alice");
});

test("names and passwords that are no good are refused, each for its reason", async (t) => {
  const server = await start(t, `${OPEN}, per_address = 0, name_length = 3, reserved_names = ["Admin"]`);
  await server.account("taken");
  const client = await guest(server);
  await refused(client, named("taken"), "conflict", "cancel");
  await refused(client, named("a b"), "not-acceptable", "modify", "cannot be");
  await refused(client, named(""), "not-acceptable", "modify", "needed");
  await refused(client, named("alice", ""), "not-acceptable", "modify", "needed");
  await refused(client, query(""), "not-acceptable", "modify", "needed");
  await refused(client, named("ab"), "not-acceptable", "modify", "at least 3");
  await refused(client, named("ADMIN"), "not-acceptable", "modify", "reserved");
  await refused(client, named("alice", "short"), "not-acceptable", "modify", "shorter");
  await registers(client, named("abc"));
});

test("what is no request for an account of this stream's domain is refused", async (t) => {
  const server = await start(t);
  const client = await guest(server);
  client.send(`<iq type='set'>${named("alice")}</iq>`);
  await isRefused(client, "bad-request", "modify");
  client.send(`<iq type='result' id='1'>${named("alice")}</iq>`);
  await isRefused(client, "bad-request", "modify");
  client.send(`<iq type='set' id='1'>${named("alice")}<other xmlns='urn:other'/></iq>`);
  await isRefused(client, "bad-request", "modify");
  client.send(set(named("alice"), "to='other.example'"));
  await isRefused(client, "not-allowed", "cancel");
});

test("who comes from a network that is not allowed, or is denied, is not offered an account", async (t) => {
  const offered = async (settings: string) => (await visitor(await start(t, `${OPEN}, ${settings}`))) !== undefined;
  assert.equal(await offered('allow = ["127.0.0.0/8"]'), true);
  assert.equal(await offered('allow = ["192.0.2.0/24", "127.0.0.1"]'), true);
  assert.equal(await offered('allow = ["192.0.2.0/24"]'), false);
  assert.equal(await offered('deny = ["127.0.0.1"]'), false);
  assert.equal(await offered('deny = ["192.0.2.0/24"]'), true);
  assert.equal(await offered('allow = ["127.0.0.0/8"], deny = ["127.0.0.1"]'), false);
});

test("only over TLS, unless it is said otherwise", async (t) => {
  assert.equal(await visitor(await start(t, "open = true")), undefined);
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const server = await startServer(t, {
    toml: `listen = [{ kind = "c2s", port = 0, tls = "direct" }, { kind = "ops", port = 0 }]
      node = { id = "n1", data_dir = "${directory}" }
      ${moduleConfig({ registration: "open = true" })}`,
  });
  const socket = connectTls({ port: server.port("c2s"), host: "127.0.0.1", rejectUnauthorized: false });
  t.after(() => socket.destroy());
  await once(socket, "secureConnect");
  const client = new RawClient(socket);
  const features = await client.open();
  assert.ok(features.child("register", "http://jabber.org/features/iq-register"));
  await registers(client, named("alice"));

  await client.scram("alice");
  await client.open();
  client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  client.jid = (await client.next()).child("bind", "urn:ietf:params:xml:ns:xmpp-bind")?.childText("jid") ?? "";
  client.send(set(named("alice", "another good one")));
  await client.receives(`<iq type='result' id='r' from='alice@example.org' to='${client.jid}'/>`);
});

test("a password is not changed in the clear either, unless it is said otherwise", async (t) => {
  const server = await start(t, "");
  const alice = await server.login("alice", "desk");
  await refused(alice, named("alice", "another good one"), "not-authorized", "auth");
});

test("one address makes so many attempts in a period and no more, and gets them back bit by bit", async (t) => {
  const clock = new WoundClock();
  const server = await start(t, `${OPEN}, per_address = 2, period = "10m"`, clock);
  const client = await guest(server);
  await registers(client, named("one"));
  // That a name is taken is found out by an attempt like any other.
  await refused(client, named("one"), "conflict", "cancel");
  await refused(client, named("two"), "resource-constraint", "wait");
  await refused(await guest(server), named("two"), "resource-constraint", "wait");
  await clock.wind(299);
  await refused(client, named("two"), "resource-constraint", "wait");
  await clock.wind(1);
  await registers(client, named("two"));
  await refused(client, named("three"), "resource-constraint", "wait");
});

test("so do all together", async (t) => {
  const clock = new WoundClock();
  const server = await start(t, `${OPEN}, per_address = 0, per_node = 2, period = "10m"`, clock);
  const client = await guest(server);
  await registers(client, named("one"));
  await registers(client, named("two"));
  await refused(client, named("three"), "resource-constraint", "wait");
  await clock.wind(300);
  await registers(client, named("three"));
});

test("where it is closed, the client is told where accounts are made", async (t) => {
  const server = await start(
    t,
    'secure_only = false, redirect = "https://example.org/join", instructions = "Join on the web."',
  );
  const client = await guest(server);
  client.send(`<iq type='get' id='g'>${query("")}</iq>`);
  await client.receives(
    `<iq type='result' id='g' from='example.org'>${query("<instructions>Join on the web.</instructions><x xmlns='jabber:x:oob'><url>https://example.org/join</url></x>")}</iq>`,
  );
  await refused(client, named("alice"), "not-allowed", "cancel");
});

test("who is logged in sees so, and changes the password", async (t) => {
  const server = await start(t, "secure_only = false");
  const alice = await server.login("alice", "desk");
  for (const to of ["example.org", "alice@example.org"]) {
    alice.send(`<iq type='get' id='g' to='${to}'>${query("")}</iq>`);
    await alice.receives(
      `<iq type='result' id='g' from='${to}' to='${alice.jid}'>${query("<registered/><username>alice</username><password/>")}</iq>`,
    );
  }
  alice.send(set(named("alice", "another good one"), "to='example.org'"));
  await alice.receives(`<iq type='result' id='r' from='example.org' to='${alice.jid}'/>`);
  alice.send(set(named("Alice@example.org", "a third good one")));
  await alice.receives(`<iq type='result' id='r' from='alice@example.org' to='${alice.jid}'/>`);
  const again = await server.connect();
  await again.open();
  await again.scram("alice", "a third good one");
});

test("a password that is no good, or another's, is not changed, and not sent back", async (t) => {
  const server = await start(t, "secure_only = false");
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  await refused(alice, named("bob", "another good one"), "not-allowed", "cancel");
  await refused(alice, named("alice", "alice"), "not-acceptable", "modify", "shorter");
  await refused(alice, named("alice", ""), "bad-request", "modify");
  await refused(alice, named(""), "bad-request", "modify");
  await alice.leave();
  await server.login("alice", "desk");
});

test("changing and cancelling can be forbidden", async (t) => {
  const server = await start(t, "secure_only = false, change_password = false, cancel = false");
  const alice = await server.login("alice", "desk");
  await refused(alice, named("alice", "another good one"), "not-allowed", "cancel");
  await refused(alice, query("<remove/>"), "not-allowed", "cancel");
  await alice.receivesNothing();
});

test("another domain, and another's account, have nothing to do with it", async (t) => {
  const server = await start(t, "");
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  for (const inner of [query("<remove/>"), named("alice", "another good one")]) {
    alice.send(set(inner, "to='other.example'"));
    await isRefused(alice, "registration-required", "auth");
    for (const to of ["bob@example.org", "nobody@example.org"]) {
      alice.send(set(inner, `to='${to}'`));
      await isRefused(alice, "service-unavailable", "cancel");
    }
  }
});

test("an account that is cancelled is gone: every session on every node ends, contacts hear it, nothing is left", async (t) => {
  const { one, two, store } = await twoNodes(t, moduleConfig({ registration: "" }));
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  await getRoster(bob);
  const alice = await come(one, "alice", "desk");
  const phone = await come(two, "alice", "phone");
  await heard(bob);
  await heard(alice);
  await heard(phone);

  await refused(alice, query("<remove/><username>alice</username>"), "bad-request", "modify");
  alice.send(set(query("<remove/>")));
  const told: string[] = [];
  for (;;) {
    const next = await alice.next();
    if (next.name !== "presence") told.push(next.name === "iq" ? normal(next) : (next.elements()[0]?.name ?? ""));
    if (next.name === "error") break;
  }
  const result = `<iq type='result' id='r' from='alice@example.org' to='${alice.jid}'/>`;
  assert.deepEqual(told, [normal(parse(result)), "not-authorized"]);
  for (;;) {
    const next = await phone.next();
    if (next.name !== "error") continue;
    assert.equal(next.elements()[0]?.name, "not-authorized");
    break;
  }
  const presences = (await heard(bob)).map((xml) => parse(xml)).filter(({ name }) => name === "presence");
  const gone = presences.filter(({ attrs }) => attrs.type === "unavailable").map(({ attrs }) => attrs.from);
  assert.deepEqual([...new Set(gone)].sort(), ["alice@example.org/desk", "alice@example.org/phone"]);
  assert.deepEqual(await getRoster(bob), [item("jid='alice@example.org' subscription='none'")]);

  const again = await one.login("alice", "desk");
  assert.deepEqual(await getRoster(again), []);
});

test("registration that is open where no store can make accounts is a mistake", () => {
  const ldap = `[storage.main]\ndriver = "sqlite"\n[storage.company]\ndriver = "ldap"\nurl = "ldap://a"\nbind_dn = "cn=a"\nbind_password = "p"\nbase = "dc=a"`;
  const told = (accounts: string, open: boolean) =>
    mistakesIn(`${ldap}\n[host_types.default]\naccounts = ${accounts}\nmodules.registration.open = ${open}`);
  assert.deepEqual(told('["company"]', true), [
    "host_types.default.modules.registration.open = true: its stores (company) make no accounts; write false, or add one that does to host_types.default.accounts",
  ]);
  assert.deepEqual(told('["company"]', false), []);
  assert.deepEqual(told('["company", "main"]', true), []);
});

const many = Array.from({ length: 1001 }, (_, at) => `"10.0.${at >> 8}.${at & 255}"`);
taken(registration, "", "open = true", 'allow = ["2001:db8::/32"]', "per_address = 0", "per_node = 1000000");
taken(registration, 'period = "1s"', "addresses_remembered = 1", "name_length = 100", "reserved_names = []");
taken(registration, 'redirect = "https://example.org/join"', 'open = "true"');
mistaken(registration, {
  "open = 1": "must be true or false",
  'allow = ["10.0.0.0/33"]': "must be an address or a network",
  [`deny = [${many.join(", ")}]`]: "must have 1000 entries or fewer",
  "per_address = -1": "from 0 to 1000000",
  "per_node = 1000001": "from 0 to 1000000",
  'period = "999ms"': "from 1s to 24h",
  'period = "25h"': "from 1s to 24h",
  "addresses_remembered = 0": "from 1 to 1000000",
  "addresses_remembered = 1000001": "from 1 to 1000000",
  "name_length = 0": "from 1 to 100",
  "name_length = 101": "from 1 to 100",
  'instructions = ""': "registration.instructions",
  'redirect = "join"': 'must be a URL such as "https://example.org/join"',
  "opne = true": 'did you mean "open"?',
});
