/** RFC 6121 4 as the clients see it: who hears of whom, and when, on one node and on two. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { normal, parse, startServer } from "../support/server.ts";
import {
  befriend,
  come,
  getRoster,
  heard,
  hears,
  isPushed,
  isRefused,
  item,
  moduleConfig,
  twoNodes,
} from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const shown = (from: string, to: string, inner = "") => `<presence from='${from}' to='${to}'>${inner}</presence>`;
const gone = (from: string, to: string, inner = "") =>
  `<presence type='unavailable' from='${from}' to='${to}'>${inner}</presence>`;

test("who comes online is shown to those who may see, and is shown whom it may see", async (t) => {
  const { one, two, store } = await twoNodes(t);
  for (const [contact, subscription] of [
    ["bob", "both"],
    ["carol", "to"],
    ["dave", "from"],
    ["erin", "both"],
  ] as const) {
    await befriend(store, "alice", contact, subscription);
  }
  const bobs = [await come(one, "bob", "desk"), await come(two, "bob", "phone", "<presence id='p'/>")];
  const carol = await come(two, "carol", "desk");
  const dave = await come(two, "dave", "desk");
  const phone = await come(two, "alice", "phone", "<presence><show>dnd</show></presence>");
  const stranger = await come(one, "mallory", "desk");
  for (const client of [...bobs, carol, dave]) await heard(client);

  const alice = await one.login("alice", "desk");
  await alice.receivesNothing();
  alice.send("<presence id='1' xml:lang='de'><status>da</status></presence>");
  const said = (to: string) =>
    `<presence id='1' xml:lang='de' from='${alice.jid}' to='${to}'><status>da</status></presence>`;
  await alice.receivesAll(
    said(ALICE),
    shown("alice@example.org/phone", alice.jid, "<show>dnd</show>"),
    shown("bob@example.org/desk", alice.jid),
    `<presence id='p' from='bob@example.org/phone' to='${alice.jid}'/>`,
    shown("carol@example.org/desk", alice.jid),
    gone("erin@example.org", alice.jid),
  );
  for (const bob of bobs) await hears(bob, said(BOB));
  await hears(dave, said("dave@example.org"));
  await hears(phone, said(ALICE));
  for (const client of [alice, carol, stranger]) await client.receivesNothing();
});

test("a change is shown to the same, and nobody is asked again", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  const alice = await come(one, "alice", "desk");
  await heard(bob);
  for (const inner of ["<show>away</show><priority>5</priority>", "<show>away</show><priority>5</priority>", ""]) {
    alice.send(`<presence>${inner}</presence>`);
    await hears(alice, shown(alice.jid, ALICE, inner));
    await hears(bob, shown(alice.jid, BOB, inner));
  }
});

test("a presence that is none is answered, shown to nobody, and changes nothing", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  await befriend(store, "alice", "bob");
  const bob = await come(server, "bob", "desk");
  const alice = await come(server, "alice", "desk", "<presence><priority>3</priority></presence>");
  await heard(bob);
  for (const xml of [
    "<presence><priority>128</priority></presence>",
    "<presence><priority>-129</priority></presence>",
    "<presence><priority>high</priority></presence>",
    "<presence type='available'/>",
    "<presence type='invisible'/>",
    "<presence type='invisible' to='bob@example.org'/>",
  ]) {
    alice.send(xml);
    await isRefused(alice, "bad-request", "modify");
  }
  alice.send("<presence to='@'/>");
  await isRefused(alice, "jid-malformed", "modify");
  alice.send("<presence type='unsubscribed'/>");
  await isRefused(alice, "bad-request", "modify");
  alice.send("<presence type='probe'/><presence type='error'/>");
  await alice.receivesNothing();
  await bob.receivesNothing();
  bob.send("<presence to='alice@example.org' type='probe'/>");
  await hears(bob, shown(alice.jid, bob.jid, "<priority>3</priority>"));
});

test("a session of negative priority is seen, and gets what is for it alone", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  const alice = await come(one, "alice", "desk", "<presence><priority>-1</priority></presence>");
  await hears(bob, shown(alice.jid, BOB, "<priority>-1</priority>"));
  bob.send(`<message to='${ALICE}' type='chat' id='1'/>`);
  await isRefused(bob, "service-unavailable", "cancel");
  bob.send(`<message to='${alice.jid}' type='chat' id='2'/>`);
  await bob.receivesNothing();
  assert.deepEqual((await alice.next()).attrs.id, "2");
  await alice.receivesNothing();
});

test("who goes offline says so to contacts and to itself, and is greeted anew when it comes back", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  const phone = await come(two, "alice", "phone");
  const alice = await come(one, "alice", "desk");
  await heard(bob);
  await heard(phone);
  const status = "<status>bye</status>";
  alice.send(`<presence type='unavailable'>${status}</presence>`);
  // RFC 6121 4.5.2: also to the session that said it.
  await hears(alice, gone(alice.jid, alice.jid, status));
  await hears(bob, gone(alice.jid, BOB, status));
  await hears(phone, gone(alice.jid, ALICE, status));
  // Said twice, and then the stream closed: there is nothing more to say.
  alice.send("<presence type='unavailable'/>");
  await alice.receivesNothing();
  bob.send("<presence><show>away</show></presence>");
  await heard(bob);
  await alice.receivesNothing();
  alice.send("<presence/>");
  await alice.receivesAll(
    shown(alice.jid, ALICE),
    shown(phone.jid, alice.jid),
    shown(bob.jid, alice.jid, "<show>away</show>"),
  );
  await hears(bob, shown(alice.jid, BOB));
  alice.send("<presence type='unavailable'/>");
  await heard(alice);
  await hears(bob, gone(alice.jid, BOB));
  await alice.leave();
  await bob.receivesNothing();
});

for (const [how, end] of Object.entries({
  "closes its stream": "leave",
  "loses its connection": "destroy",
  "sends what is no XML": "break",
})) {
  test(`who ${how} without a word is unavailable, once, to contacts and its other sessions`, async (t) => {
    const { one, two, store } = await twoNodes(t);
    await befriend(store, "alice", "bob");
    const bob = await come(two, "bob", "desk");
    const phone = await come(two, "alice", "phone");
    const silent = await one.login("alice", "silent");
    const alice = await come(one, "alice", "desk");
    await heard(bob);
    await heard(phone);
    // One that was never available goes without notice.
    await silent.leave();
    if (end === "leave") await alice.leave();
    else if (end === "destroy") alice.socket.destroy();
    else alice.send("<<");
    await bob.receives(gone(alice.jid, BOB));
    await phone.receives(gone(alice.jid, ALICE));
    await bob.receivesNothing();
    await phone.receivesNothing();
    bob.send(`<presence to='${ALICE}' type='probe'/>`);
    await hears(bob, shown(phone.jid, bob.jid));
  });
}

test("whom a session showed itself to of its own accord hears when it goes, and not of changes", async (t) => {
  const { one, two } = await twoNodes(t);
  const bob = await come(two, "bob", "desk");
  const carol = await come(one, "carol", "desk");
  const dave = await come(one, "dave", "desk");
  const alice = await come(one, "alice", "desk");
  const direct = (type = "") => {
    for (const to of [BOB, carol.jid, "dave@example.org"]) alice.send(`<presence to='${to}'${type}/>`);
  };
  direct();
  await alice.receivesNothing();
  await hears(bob, shown(alice.jid, BOB));
  await hears(carol, shown(alice.jid, carol.jid));
  await hears(dave, shown(alice.jid, "dave@example.org"));
  alice.send("<presence to='dave@example.org' type='unavailable'/>");
  alice.send("<presence><show>away</show></presence>");
  await heard(alice);
  await hears(dave, gone(alice.jid, "dave@example.org"));
  for (const client of [bob, carol]) await client.receivesNothing();

  alice.send("<presence type='unavailable'><status>bye</status></presence>");
  await heard(alice);
  await hears(bob, gone(alice.jid, BOB, "<status>bye</status>"));
  await hears(carol, gone(alice.jid, carol.jid, "<status>bye</status>"));
  await dave.receivesNothing();

  // Not available to anyone else, but to Bob it is.
  alice.send(`<presence to='${BOB}'/>`);
  await alice.receivesNothing();
  await hears(bob, shown(alice.jid, BOB));
  alice.socket.destroy();
  await bob.receives(gone(alice.jid, BOB));
  for (const client of [bob, carol, dave]) await client.receivesNothing();
});

test("as many are remembered for a good-bye as the configuration says, the latest", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ presence: "max_directed = 2" }) });
  const names = ["bob", "carol", "dave"];
  const clients = [];
  for (const name of names) clients.push(await come(server, name, "desk"));
  const alice = await come(server, "alice", "desk");
  // The first is named again, so it is the second that is the oldest.
  for (const to of ["bob", "carol", "bob", "dave"]) alice.send(`<presence to='${to}@example.org'/>`);
  await alice.receivesNothing();
  for (const client of clients) await heard(client);
  alice.send("<presence type='unavailable'/>");
  await heard(alice);
  const farewells = [];
  for (const client of clients) farewells.push((await heard(client)).length);
  assert.deepEqual(farewells, [1, 0, 1]);
});

test("a probe is answered with what the account shows, at once to a session, else by the account", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob", "from");
  const phone = await come(two, "alice", "phone", "<presence><show>xa</show></presence>");
  const desk = await come(one, "alice", "desk");
  const silent = await one.login("alice", "silent");
  await heard(phone);
  const bob = await one.login("bob", "desk");
  bob.send(`<presence to='${ALICE}' type='probe'/>`);
  await bob.receivesAll(shown(desk.jid, bob.jid), shown(phone.jid, bob.jid, "<show>xa</show>"));
  bob.send(`<presence to='${phone.jid}' type='probe'/><presence to='${silent.jid}' type='probe'/>`);
  // RFC 6121 4.3.2: of a session asked for by name, only whether it is there.
  await bob.receives(shown(phone.jid, bob.jid));
  await bob.receives(gone(silent.jid, bob.jid));
  bob.send(`<presence to='${ALICE}/nowhere' type='probe' id='7'/>`);
  await bob.receives(`<presence type='unavailable' id='7' from='${ALICE}/nowhere' to='${bob.jid}'/>`);
  await phone.leave();
  await desk.leave();
  bob.send(`<presence to='${ALICE}' type='probe' id='8'/>`);
  const away = await bob.next();
  const stamp = away.child("delay", "urn:xmpp:delay")?.attrs.stamp ?? "";
  // RFC 6121 4.3.2.1: the question's id, as there is no other.
  assert.equal(
    normal(away),
    normal(
      parse(
        `<presence type='unavailable' id='8' from='${ALICE}' to='${bob.jid}'><delay xmlns='urn:xmpp:delay' from='example.org' stamp='${stamp}'/></presence>`,
      ),
    ),
  );
  assert.ok(Math.abs(Date.parse(stamp) - Date.now()) < 60_000, stamp);
  await bob.receivesNothing();
  await silent.receivesNothing();
});

test("a stranger's probe is answered alike for who is there, who is not, and who does not exist", async (t) => {
  const { one, two } = await twoNodes(t);
  const bob = await come(two, "bob", "desk");
  await two.account("carol");
  const alice = await come(one, "alice", "desk");
  await getRoster(alice);
  for (const name of ["bob", "carol", "nobody"]) {
    for (const to of [`${name}@example.org`, `${name}@example.org/desk`]) {
      alice.send(`<presence to='${to}' type='probe'/>`);
      await alice.receivesNothing();
      // Who has asked to see is told no (RFC 6121 4.3.2).
      alice.send(`<presence to='${name}@example.org' type='subscribe'/>`);
      await isPushed(alice, item(`jid='${name}@example.org' subscription='none' ask='subscribe'`));
      alice.send(`<presence to='${to}' type='probe'/>`);
      await alice.receives(`<presence type='unsubscribed' from='${name}@example.org' to='${ALICE}'/>`);
      await isPushed(alice, item(`jid='${name}@example.org' subscription='none'`));
      await alice.receivesNothing();
    }
  }
  assert.equal((await heard(bob)).length, 1, "Bob has been asked, once, and heard of no probe");
});

test("a presence of one sender and the messages around it come to a contact on another node in order", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const bob = await come(two, "bob", "desk");
  const alice = await come(one, "alice", "desk");
  await heard(bob);
  const expected: string[] = [];
  for (let i = 0; i < 20; i++) {
    for (const [xml, arrives] of [
      [`<presence id='p${i}'/>`, `<presence id='p${i}' from='${alice.jid}' to='${BOB}'/>`],
      [`<message to='${BOB}' id='b${i}'/>`, `<message to='${BOB}' id='b${i}' from='${alice.jid}'/>`],
      [`<message to='${bob.jid}' id='f${i}'/>`, `<message to='${bob.jid}' id='f${i}' from='${alice.jid}'/>`],
      [`<presence to='${BOB}' id='d${i}'/>`, `<presence to='${BOB}' id='d${i}' from='${alice.jid}'/>`],
    ] as const) {
      alice.send(xml);
      expected.push(arrives);
    }
  }
  assert.equal((await heard(alice)).length, 20);
  await hears(bob, ...expected);
});
