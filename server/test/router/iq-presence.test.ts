/** RFC 6121 8.5 for iqs and presence, as the clients see it, on one node and on two. Messages have a table of their own. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";

/** "error": the sender hears service-unavailable; "silent": nobody hears anything; else the resources that get it. */
type Fate = "error" | "silent" | readonly string[];

/** Bob has an available desk, a phone that has sent no presence, and a tv of negative priority; nobody has no account. */
const IQS: readonly (readonly [to: string, Record<"get" | "set" | "result" | "error", Fate>])[] = [
  ["nobody@example.org", { get: "error", set: "error", result: "silent", error: "silent" }],
  ["nobody@example.org/x", { get: "error", set: "error", result: "silent", error: "silent" }],
  ["bob@example.org", { get: "error", set: "error", result: "silent", error: "silent" }],
  ["bob@example.org/desk", { get: ["desk"], set: ["desk"], result: ["desk"], error: ["desk"] }],
  ["bob@example.org/phone", { get: ["phone"], set: ["phone"], result: ["phone"], error: ["phone"] }],
  ["bob@example.org/tv", { get: ["tv"], set: ["tv"], result: ["tv"], error: ["tv"] }],
  ["bob@example.org/gone", { get: "error", set: "error", result: "silent", error: "silent" }],
  ["example.org", { get: "error", set: "error", result: "silent", error: "silent" }],
  ["example.org/x", { get: "error", set: "error", result: "silent", error: "silent" }],
];

const PRESENCES: readonly (readonly [to: string, Record<"available" | "unavailable" | "error", Fate>])[] = [
  ["nobody@example.org", { available: "silent", unavailable: "silent", error: "silent" }],
  ["nobody@example.org/x", { available: "silent", unavailable: "silent", error: "silent" }],
  ["bob@example.org", { available: ["desk", "tv"], unavailable: ["desk", "tv"], error: ["desk", "tv"] }],
  ["bob@example.org/desk", { available: ["desk"], unavailable: ["desk"], error: ["desk"] }],
  ["bob@example.org/phone", { available: ["phone"], unavailable: ["phone"], error: ["phone"] }],
  ["bob@example.org/gone", { available: "silent", unavailable: "silent", error: "silent" }],
  ["example.org", { available: "silent", unavailable: "silent", error: "silent" }],
];

async function drain(client: RawClient): Promise<void> {
  client.send("<iq type='get' id='drained' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  for (;;) if ((await client.next()).attrs.id === "drained") return;
}

async function walk(one: TestServer, two: TestServer): Promise<void> {
  const alice = await one.login("alice", "desk");
  const bobs = new Map([
    ["desk", await one.login("bob", "desk")],
    ["phone", await two.login("bob", "phone")],
    ["tv", await two.login("bob", "tv")],
  ]);
  bobs.get("desk")?.send("<presence/>");
  bobs.get("tv")?.send("<presence><priority>-1</priority></presence>");
  for (const client of [...bobs.values(), ...bobs.values()]) await drain(client);

  async function meets(what: string, fate: Fate, stanza: string): Promise<void> {
    alice.send(stanza);
    if (fate === "error") {
      const error = await alice.next();
      assert.deepEqual([error.attrs.type, error.attrs.id], ["error", "x"], what);
      assert.ok(error.child("error")?.child("service-unavailable", NS.stanzaErrors), `${what}: ${error.toXml()}`);
    }
    for (const [resource, client] of bobs) {
      if (Array.isArray(fate) && fate.includes(resource)) assert.equal((await client.next()).attrs.id, "x", what);
    }
    await alice.receivesNothing();
    for (const client of bobs.values()) await client.receivesNothing();
  }

  for (const [to, fates] of IQS) {
    for (const [type, fate] of Object.entries(fates)) {
      const child = type === "result" ? "" : "<unheard-of xmlns='urn:x'/>";
      await meets(`iq ${type} to ${to}`, fate, `<iq to='${to}' id='x' type='${type}'>${child}</iq>`);
    }
  }
  for (const [to, fates] of PRESENCES) {
    for (const [type, fate] of Object.entries(fates)) {
      const typed = type === "available" ? "" : ` type='${type}'`;
      await meets(`presence ${type} to ${to}`, fate, `<presence to='${to}' id='x'${typed}/>`);
    }
  }
}

test("every iq and presence goes where its address and type say, on one node", async (t: TestContext) => {
  const server = await startServer(t);
  await walk(server, server);
});

test("every iq and presence goes where its address and type say, with sessions on two nodes", async (t: TestContext) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  await walk(one, two);
});
