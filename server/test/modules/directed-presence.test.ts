/** RFC 6121 4.6 as the clients see it: presence that a session shows to someone of its own accord, and takes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SessionEntry } from "../../src/cluster/cluster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json, type StorageDriver } from "../../src/storage/specs.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer } from "../support/server.ts";
import { befriend, come, getRoster, heard, hears, moduleConfig, type Pair, putItem, twoNodes } from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const shown = (from: string, to: string, inner = "") => `<presence from='${from}' to='${to}'>${inner}</presence>`;
const gone = (from: string, to: string, inner = "") =>
  `<presence type='unavailable' from='${from}' to='${to}'>${inner}</presence>`;

async function show(client: RawClient, ...to: string[]): Promise<void> {
  for (const each of to) client.send(`<presence to='${each}'/>`);
  await heard(client);
}

function directedStore(store: StorageDriver) {
  const map = store.map?.<{ resource: string; to: string[] }>("directed_presence", json());
  assert.ok(map);
  return map;
}

/** What is kept for Alice's sessions, without their ids. */
async function kept(store: StorageDriver): Promise<unknown[]> {
  return [...(await directedStore(store).list(parseJid(ALICE) as Jid)).values()];
}

test("a contact who sees the account and was shown a presence directly hears one good-bye", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  for (const end of ["leave", "unavailable", "destroy"] as const) {
    const alice = await come(one, "alice", "desk");
    await show(alice, BOB, bob.jid, ALICE);
    await heard(bob);
    if (end === "unavailable") alice.send("<presence type='unavailable'/>");
    else if (end === "leave") await alice.leave();
    else alice.socket.destroy();
    await bob.receives(gone(alice.jid, BOB));
    await bob.receivesNothing();
    if (end === "unavailable") await alice.leave();
  }
});

test("a contact shown a presence by a session that was never available hears its good-bye", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  const alice = await one.login("alice", "desk");
  await show(alice, BOB);
  await hears(bob, shown(alice.jid, BOB));
  alice.socket.destroy();
  await bob.receives(gone(alice.jid, BOB));
});

test("who leaves first, or cannot be reached, hears no good-bye", async (t) => {
  const { one, two } = await twoNodes(t);
  const bob = await come(two, "bob", "desk");
  const carol = await come(one, "carol", "desk");
  const dave = await come(two, "dave", "desk");
  const alice = await come(one, "alice", "desk");
  await show(alice, bob.jid, carol.jid, dave.jid);
  for (const client of [bob, carol, dave]) await heard(client);
  bob.send(`<presence to='${alice.jid}' type='unavailable'/>`);
  await heard(bob);
  carol.send(
    `<presence to='${alice.jid}' type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`,
  );
  await heard(carol);
  assert.equal((await heard(alice)).length, 2);
  alice.send("<presence type='unavailable'/>");
  await heard(alice);
  await hears(dave, gone(alice.jid, dave.jid));
  await bob.receivesNothing();
  await carol.receivesNothing();
});

test("whose subscription is ended has heard the good-bye by that", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  const bob = await come(server, "bob", "desk");
  const alice = await come(server, "alice", "desk");
  await putItem(store, ALICE, BOB, { from: "yes" });
  await putItem(store, BOB, ALICE, { to: "yes" });
  await getRoster(bob);
  await show(alice, BOB);
  await heard(bob);
  alice.send(`<presence to='${BOB}' type='unsubscribed'/>`);
  await heard(alice);
  assert.equal((await heard(bob)).filter((xml) => xml.includes("'unavailable'")).length, 1);
  alice.send("<presence type='unavailable'/>");
  await heard(alice);
  await bob.receivesNothing();
});

test("to whom a session showed itself, it answers that it is there, and nothing else; to others not even that", async (t) => {
  const { one, two } = await twoNodes(t);
  const bob = await come(two, "bob", "desk");
  await getRoster(bob);
  const alice = await come(one, "alice", "desk", "<presence><show>dnd</show></presence>");
  const phone = await come(one, "alice", "phone");
  const silent = await one.login("alice", "silent");
  const probe = (to: string) => bob.send(`<presence to='${to}' type='probe' id='p'/>`);
  await show(alice, bob.jid);
  await show(silent, bob.jid);
  await heard(bob);
  for (const client of [alice, silent]) {
    probe(client.jid);
    await hears(bob, shown(client.jid, bob.jid));
  }
  // The answer "unsubscribed" goes to Bob's account, which has asked for nothing.
  for (const to of [phone.jid, ALICE, `${ALICE}/nowhere`]) {
    probe(to);
    await bob.receivesNothing();
  }
  alice.send(`<presence to='${bob.jid}' type='unavailable'/>`);
  await heard(alice);
  await heard(bob);
  probe(alice.jid);
  await bob.receivesNothing();
  for (const client of [alice, phone, silent]) assert.ok((await heard(client)).every((xml) => !xml.includes("probe")));
});

