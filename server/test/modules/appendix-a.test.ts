/** RFC 6121, Appendix A, walked through a server: each cell of Tables 2 to 9, the two accounts on one node and on two. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { StorageDriver } from "../../src/storage/specs.ts";
import type { SubscriptionType } from "../../src/xmpp/stanza.ts";
import { STATES, type StateName } from "../../src/xmpp/subscription.ts";
import { type RawClient, startServer } from "../support/server.ts";
import { INBOUND, type Name, OUTBOUND, SHOWN } from "../xmpp/appendix-a.ts";
import { come, getRoster, heard, item, putItem, twoNodes } from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";

/** In which state the receiver's side lets each stanza through to its client. */
const OPEN: Record<SubscriptionType, StateName> = {
  subscribe: "None",
  unsubscribe: "From",
  subscribed: "None + Pending Out",
  unsubscribed: "To",
};

async function put(store: StorageDriver, account: string, contact: string, name: Name): Promise<void> {
  const [to, from] = STATES[name];
  await putItem(store, account, contact, { to, from, listed: true, request: "" });
}

/** Whether the stanza has come to a client. */
async function came(client: RawClient, type: SubscriptionType, from: string): Promise<boolean> {
  const all = await heard(client);
  return all.some(
    (xml) => xml.startsWith("<presence") && xml.includes(`type='${type}'`) && xml.includes(`from='${from}'`),
  );
}

for (const where of ["one node", "two nodes"] as const) {
  for (const [direction, tables] of [
    ["outbound", OUTBOUND],
    ["inbound", INBOUND],
  ] as const) {
    test(`${direction} stanzas in each of the nine states, on ${where}`, async (t) => {
      const store = memoryDriver();
      const { one, two } =
        where === "two nodes"
          ? await twoNodes(t, "", store)
          : await startServer(t, { store }).then((server) => ({ one: server, two: server }));
      const alice = await come(one, "alice", "desk");
      const bob = await come(two, "bob", "desk");
      await getRoster(alice);
      await getRoster(bob);
      for (const [type, rows] of Object.entries(tables) as [SubscriptionType, (typeof tables)[SubscriptionType]][]) {
        for (const { existing, passes, becomes } of rows) {
          const cell = `${type} in "${existing}"`;
          // The account of the table is Alice's when the stanza goes out, and Bob's when it comes in.
          const [account, contact] = direction === "outbound" ? [ALICE, BOB] : [BOB, ALICE];
          await put(store, account, contact, existing);
          await put(store, contact, account, direction === "outbound" ? OPEN[type] : "None + Pending Out+In");
          alice.send(`<presence to='${BOB}' type='${type}'/>`);
          await heard(alice);
          assert.equal(await came(bob, type, ALICE), passes, cell);
          const shown = `${SHOWN[becomes ?? existing]}${becomes === undefined ? " approved='true'" : ""}`;
          const kept = await getRoster(direction === "outbound" ? alice : bob);
          assert.deepEqual(kept, [item(`jid='${contact}' ${shown}`)], cell);
        }
      }
    });
  }
}
