import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "@xmpp/client";
import { archived } from "../lib/archive.ts";
import { freshAccounts } from "../lib/datacenter.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import type { XmppClient } from "../lib/xmpp.ts";

const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
const BURST = 200;

test("Alice on one node and Bob on another write to each other", async (t) => {
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  assert.notEqual(alices.node, bobs.node);
  const message = await bobs.message(await alices.say(bobs.jid, "across"));
  assert.equal(message.attrs.from, alices.jid);
  assert.equal(message.attrs.to, bobs.jid);
  assert.equal((await alices.message(await bobs.say(alices.jid, "and back"))).getChildText("body"), "and back");
});

test(`${BURST} messages each way at once, none lost, none twice, all in order`, async (t) => {
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  const numbers = Array.from({ length: BURST }, (_, i) => String(i));
  const send = async (from: XmppClient, to: XmppClient) => {
    for (const number of numbers) await from.say(to.jid, number, `burst-${number}`);
  };
  await Promise.all([send(alices, bobs), send(bobs, alices)]);
  for (const [from, to] of [[alices, bobs] as const, [bobs, alices] as const]) {
    // Messages between two parties arrive in order (RFC 6120 10.1): after this one there is nothing to come.
    const last = await from.say(to.jid, "the last");
    await to.message(last, 30_000);
    const arrived = to.inbox.takeAll(({ name, attrs }) => name === "message" && attrs.from === from.jid);
    assert.deepEqual(
      arrived.map((message) => message.getChildText("body")),
      numbers,
    );
  }
});

test("a message to a resource that has left is not lost: its account finds it in the archive", async (t) => {
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  const gone = bobs.jid;
  await bobs.close();
  // RFC 6121 8.5.3.2.1: a full JID without a resource behind it stands for the account.
  await alices.say(gone, "still there?");
  await alices.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
  const again = await online(t, bob);
  assert.equal((await archived(again)).at(-1)?.body, "still there?");
});
