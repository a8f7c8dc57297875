import assert from "node:assert/strict";
import { test } from "node:test";
import { type Element, xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { eventually } from "../lib/eventually.ts";
import { RawClient } from "../lib/raw.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import type { XmppClient } from "../lib/xmpp.ts";

const ROSTER = "jabber:iq:roster";

async function roster(client: XmppClient): Promise<Record<string, string>> {
  const result = await client.iq("get", xml("query", { xmlns: ROSTER }));
  const items = result.getChild("query", ROSTER)?.getChildren("item") ?? [];
  return Object.fromEntries(items.map(({ attrs }) => [attrs.jid as string, state(attrs)]));
}

function state({ subscription = "none", ask }: Element["attrs"]): string {
  return ask === undefined ? subscription : `${subscription} ask=${ask}`;
}

/** The next roster push, as "jid: subscription". */
async function push(client: XmppClient): Promise<string> {
  const iq = await client.inbox.next(
    (stanza) => stanza.name === "iq" && stanza.attrs.type === "set" && stanza.getChild("query", ROSTER) !== undefined,
    { what: "roster push" },
  );
  const { attrs = {} } = iq.getChild("query", ROSTER)?.getChild("item") ?? {};
  return `${attrs.jid}: ${state(attrs)}`;
}

/** A client that has its roster and is available. */
async function begin(client: XmppClient): Promise<void> {
  await roster(client);
  await client.send(xml("presence"));
  // Its own presence comes back to each available resource, this one too (RFC 6121 4.2.2).
  await client.presence(client.jid);
}

const send = (client: XmppClient, type: string, to: string) => client.send(xml("presence", { type, to }));

test("Alice and Bob on two nodes subscribe, see each other come and go, and part (RFC 6121 3 and 4)", async (t) => {
  const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  await begin(alices);
  await begin(bobs);

  // Alice asks. Both see it: she in her roster, Bob as a request from her bare JID.
  await send(alices, "subscribe", bobs.bare);
  assert.equal(await push(alices), `${bobs.bare}: none ask=subscribe`);
  await bobs.presence(alices.bare, "subscribe");

  // Bob approves: rosters on both sides, and his presence goes to her without his sending it again.
  await send(bobs, "subscribed", alices.bare);
  assert.equal(await push(bobs), `${alices.bare}: from`);
  assert.equal(await push(alices), `${bobs.bare}: to`);
  await alices.presence(bobs.bare, "subscribed");
  await alices.presence(bobs.jid);

  // And the other way round.
  await send(bobs, "subscribe", alices.bare);
  await alices.presence(bobs.bare, "subscribe");
  await send(alices, "subscribed", bobs.bare);
  await bobs.presence(alices.bare, "subscribed");
  await bobs.presence(alices.jid);
  await eventually(async () => (await roster(alices))[bobs.bare] === "both", { what: "Alice's roster says both" });
  await eventually(async () => (await roster(bobs))[alices.bare] === "both", { what: "Bob's roster says both" });

  // A change of presence goes across.
  await alices.send(xml("presence", {}, xml("show", {}, "dnd"), xml("status", {}, "thinking")));
  const busy = await bobs.presence(alices.jid);
  assert.equal(busy.getChildText("show"), "dnd");
  assert.equal(busy.getChildText("status"), "thinking");

  // Bob withdraws what he gave: Alice sees him leave, and is told.
  await send(bobs, "unsubscribed", alices.bare);
  await alices.presence(bobs.bare, "unsubscribed");
  await eventually(async () => (await roster(alices))[bobs.bare] === "from", { what: "Alice's roster says from" });
  await eventually(async () => (await roster(bobs))[alices.bare] === "to", { what: "Bob's roster says to" });
});

test("Bob loses the connection of a client that cannot resume: Alice on the other node sees it as unavailable", async (t) => {
  const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  await begin(alices);
  await begin(bobs);
  await send(alices, "subscribe", bobs.bare);
  await bobs.presence(alices.bare, "subscribe");
  await send(bobs, "subscribed", alices.bare);
  await alices.presence(bobs.jid);
  const plain = await RawClient.online(site, bob);
  plain.send("<presence><status>by hand</status></presence>");
  const { attrs } = await alices.inbox.next(
    ({ name, attrs }) =>
      name === "presence" &&
      attrs.type === undefined &&
      attrs.from !== bobs.jid &&
      attrs.from?.startsWith(`${bobs.bare}/`) === true,
    { what: "presence of the other client" },
  );
  await plain[Symbol.asyncDispose]();
  await alices.presence(attrs.from as string, "unavailable");
});

test("Alice's two resources on two nodes share her roster by pushes, and her presence", async (t) => {
  const [alice] = (await freshAccounts(site.domain, "alice")) as [Account];
  const [balcony, garden] = await onTwoNodes(t, alice, alice, {
    first: { resource: "balcony" },
    second: { resource: "garden" },
  });
  await begin(balcony);
  await begin(garden);
  await balcony.presence(garden.jid);

  const contact = `romeo@${site.domain}`;
  const item = xml("item", { jid: contact, name: "Romeo" }, xml("group", {}, "Montagues"));
  await balcony.iq("set", xml("query", { xmlns: ROSTER }, item));
  for (const resource of [balcony, garden]) assert.equal(await push(resource), `${contact}: none`);
  assert.deepEqual(await roster(garden), { [contact]: "none" });

  await garden.iq("set", xml("query", { xmlns: ROSTER }, xml("item", { jid: contact, subscription: "remove" })));
  for (const resource of [balcony, garden]) assert.equal(await push(resource), `${contact}: remove`);
  assert.deepEqual(await roster(balcony), {});

  await garden.close();
  await balcony.presence(garden.jid, "unavailable");
});

test("removing a contact ends both subscriptions (RFC 6121 2.5.2)", async (t) => {
  const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  await begin(alices);
  await begin(bobs);
  for (const [from, to] of [[alices, bobs] as const, [bobs, alices] as const]) {
    await send(from, "subscribe", to.bare);
    await to.presence(from.bare, "subscribe");
    await send(to, "subscribed", from.bare);
    await from.presence(to.jid);
  }
  await alices.iq("set", xml("query", { xmlns: ROSTER }, xml("item", { jid: bobs.bare, subscription: "remove" })));
  await bobs.presence(alices.bare, "unsubscribe");
  await bobs.presence(alices.bare, "unsubscribed");
  await bobs.presence(alices.jid, "unavailable");
  assert.deepEqual(await roster(alices), {});
  await eventually(async () => (await roster(bobs))[alices.bare] === "none", { what: "Bob's roster says none" });
});

test("a subscription request waits for Bob who is offline, and is there when he comes", async (t) => {
  const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
  const alices = await online(t, alice);
  await begin(alices);
  const bare = `${bob.local}@${site.domain}`;
  await send(alices, "subscribe", bare);
  assert.equal(await push(alices), `${bare}: none ask=subscribe`);
  const bobs = await online(t, bob, { via: "websocket" });
  await begin(bobs);
  await bobs.presence(alices.bare, "subscribe");
});
