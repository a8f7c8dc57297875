/** What the tests of rosters and presence share: accounts that know each other, on one node or two, and who heard what. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { RosterItem } from "../../src/modules/roster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json, type StorageDriver } from "../../src/storage/specs.ts";
import { parseJid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { normal, parse, type RawClient, startServer, type TestServer } from "../support/server.ts";

export interface Pair {
  readonly one: TestServer;
  readonly two: TestServer;
  readonly neighbourhood: Neighbourhood;
  readonly store: StorageDriver;
}

/** Two nodes over one store. */
export async function twoNodes(t: TestContext, toml = "", store: StorageDriver = memoryDriver()): Promise<Pair> {
  const neighbourhood = new Neighbourhood();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store, toml });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: `node = { id = "n2" }\n${toml}` });
  return { one, two, neighbourhood, store };
}

/** Which of two subscriptions there are: `both`, the first sees the second (`to`), or the second the first (`from`). */
export async function befriend(
  store: StorageDriver,
  first: string,
  second: string,
  subscription: "both" | "to" | "from" = "both",
): Promise<void> {
  const [a, b] = [`${first}@example.org`, `${second}@example.org`];
  const seen = { to: subscription === "from" ? "none" : "yes", from: subscription === "to" ? "none" : "yes" } as const;
  await putItem(store, a, b, seen);
  await putItem(store, b, a, { to: seen.from, from: seen.to });
}

export async function putItem(
  store: StorageDriver,
  account: string,
  contact: string,
  item: Partial<RosterItem>,
): Promise<void> {
  const owner = parseJid(account);
  assert.ok(owner);
  await store.map?.<RosterItem>("roster", json())?.set(owner, contact, {
    to: "none",
    from: "none",
    approved: false,
    name: "",
    groups: [],
    listed: true,
    request: "",
    ...item,
  });
}

/** All that has come to a client by the time the server answers it. */
export async function heard(client: RawClient): Promise<string[]> {
  client.send("<iq type='get' id='heard' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  const all: string[] = [];
  for (;;) {
    const element = await client.next();
    if (element.attrs.id === "heard") return all;
    all.push(normal(element));
  }
}

/** Exactly these have come to a client, in this order. */
export async function hears(client: RawClient, ...xmls: string[]): Promise<void> {
  assert.deepEqual(
    await heard(client),
    xmls.map((xml) => normal(parse(xml))),
  );
}

/** Logs in, goes online, and forgets what it was greeted with. */
export async function come(
  server: TestServer,
  local: string,
  resource: string,
  presence = "<presence/>",
): Promise<RawClient> {
  const client = await server.login(local, resource);
  client.send(presence);
  await heard(client);
  return client;
}

/** Asks for the roster, and so for pushes; returns its items. */
export async function getRoster(client: RawClient): Promise<string[]> {
  client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
  for (;;) {
    const answer = await client.next();
    if (answer.attrs.id !== "roster") continue;
    assert.equal(answer.attrs.type, "result", answer.toXml());
    const items = answer.child("query", "jabber:iq:roster")?.elements() ?? [];
    return items.map((item) => normal(item)).sort();
  }
}

export function item(attrs: string, inner = ""): string {
  return normal(parse(`<item xmlns='jabber:iq:roster' ${attrs}>${inner}</item>`));
}

/** The next element is a roster push of just this item. */
export async function isPushed(client: RawClient, pushed: string): Promise<void> {
  const push = await client.next();
  assert.equal(push.name, "iq", push.toXml());
  assert.equal(push.attrs.type, "set");
  assert.ok(push.attrs.id);
  assert.equal(push.attrs.to, client.jid);
  assert.equal(push.attrs.from, client.jid.split("/")[0]);
  const items = push.child("query", "jabber:iq:roster")?.elements() ?? [];
  assert.deepEqual(
    items.map((one) => normal(one)),
    [pushed],
  );
}

/** The next element is an error with this condition and type. */
export async function isRefused(client: RawClient, condition: string, type: string): Promise<void> {
  const reply = await client.next();
  assert.equal(reply.attrs.type, "error", reply.toXml());
  const error = reply.child("error");
  assert.equal(error?.elements()[0]?.name, condition, reply.toXml());
  assert.equal(error?.attrs.type, type, reply.toXml());
}

export function moduleConfig(modules: Record<string, string>): string {
  const all: Record<string, string> = { roster: "", presence: "", disco: "", ping: "", ...modules };
  return `host_types.default.modules = { ${Object.entries(all)
    .map(([name, settings]) => `${name} = { ${settings} }`)
    .join(", ")} }`;
}