async function entries({ neighbourhood }: Pair): Promise<readonly SessionEntry[]> {
  return neighbourhood.join("observer").registry.locate(parseJid(ALICE) as Jid);
}

test("when a node dies, another says the good-byes of its sessions, to each of those they are owed to", async (t) => {
  const nodes = await twoNodes(t);
  await befriend(nodes.store, "alice", "bob");
  const bob = await come(nodes.one, "bob", "desk");
  const carol = await come(nodes.one, "carol", "desk");
  const dave = await come(nodes.one, "dave", "desk");
  const alice = await come(nodes.two, "alice", "desk");
  const silent = await nodes.two.login("alice", "silent");
  const phone = await come(nodes.one, "alice", "phone");
  await show(alice, BOB, carol.jid, "dave@example.org");
  await show(silent, carol.jid);
  await show(phone, "dave@example.org");
  alice.send("<presence to='dave@example.org' type='unavailable'/>");
  await heard(alice);
  for (const client of [bob, carol, dave]) await heard(client);
  for (const entry of await entries(nodes)) if (entry.node === "n2") await nodes.neighbourhood.lose(entry);
  await bob.receives(gone(alice.jid, BOB));
  await carol.receivesAll(gone(alice.jid, carol.jid), gone(silent.jid, carol.jid));
  for (const client of [bob, carol, dave]) await client.receivesNothing();
  assert.deepEqual(await kept(nodes.store), [{ resource: "phone", to: ["dave@example.org"] }]);
});

test("what a node that died alone left behind is settled when the account next shows itself to someone", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  const bob = await come(server, "bob", "desk");
  const carol = await come(server, "carol", "desk");
  const left = { resource: "desk", to: [bob.jid, carol.jid] };
  await directedStore(store).set(parseJid(ALICE) as Jid, "a session of yesterday", left);
  const alice = await come(server, "alice", "phone");
  await show(alice, bob.jid);
  await carol.receives(gone(`${ALICE}/desk`, carol.jid));
  await bob.receivesAll(shown(alice.jid, bob.jid), gone(`${ALICE}/desk`, bob.jid));
  assert.deepEqual(await kept(store), [{ resource: "phone", to: [bob.jid] }]);
});

test("whom a later session of the same address has told itself is not told that it is gone", async (t) => {
  const store = memoryDriver();
  const nodes = new Neighbourhood();
  const server = await startServer(t, { store, cluster: nodes.join("n1") });
  const bob = await come(server, "bob", "desk");
  const carol = await come(server, "carol", "desk");
  const alice = await come(server, "alice", "desk");
  await show(alice, bob.jid);
  await heard(bob);
  const left = { resource: "desk", to: [bob.jid, carol.jid] };
  await directedStore(store).set(parseJid(ALICE) as Jid, "its forerunner", left);
  const lost = { jid: parseJid(alice.jid) as Jid, node: "n2", id: "its forerunner", priority: undefined, marks: [] };
  await nodes.lose(lost);
  await carol.receives(gone(alice.jid, carol.jid));
  await bob.receivesNothing();
});

test("nothing is left in the store by sessions that end, nor kept at all where the configuration says so", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  const alice = await come(server, "alice", "desk");
  await show(alice, BOB, "carol@example.org");
  assert.deepEqual(await kept(store), [{ resource: "desk", to: [BOB, "carol@example.org"] }]);
  await alice.leave();
  for (let i = 0; (await kept(store)).length > 0; i++) {
    assert.ok(i < 1000, "it is removed");
    await new Promise(setImmediate);
  }
  const frugal = await startServer(t, { store, toml: moduleConfig({ presence: "keep_directed = false" }) });
  const bob = await come(frugal, "bob", "desk");
  const again = await come(frugal, "alice", "desk");
  await show(again, BOB);
  assert.deepEqual(await kept(store), []);
  await heard(bob);
  again.socket.destroy();
  await bob.receives(gone(again.jid, BOB));
});
