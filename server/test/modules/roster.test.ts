/** RFC 6121 2: the roster as its owner's sessions see it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type RawClient, startServer } from "../support/server.ts";
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
  putItem,
  twoNodes,
} from "./contacts.ts";

const QUERY = "<query xmlns='jabber:iq:roster'>";
const set = (client: RawClient, items: string) => client.send(`<iq type='set' id='s'>${QUERY}${items}</query></iq>`);
const isDone = (client: RawClient) =>
  client.receives(`<iq type='result' id='s' from='${client.jid.split("/")[0]}' to='${client.jid}'/>`);

test("a contact is added, changed and removed, and every session that asked for the roster hears of it", async (t) => {
  const { one, two } = await twoNodes(t);
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  const laptop = await one.login("alice", "laptop");
  const uninterested = await come(two, "alice", "tv");
  const bob = await one.login("bob", "desk");
  assert.deepEqual(await getRoster(bob), []);
  for (const client of [desk, phone, laptop]) assert.deepEqual(await getRoster(client), []);

  const bobs = "jid='bob@example.org' subscription='none'";
  for (const [sent, shown] of [
    ["<item jid='bob@example.org' name='Bob'><group>a</group><group>b</group></item>", [`${bobs} name='Bob'`, "ab"]],
    ["<item jid='bob@example.org' name='Robert'><group>b</group></item>", [`${bobs} name='Robert'`, "b"]],
    ["<item jid='bob@example.org'/>", [bobs, ""]],
  ] as const) {
    set(desk, sent);
    const groups = [...shown[1]].map((name) => `<group>${name}</group>`).join("");
    for (const client of [desk, phone, laptop]) await isPushed(client, item(shown[0], groups));
    await isDone(desk);
    for (const client of [desk, phone]) assert.deepEqual(await getRoster(client), [item(shown[0], groups)]);
  }
  set(phone, "<item jid='bob@example.org' subscription='remove'/>");
  for (const client of [desk, phone, laptop]) {
    await isPushed(client, item("jid='bob@example.org' subscription='remove'"));
  }
  await isDone(phone);
  assert.deepEqual(await getRoster(laptop), []);
  for (const client of [desk, phone, laptop, uninterested, bob]) await client.receivesNothing();
});

test("what a client says of a push is the end of it", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await getRoster(alice);
  set(alice, "<item jid='bob@example.org'/>");
  const { id } = (await alice.next()).attrs;
  await isDone(alice);
  alice.send(`<iq type='result' id='${id}' to='alice@example.org'/><iq type='result' id='${id}'/>`);
  alice.send(`<iq type='error' id='${id}'/>`);
  await alice.receivesNothing();
});

test("a contact is filed under its prepared bare JID, and the subscription is not the client's to say", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  set(alice, "<item jid='BOB@Example.org/desk' subscription='both' ask='subscribe' approved='true'/>");
  await isDone(alice);
  assert.deepEqual(await getRoster(alice), [item("jid='bob@example.org' subscription='none'")]);
});

test("an account is not its own contact", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  for (const jid of ["alice@example.org", "alice@example.org/desk"]) {
    set(alice, `<item jid='${jid}'/>`);
    await isRefused(alice, "not-allowed", "cancel");
  }
  assert.deepEqual(await getRoster(alice), []);
});

test("a change of name keeps the subscription", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  await befriend(store, "alice", "bob");
  const alice = await server.login("alice", "desk");
  set(alice, "<item jid='bob@example.org' name='B'/>");
  await isDone(alice);
  assert.deepEqual(await getRoster(alice), [item("jid='bob@example.org' subscription='both' name='B'")]);
});

test("nobody asks for or changes another's roster, whether that other exists or not", async (t) => {
  const server = await startServer(t);
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  for (const to of ["bob@example.org", "nobody@example.org"]) {
    alice.send(`<iq type='get' id='1' to='${to}'>${QUERY}</query></iq>`);
    await isRefused(alice, "forbidden", "auth");
    alice.send(`<iq type='set' id='2' to='${to}'>${QUERY}<item jid='alice@example.org'/></query></iq>`);
    await isRefused(alice, "forbidden", "auth");
  }
  alice.send(`<iq type='get' id='1' to='example.org'>${QUERY}</query></iq>`);
  await isRefused(alice, "service-unavailable", "cancel");
});

test("bad items are refused and change nothing", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await getRoster(alice);
  const bob = "<item jid='bob@example.org'";
  for (const [items, condition, type] of [
    ["", "bad-request", "modify"],
    ["<item/>", "bad-request", "modify"],
    ["<item jid=''/>", "bad-request", "modify"],
    ["<item jid='@example.org'/>", "bad-request", "modify"],
    ["<item jid='bob@example.org' xmlns='urn:x'/>", "bad-request", "modify"],
    ["<contact jid='bob@example.org'/>", "bad-request", "modify"],
    [`${bob}/>${bob}/>`, "bad-request", "modify"],
    [`${bob}><group>a</group><group>a</group></item>`, "bad-request", "modify"],
    [`${bob}><group>a\u00e9</group><group>ae\u0301</group></item>`, "bad-request", "modify"],
    [`${bob}><group/></item>`, "not-acceptable", "modify"],
    [`${bob} subscription='remove'/>`, "item-not-found", "cancel"],
  ] as const) {
    set(alice, items);
    await isRefused(alice, condition, type);
  }
  assert.deepEqual(await getRoster(alice), []);
  await alice.receivesNothing();
});

test("names and groups are as long and as many as the configuration says, and no more", async (t) => {
  const toml = moduleConfig({ roster: "max_name_size = 6, max_groups = 2" });
  const server = await startServer(t, { toml });
  const alice = await server.login("alice", "desk");
  const bob = (name: string, ...groups: string[]) =>
    `<item jid='bob@example.org' name='${name}'>${groups.map((group) => `<group>${group}</group>`).join("")}</item>`;
  for (const items of [bob("123456", "123456", "ééé"), bob("ééé")]) {
    set(alice, items);
    await isDone(alice);
  }
  for (const items of [bob("1234567"), bob("éééé"), bob("x", "1234567"), bob("x", "a", "b", "c")]) {
    set(alice, items);
    await isRefused(alice, "not-acceptable", "modify");
  }
  assert.deepEqual(await getRoster(alice), [item("jid='bob@example.org' subscription='none' name='ééé'")]);
});

test("a roster holds as many contacts as the configuration says; more are refused, those there can be changed", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store, toml: moduleConfig({ roster: "max_items = 2" }) });
  const alice = await server.login("alice", "desk");
  // Whoever only asks to be let in takes up no room.
  await putItem(store, "alice@example.org", "mallory@example.org", { listed: false, from: "pending", request: "" });
  set(alice, "<item jid='c@example.org'/>");
  await isDone(alice);
  set(alice, "<item jid='a@example.org'/>");
  await isDone(alice);
  set(alice, "<item jid='b@example.org'/>");
  await isRefused(alice, "not-allowed", "cancel");
  alice.send("<presence to='b@example.org' type='subscribe' id='p'/>");
  await isRefused(alice, "not-allowed", "cancel");
  alice.send("<presence to='b@example.org' type='subscribed'/>");
  set(alice, "<item jid='a@example.org' name='A'/>");
  await isDone(alice);
  set(alice, "<item jid='a@example.org' subscription='remove'/>");
  await isDone(alice);
  set(alice, "<item jid='b@example.org'/>");
  await isDone(alice);
  const left = [item("jid='b@example.org' subscription='none'"), item("jid='c@example.org' subscription='none'")];
  assert.deepEqual(await getRoster(alice), left);
});

test("as many requests of strangers are kept as the configuration says, and who asks in vain is not told", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ roster: "max_items = 1, max_requests = 1" }) });
  const bob = await come(server, "bob", "desk");
  set(bob, "<item jid='a@example.org'/>");
  await isDone(bob);
  const alice = await server.login("alice", "desk");
  const carol = await server.login("carol", "desk");
  alice.send("<presence to='bob@example.org' type='subscribe'/>");
  await alice.receivesNothing();
  await hears(bob, "<presence type='subscribe' from='alice@example.org' to='bob@example.org'/>");
  carol.send("<presence to='bob@example.org' type='subscribe'/>");
  await carol.receivesNothing();
  await bob.receivesNothing();
  // Who is in the roster already needs no room there.
  const a = await server.login("a", "desk");
  a.send("<presence to='bob@example.org' type='subscribe'/>");
  await a.receivesNothing();
  await hears(bob, "<presence type='subscribe' from='a@example.org' to='bob@example.org'/>");
  // Let in, Alice would be one contact too many.
  bob.send("<presence to='alice@example.org' type='subscribed'/>");
  await bob.receivesNothing();
  await alice.receivesNothing();
  bob.send("<presence to='alice@example.org' type='unsubscribed'/>");
  await bob.receivesNothing();
  carol.send("<presence to='bob@example.org' type='subscribe'/>");
  await carol.receivesNothing();
  await hears(bob, "<presence type='subscribe' from='carol@example.org' to='bob@example.org'/>");
});

test("a roster takes as many bytes as the configuration says", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ roster: "max_size = 1024" }) });
  const alice = await server.login("alice", "desk");
  const item = (jid: string, size: number) => `<item jid='${jid}@example.org' name='${"x".repeat(size)}'/>`;
  set(alice, item("a", 1000));
  await isDone(alice);
  set(alice, item("b", 25));
  await isRefused(alice, "not-allowed", "cancel");
  set(alice, item("b", 24));
  await isDone(alice);
  set(alice, item("a", 1001));
  await isRefused(alice, "not-allowed", "cancel");
  set(alice, item("a", 999));
  await isDone(alice);
});

test("removing a contact that only asks fails, and the question stays", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  alice.send("<presence to='bob@example.org' type='subscribe'/>");
  await alice.receivesNothing();
  set(bob, "<item jid='alice@example.org' subscription='remove'/>");
  await isRefused(bob, "item-not-found", "cancel");
  bob.send("<presence/>");
  const presence = "<presence from='bob@example.org/desk' to='bob@example.org'/>";
  await hears(bob, presence, "<presence type='subscribe' from='alice@example.org' to='bob@example.org'/>");
});

test("removing a contact ends both subscriptions, for both sides and on both nodes", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "alice", "bob");
  const alice = await come(one, "alice", "desk");
  const bob = await come(two, "bob", "desk");
  await getRoster(alice);
  await getRoster(bob);
  await heard(alice);
  set(alice, "<item jid='bob@example.org' subscription='remove'/>");
  await isPushed(alice, item("jid='bob@example.org' subscription='remove'"));
  // RFC 6121 2.5.2: each hears the other become unavailable.
  await alice.receives("<presence type='unavailable' from='bob@example.org/desk' to='alice@example.org'/>");
  await isDone(alice);
  const from = "from='alice@example.org'";
  await bob.receives(`<presence type='unsubscribe' ${from} to='bob@example.org'/>`);
  await isPushed(bob, item("jid='alice@example.org' subscription='to'"));
  await bob.receives(`<presence type='unavailable' from='alice@example.org/desk' to='bob@example.org'/>`);
  await bob.receives(`<presence type='unsubscribed' ${from} to='bob@example.org'/>`);
  await isPushed(bob, item("jid='alice@example.org' subscription='none'"));
  for (const client of [alice, bob]) {
    client.send("<presence><show>away</show></presence>");
    const show = `<presence from='${client.jid}' to='${client.jid.split("/")[0]}'><show>away</show></presence>`;
    await hears(client, show);
  }
  await alice.receivesNothing();
  await bob.receivesNothing();
});

test("removing a contact that was asked, and one that was approved before, takes both back", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await come(server, "bob", "desk");
  await getRoster(alice);
  alice.send("<presence to='bob@example.org' type='subscribe'/><presence to='bob@example.org' type='subscribed'/>");
  await isPushed(alice, item("jid='bob@example.org' subscription='none' ask='subscribe'"));
  await isPushed(alice, item("jid='bob@example.org' subscription='none' ask='subscribe' approved='true'"));
  await bob.receives("<presence type='subscribe' from='alice@example.org' to='bob@example.org'/>");
  set(alice, "<item jid='bob@example.org' subscription='remove'/>");
  await isPushed(alice, item("jid='bob@example.org' subscription='remove'"));
  await isDone(alice);
  await getRoster(bob);
  await bob.leave();
  const again = await server.login("bob", "desk");
  again.send("<presence/>");
  await hears(again, "<presence from='bob@example.org/desk' to='bob@example.org'/>");
  again.send("<presence to='alice@example.org' type='subscribe'/>");
  await again.receivesNothing();
  assert.deepEqual(await getRoster(again), [item("jid='alice@example.org' subscription='none' ask='subscribe'")]);
});
