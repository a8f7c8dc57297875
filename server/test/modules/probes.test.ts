/** RFC 6121 4.3: who is asked for presence at a login, and what is answered, by accounts here and elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Envelope, Router, Session, SessionTable } from "../../src/module/api.ts";
import { DirectedPresence } from "../../src/modules/presence/directed.ts";
import { Probes } from "../../src/modules/presence/probes.ts";
import type { RosterApi } from "../../src/modules/roster.ts";
import { silentLog } from "../../src/observe/log.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json, type MapStore } from "../../src/storage/specs.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { normal, parse, type RawClient, startServer } from "../support/server.ts";
import { befriend, come, getRoster, heard, hears, isPushed, item, putItem, twoNodes } from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const shown = (from: string, to: string, inner = "") => `<presence from='${from}' to='${to}'>${inner}</presence>`;

test("another server is asked by the account, and who answers here answers the session", async () => {
  const routed: Envelope[] = [];
  const probes = new Probes({
    router: { route: (envelope: Envelope) => void routed.push(envelope), fanOut() {} } as unknown as Router,
    sessions: { locateEach: () => new Map() } as unknown as SessionTable,
    contacts: { shownTo: async () => new Set() } as unknown as RosterApi,
    directed: new DirectedPresence(undefined, 1, silentLog),
    lastSeen: memoryDriver().map?.("last_presence", json<number>()) as MapStore<number>,
    serves: () => false,
  });
  const desk = parseJid(`${ALICE}/desk`) as Jid;
  await probes.gather({ jid: desk } as Session, [parseJid("bob@elsewhere.example") as Jid]);
  assert.deepEqual(
    routed.map(({ stanza, from, to }) => [normal(stanza), from.full, to.full]),
    [
      [
        normal(parse(`<presence type='probe' from='${ALICE}' to='bob@elsewhere.example'/>`)),
        desk.full,
        "bob@elsewhere.example",
      ],
    ],
  );
});

test("contacts of another host type of this server are asked as well, and answer that one session", async (t) => {
  const store = memoryDriver();
  const toml = `
    hosts = [{ domain = "example.org" }, { domain = "other.example", type = "second" }]
    host_types.second.modules = { roster = {}, presence = {}, ping = {} }
    host_types.default.modules = { roster = {}, presence = {}, ping = {} }`;
  const server = await startServer(t, { store, toml });
  const bobs = "bob@other.example";
  await putItem(store, ALICE, bobs, { to: "yes", from: "yes" });
  await putItem(store, bobs, ALICE, { to: "yes", from: "yes" });
  await putItem(store, ALICE, "carol@other.example", { to: "yes" });
  const bob = await server.login("bob", "desk", "other.example");
  bob.send("<presence/>");
  await bob.receives(shown(bob.jid, bobs));
  await bob.receives(`<presence type='unavailable' from='${ALICE}' to='${bob.jid}'/>`);
  const phone = await come(server, "alice", "phone");
  await heard(phone);
  const alice = await server.login("alice", "desk");
  await getRoster(alice);
  alice.send("<presence/>");
  const said = await heard(alice);
  assert.ok(said.includes(normal(parse(shown(bob.jid, alice.jid)))), said.join("\n"));
  await hears(phone, shown(alice.jid, ALICE));
});

test("who is no longer let in learns it at the next login", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await putItem(store, ALICE, BOB, { to: "yes" });
  await putItem(store, ALICE, "nobody@example.org", { to: "yes" });
  // Bob has said yes to what he has not been asked; that stands (4.3.2).
  await putItem(store, BOB, ALICE, { approved: true });
  const bob = await come(two, "bob", "desk");
  const alice = await one.login("alice", "desk");
  await getRoster(alice);
  alice.send("<presence/>");
  const said = await heard(alice);
  for (const who of [BOB, "nobody@example.org"]) {
    assert.ok(said.includes(normal(parse(`<presence type='unsubscribed' from='${who}' to='${ALICE}'/>`))), said.join());
  }
  assert.deepEqual(await getRoster(alice), [
    item(`jid='${BOB}' subscription='none'`),
    item("jid='nobody@example.org' subscription='none'"),
  ]);
  assert.deepEqual(await getRoster(bob), [item(`jid='${ALICE}' subscription='none' approved='true'`)]);
});

async function away(asker: RawClient): Promise<string | undefined> {
  asker.send(`<presence to='${ALICE}' type='probe'/>`);
  const answer = await asker.next();
  assert.equal(answer.attrs.type, "unavailable", answer.toXml());
  assert.equal(answer.attrs.from, ALICE);
  return answer.child("delay", "urn:xmpp:delay")?.attrs.stamp;
}

test("an account tells since when it is away: since the last of its sessions left, or was lost with its node", async (t) => {
  const nodes = await twoNodes(t);
  await befriend(nodes.store, "alice", "bob", "from");
  const lastSeen = nodes.store.map?.("last_presence", json<number>());
  const account = parseJid(ALICE) as Jid;
  const bob = await nodes.one.login("bob", "desk");
  assert.equal(await away(bob), undefined);
  const desk = await come(nodes.one, "alice", "desk");
  const phone = await come(nodes.two, "alice", "phone");
  const [lost] = (await nodes.neighbourhood.join("observer").registry.locate(account)).filter(
    ({ node }) => node === "n2",
  );
  assert.ok(lost);
  await desk.leave();
  await bob.receivesNothing();
  assert.equal(await lastSeen?.get(account, "left"), undefined);
  await nodes.neighbourhood.lose(lost);
  await heard(bob);
  for (let i = 0; (await lastSeen?.get(account, "left")) === undefined; i++) {
    assert.ok(i < 1000, "it is kept");
    await new Promise(setImmediate);
  }
  const stamp = (await away(bob)) ?? "";
  assert.match(stamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.ok(Math.abs(Date.parse(stamp) - Date.now()) < 60_000, stamp);
  phone.socket.destroy();
});

test("a server lets everyone in, and is always there", async (t) => {
  const { one, two } = await twoNodes(t);
  const alice = await come(one, "alice", "desk");
  await getRoster(alice);
  alice.send("<presence to='example.org' type='subscribe'/>");
  await isPushed(alice, item("jid='example.org' subscription='none' ask='subscribe'"));
  await alice.receives(`<presence type='subscribed' from='example.org' to='${ALICE}'/>`);
  await isPushed(alice, item("jid='example.org' subscription='to'"));
  await alice.receives(shown("example.org", ALICE));
  const phone = await two.login("alice", "phone");
  phone.send("<presence/>");
  await phone.receivesAll(shown(phone.jid, ALICE), shown(alice.jid, phone.jid), shown("example.org", phone.jid));
  await heard(alice);
  alice.send("<presence to='example.org' type='probe'/>");
  await hears(alice, shown("example.org", alice.jid));
  alice.send("<presence to='example.org' type='unsubscribe'/>");
  await isPushed(alice, item("jid='example.org' subscription='none'"));
  await alice.receivesNothing();
});

test("a probe of a client is no reason to complain, whatever it is sent to", async (t) => {
  const server = await startServer(t);
  const alice = await come(server, "alice", "desk");
  for (const to of ["elsewhere.example", "bob@elsewhere.example", "other.example", `${ALICE}/nowhere`]) {
    alice.send(`<presence to='${to}' type='probe'/>`);
  }
  const said = await heard(alice);
  assert.ok(
    said.every((xml) => !xml.includes("'error'")),
    said.join(),
  );
});

test("a stranger learns nothing by a probe that looks like the server's own", async (t) => {
  const { one, two } = await twoNodes(t);
  const alice = await come(one, "alice", "desk");
  const mallory = await come(two, "mallory", "desk");
  for (const extent of ["whole", "mere", "directed"]) {
    for (const to of [ALICE, alice.jid]) {
      mallory.send(`<presence to='${to}' type='probe'><${extent} xmlns='urn:meerkat:probe'/></presence>`);
      await mallory.receivesNothing();
    }
  }
  await alice.receivesNothing();
});
