/** XEP-0012: when an account was last online, told to those who may see its presence. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { SessionEntry } from "../../src/cluster/cluster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { WoundClock } from "../support/clock.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";
import { befriend, come, heard, isRefused, moduleConfig } from "./contacts.ts";

const LAST = "jabber:iq:last";

/** Two nodes, one clock; Alice sees Bob's presence. */
async function stage(t: TestContext) {
  const clock = new WoundClock();
  const store = memoryDriver();
  const neighbourhood = new Neighbourhood();
  const node = (id: string) =>
    startServer(t, { cluster: neighbourhood.join(id), store, clock, toml: `node = { id = "${id}" }` });
  const [one, two] = [await node("n1"), await node("n2")];
  await befriend(store, "alice", "bob", "to");
  const alice = await come(one, "alice", "desk");
  return { clock, store, one, two, alice, neighbourhood };
}

async function ask(client: RawClient, to: string): Promise<string> {
  await heard(client);
  client.send(`<iq type='get' id='last' to='${to}'><query xmlns='${LAST}'/></iq>`);
  const query = (await client.next()).child("query", LAST);
  return `${query?.attrs.seconds} ${query?.text()}`;
}

async function refused(client: RawClient, to: string, condition: string, type: string): Promise<void> {
  await heard(client);
  client.send(`<iq type='get' id='last' to='${to}'><query xmlns='${LAST}'/></iq>`);
  await isRefused(client, condition, type);
}

/** Leaves, and is gone for everyone. */
async function leave(client: RawClient, watcher: RawClient): Promise<void> {
  await client.leave();
  for (;;) {
    const next = await watcher.next();
    if (next.attrs.type === "unavailable") return;
  }
}

test("the server tells how long it has been up", async (t) => {
  const { alice, clock } = await stage(t);
  await clock.wind(3600);
  assert.equal(await ask(alice, "example.org"), "3600 ");
});

test("an account that is online, on whatever node, was last active 0 seconds ago", async (t) => {
  const { alice, two, clock } = await stage(t);
  await come(two, "bob", "phone");
  await clock.wind(60);
  assert.equal(await ask(alice, "bob@example.org"), "0 ");
});

test("an account that said good-bye tells when, and its words", async (t) => {
  const { alice, two, clock } = await stage(t);
  const bob = await come(two, "bob", "phone");
  bob.send("<presence type='unavailable'><status>Heading &lt;Home&gt;</status></presence>");
  await heard(bob);
  await clock.wind(90);
  assert.equal(await ask(alice, "bob@example.org"), "90 Heading <Home>");
  // That the session goes too, later, is no news.
  await bob.leave();
  assert.equal(await ask(alice, "bob@example.org"), "90 Heading <Home>");
});

test("an account whose last session just ended tells when, and no words", async (t) => {
  const { alice, two, clock } = await stage(t);
  const phone = await come(two, "bob", "phone");
  const desk = await come(two, "bob", "desk");
  phone.send("<presence type='unavailable'><status>Off</status></presence>");
  await heard(phone);
  await clock.wind(10);
  assert.equal(await ask(alice, "bob@example.org"), "0 ");
  await heard(alice);
  await leave(desk, alice);
  await clock.wind(5);
  assert.equal(await ask(alice, "bob@example.org"), "5 ");
});

test("an account whose node died was last online when that was found", async (t) => {
  const { alice, two, clock, neighbourhood } = await stage(t);
  const bob = parseJid((await come(two, "bob", "phone")).jid) as Jid;
  await heard(alice);
  const [entry] = await neighbourhood.join("n3").registry.locate(bob);
  await neighbourhood.lose(entry as SessionEntry);
  assert.equal((await alice.next()).attrs.type, "unavailable");
  await clock.wind(7);
  assert.equal(await ask(alice, "bob@example.org"), "7 ");
});

test("long words are cut", async (t) => {
  const { alice, two } = await stage(t);
  const bob = await come(two, "bob", "phone");
  bob.send(`<presence type='unavailable'><status>${"x".repeat(1025)}</status></presence>`);
  await heard(bob);
  assert.equal(await ask(alice, "bob@example.org"), `0 ${"x".repeat(1024)}`);
});

test("who may not see the presence is refused, whether there is such an account or not, and whatever its state", async (t) => {
  const { alice, one, two } = await stage(t);
  const bob = await come(two, "bob", "phone");
  for (const to of ["alice@example.org", alice.jid, "nobody@example.org", "nobody@example.org/desk"]) {
    await refused(bob, to, "forbidden", "auth");
  }
  const eve = await come(one, "eve", "desk");
  await refused(eve, "bob@example.org", "forbidden", "auth");
  await refused(eve, bob.jid, "forbidden", "auth");
});

test("a client is asked itself, by those who may", async (t) => {
  const { alice, two } = await stage(t);
  const bob = await come(two, "bob", "phone");
  await heard(alice);
  alice.send(`<iq type='get' id='idle' to='${bob.jid}'><query xmlns='${LAST}'/></iq>`);
  await bob.receives(`<iq type='get' id='idle' from='${alice.jid}' to='${bob.jid}'><query xmlns='${LAST}'/></iq>`);
  bob.send(`<iq type='result' id='idle' to='${alice.jid}'><query xmlns='${LAST}' seconds='123'/></iq>`);
  await alice.receives(
    `<iq type='result' id='idle' from='${bob.jid}' to='${alice.jid}'><query xmlns='${LAST}' seconds='123'/></iq>`,
  );
});

test("an account that was never online tells nothing, and one's own may be asked", async (t) => {
  const { alice, two } = await stage(t);
  await two.account("bob");
  await refused(alice, "bob@example.org", "service-unavailable", "cancel");
  assert.equal(await ask(alice, "alice@example.org"), "0 ");
});

test("nothing is left of an account that is removed, also when its last session ends after it", async (t) => {
  const toml = moduleConfig({ registration: "", "last-activity": "" });
  const store = memoryDriver();
  const server: TestServer = await startServer(t, { store, toml });
  await befriend(store, "alice", "bob", "to");
  const alice = await come(server, "alice", "desk");
  const bob = await come(server, "bob", "phone");
  bob.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>");
  while ((await bob.next()).name !== "error") {}
  await befriend(store, "alice", "bob", "to");
  await server.account("bob");
  await refused(alice, "bob@example.org", "service-unavailable", "cancel");
});
