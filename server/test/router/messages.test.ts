/** RFC 6121 8.5 as the clients see it: every cell of the message table, on one node and on two. */
import { type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";

const SERVICE_UNAVAILABLE =
  "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

type Fate = "D" | "E" | "S" | "M" | "A";
const TYPES = ["normal", "chat", "groupchat", "headline"] as const;

/**
 * Who is there, as priorities by resource (none: connected, but not available), whom the message is for, and what becomes
 * of it by type: E the sender hears service-unavailable, S nothing happens, D whom it names gets it, M the highest
 * priority gets it, A all that are not negative get it.
 */
const TABLE: readonly (readonly [
  Record<string, number | undefined>,
  to: string,
  Record<(typeof TYPES)[number], Fate>,
])[] = [
  [{}, "bob@example.org", { normal: "E", chat: "E", groupchat: "E", headline: "S" }],
  [{}, "bob@example.org/desk", { normal: "E", chat: "E", groupchat: "E", headline: "S" }],
  [{ desk: undefined }, "bob@example.org", { normal: "E", chat: "E", groupchat: "E", headline: "S" }],
  [{ desk: undefined }, "bob@example.org/desk", { normal: "D", chat: "D", groupchat: "D", headline: "D" }],
  [{ desk: -1 }, "bob@example.org", { normal: "E", chat: "E", groupchat: "E", headline: "S" }],
  [{ desk: -1 }, "bob@example.org/desk", { normal: "D", chat: "D", groupchat: "D", headline: "D" }],
  [{ desk: -1 }, "bob@example.org/gone", { normal: "E", chat: "E", groupchat: "E", headline: "S" }],
  [{ desk: 0 }, "bob@example.org", { normal: "M", chat: "M", groupchat: "E", headline: "A" }],
  [{ desk: 0 }, "bob@example.org/desk", { normal: "D", chat: "D", groupchat: "D", headline: "D" }],
  [{ desk: 0 }, "bob@example.org/gone", { normal: "E", chat: "M", groupchat: "E", headline: "S" }],
  [{ desk: 1, phone: 5, tv: -3 }, "bob@example.org", { normal: "M", chat: "M", groupchat: "E", headline: "A" }],
  [{ desk: 5, phone: 5, tv: 1 }, "bob@example.org", { normal: "M", chat: "M", groupchat: "E", headline: "A" }],
  [{ desk: 1, phone: 5 }, "bob@example.org/desk", { normal: "D", chat: "D", groupchat: "D", headline: "D" }],
  [{ desk: 1, phone: 5 }, "bob@example.org/gone", { normal: "E", chat: "M", groupchat: "E", headline: "S" }],
];

function takers(fate: Fate, there: Record<string, number | undefined>, to: string): string[] {
  const available = Object.entries(there).filter(([, priority]) => priority !== undefined && priority >= 0);
  const highest = Math.max(...available.map(([, priority]) => priority ?? 0));
  if (fate === "D") return [to.slice(to.indexOf("/") + 1)];
  if (fate === "A") return available.map(([resource]) => resource);
  if (fate === "M") return available.filter(([, priority]) => priority === highest).map(([resource]) => resource);
  return [];
}

async function walkTable(sender: RawClient, serverOf: (resource: string) => TestServer): Promise<void> {
  for (const [there, to, fates] of TABLE) {
    const bobs = new Map<string, RawClient>();
    for (const [resource, priority] of Object.entries(there)) {
      const client = await serverOf(resource).login("bob", resource);
      if (priority !== undefined) client.send(`<presence><priority>${priority}</priority></presence>`);
      bobs.set(resource, client);
    }
    // Each hears the presence of the others and its own; how much in all is not what is tested here. Once all of them
    // have been answered, all broadcasts are done: what the last one said is read the second time.
    for (const client of [...bobs.values(), ...bobs.values()]) await drain(client);
    for (const type of TYPES) {
      const message = `<message to='${to}' type='${type}' id='m'><body>x</body></message>`;
      sender.send(message);
      for (const resource of takers(fates[type], there, to)) {
        await bobs.get(resource)?.receives(message.replace(" id=", ` from='${sender.jid}' id=`));
      }
      if (fates[type] === "E") {
        const error = message.replace("</message>", `${SERVICE_UNAVAILABLE}</message>`);
        await sender.receives(error.replace(/ to=.* id=/, ` from='${to}' to='${sender.jid}' type='error' id=`));
      }
      // An error is never answered and, to a bare JID, never delivered.
      if (!to.includes("/")) sender.send(`<message to='${to}' type='error' id='e'>${SERVICE_UNAVAILABLE}</message>`);
      await sender.receivesNothing();
      for (const client of bobs.values()) await client.receivesNothing();
    }
    for (const client of bobs.values()) await client.leave();
  }
}

async function drain(client: RawClient): Promise<void> {
  client.send("<iq type='get' id='drained' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  for (;;) if ((await client.next()).attrs.id === "drained") return;
}

test("every cell of the message table, on one node", async (t: TestContext) => {
  const server = await startServer(t);
  await server.account("bob");
  await walkTable(await server.login("alice", "desk"), () => server);
});

test("every cell of the message table, with sessions on two nodes", async (t: TestContext) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  await one.account("bob");
  await walkTable(await one.login("alice", "desk"), (resource) => (resource === "phone" ? one : two));
});
