/** XEP-0030: what is told, and to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Element } from "../../src/xml/element.ts";
import { normal, type RawClient, startServer } from "../support/server.ts";
import { befriend, come, heard, isRefused, moduleConfig, twoNodes } from "./contacts.ts";

const INFO = "http://jabber.org/protocol/disco#info";
const ITEMS = "http://jabber.org/protocol/disco#items";

function ask(client: RawClient, to: string, xmlns: string, node = ""): void {
  client.send(`<iq type='get' id='d' to='${to}'><query xmlns='${xmlns}'${node}/></iq>`);
}

async function answer(client: RawClient, xmlns: string): Promise<Element[]> {
  const reply = await client.next();
  assert.equal(reply.attrs.type, "result", reply.toXml());
  return reply.child("query", xmlns)?.elements() ?? [];
}

test("the server tells its name and, in order and once each, what its modules can do", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ disco: 'name = "Heath"' }) });
  const alice = await server.login("alice", "desk");
  ask(alice, "example.org", INFO);
  const [identity, ...features] = await answer(alice, INFO);
  assert.deepEqual({ ...identity?.attrs }, { category: "server", type: "im", "xml:lang": "en", name: "Heath" });
  assert.deepEqual(
    features.map(({ name, attrs }) => `${name} ${attrs.var}`),
    [INFO, ITEMS, "jabber:iq:roster", "urn:xmpp:ping"].map((variable) => `feature ${variable}`),
  );
});

test("what a host type does not run is not told", async (t) => {
  const server = await startServer(t, { toml: "host_types.default.modules = { roster = {}, disco = {} }" });
  const alice = await server.login("alice", "desk");
  ask(alice, "example.org", INFO);
  const features = (await answer(alice, INFO)).map(({ attrs }) => attrs.var);
  assert.ok(!features.includes("urn:xmpp:ping"));
  assert.ok(features.includes(INFO));
});

test("the server has no items, and no nodes", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  ask(alice, "example.org", ITEMS);
  assert.deepEqual(await answer(alice, ITEMS), []);
  for (const to of ["example.org", "alice@example.org"]) {
    for (const xmlns of [INFO, ITEMS]) {
      ask(alice, to, xmlns, " node='n'");
      await isRefused(alice, "item-not-found", "cancel");
    }
  }
});

test("an account tells its kind, and its sessions on every node, to itself and to who sees its presence", async (t) => {
  const { one, two, store } = await twoNodes(t);
  await befriend(store, "bob", "alice", "from");
  const alice = await one.login("alice", "desk");
  const bob = await come(one, "bob", "desk");
  await come(two, "bob", "phone", "<presence><priority>-1</priority></presence>");
  await two.login("bob", "not-available");
  for (const client of [bob, alice]) {
    await heard(client);
    ask(client, "bob@example.org", INFO);
    const [identity] = await answer(client, INFO);
    assert.deepEqual({ ...identity?.attrs }, { category: "account", type: "registered" });
    ask(client, "bob@example.org", ITEMS);
    assert.deepEqual(
      (await answer(client, ITEMS)).map((item) => item.attrs.jid),
      ["bob@example.org/desk", "bob@example.org/phone"],
    );
  }
});

test("to a stranger an account looks like one that does not exist, also when the stranger has asked to see it", async (t) => {
  const server = await startServer(t);
  await come(server, "bob", "desk");
  const alice = await come(server, "alice", "desk");
  for (const to of ["bob@example.org", "nobody@example.org"]) {
    alice.send(`<presence to='${to}' type='subscribe'/>`);
  }
  await heard(alice);
  const told = new Map<string, string[]>();
  for (const name of ["bob", "nobody"]) {
    const replies: string[] = [];
    for (const xmlns of [INFO, ITEMS]) {
      for (const node of ["", " node='n'"]) {
        ask(alice, `${name}@example.org`, xmlns, node);
        replies.push(normal(await alice.next()).replaceAll(name, "NAME"));
      }
    }
    told.set(name, replies);
  }
  assert.deepEqual(told.get("bob"), told.get("nobody"));
  assert.match(told.get("bob")?.[0] ?? "", /service-unavailable/);
});

test("nothing is set by a question", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  alice.send(`<iq type='set' id='1' to='example.org'><query xmlns='${INFO}'/></iq>`);
  await isRefused(alice, "not-allowed", "cancel");
});
