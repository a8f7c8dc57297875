/** One presence for many addresses: each passes the filters by itself, and other nodes hear of it once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "../../src/cluster/cluster.ts";
import type { AccountDirectory, Envelope } from "../../src/module/api.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { swallow } from "../../src/module/hooks.ts";
import { silentLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Hosts } from "../../src/router/hosts.ts";
import { Router } from "../../src/router/router.ts";
import { type LocalSession, Sessions } from "../../src/router/sessions.ts";
import { element } from "../../src/xml/element.ts";
import { StanzaError } from "../../src/xmpp/errors.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Neighbourhood } from "../support/nodes.ts";

const jid = (text: string) => parseJid(text) as Jid;
const ALICE = jid("alice@example.org/desk");

function node(cluster: Cluster) {
  const sessions = new Sessions(cluster, silentLog, { maxPerAccount: 10, replaceTimeoutMs: 1000 });
  const hosts = new Hosts();
  const hooks = new HookTable(silentLog);
  hosts.add("example.org", { name: "default", hooks, accounts: {} as AccountDirectory });
  const router = new Router(hosts, sessions, silentLog, createMetrics({ process: false }));
  const heard: string[] = [];
  async function session(full: string, available = true): Promise<void> {
    const own = jid(full);
    const deliver = ({ from, stanza, origin }: Envelope) => {
      assert.equal(from.full, stanza.attrs.from);
      heard.push(`${full} ${origin.kind}: ${stanza.attrs.to} ${stanza.childText("show")}`);
    };
    const entry = { jid: own, id: full, node: cluster.bus.nodeId, priority: available ? 0 : undefined, marks: [] };
    await sessions.open({ jid: own, id: full, available, entry, deliver } as unknown as LocalSession);
  }
  return { router, hooks, session, heard };
}

test("every available session of each address gets it, on every node, which hears of it once", async () => {
  const neighbourhood = new Neighbourhood();
  const cluster = neighbourhood.join("n1");
  let sent = 0;
  const send: typeof cluster.bus.send = (...message) => {
    sent++;
    return cluster.bus.send(...message);
  };
  const one = node({ ...cluster, bus: { ...cluster.bus, send } });
  const two = node(neighbourhood.join("n2"));
  for (const full of ["bob@example.org/desk", "carol@example.org/desk"]) await one.session(full);
  for (const full of ["bob@example.org/phone", "bob@example.org/tv", "dave@example.org/desk"]) await two.session(full);
  await one.session("bob@example.org/silent", false);
  await two.session("carol@example.org/silent", false);
  const presence = element("presence", NS.client, {}, element("show", NS.client, {}, "away"));
  const to = ["bob", "carol", "dave", "erin"].map((local) => jid(`${local}@example.org`));
  await one.router.fanOut(presence, ALICE, to);
  assert.equal(sent, 1);
  assert.deepEqual(one.heard, [
    "bob@example.org/desk server: bob@example.org away",
    "carol@example.org/desk server: carol@example.org away",
  ]);
  assert.deepEqual(two.heard, [
    "bob@example.org/phone node: bob@example.org away",
    "bob@example.org/tv node: bob@example.org away",
    "dave@example.org/desk node: dave@example.org away",
  ]);
  await one.router.fanOut(presence, ALICE, []);
  assert.equal(sent, 1);
});

test("an address for which it is refused, swallowed or changed differs from the others", async () => {
  const neighbourhood = new Neighbourhood();
  const one = node(neighbourhood.join("n1"));
  const two = node(neighbourhood.join("n2"));
  for (const local of ["bob", "carol", "dave", "erin"]) {
    await one.session(`${local}@example.org/desk`);
    await two.session(`${local}@example.org/phone`);
  }
  one.hooks.filters.localDelivery.add("rewrite", (envelope) => {
    if (envelope.to.local === "bob") return new StanzaError("forbidden");
    if (envelope.to.local === "carol") return swallow;
    if (envelope.to.local === "dave") {
      envelope.stanza = envelope.stanza.withChildren([element("show", NS.client, {}, "xa")]);
    }
    return undefined;
  });
  const to = ["bob", "carol", "dave", "erin"].map((local) => jid(`${local}@example.org`));
  await one.router.fanOut(element("presence", NS.client), ALICE, to);
  assert.deepEqual(one.heard.sort(), [
    "dave@example.org/desk server: dave@example.org xa",
    "erin@example.org/desk server: erin@example.org ",
  ]);
  assert.deepEqual(two.heard.sort(), [
    "dave@example.org/phone node: dave@example.org xa",
    "erin@example.org/phone node: erin@example.org ",
  ]);
});

test("a node that cannot be reached does not keep the others from hearing", async () => {
  const neighbourhood = new Neighbourhood();
  const one = node(neighbourhood.join("n1"));
  neighbourhood.join("n0");
  const two = node(neighbourhood.join("n2"));
  await two.session("bob@example.org/desk");
  await one.router.fanOut(element("presence", NS.client), ALICE, [
    jid("bob@example.org"),
    jid("bob@elsewhere.example"),
  ]);
  assert.equal(two.heard.length, 1);
});
