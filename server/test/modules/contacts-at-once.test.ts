/** Rosters and subscriptions when several sessions, on several nodes, change them at the same time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RosterItem } from "../../src/modules/roster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type Codec, json, type MapStore, type StorageDriver } from "../../src/storage/specs.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import type { RawClient } from "../support/server.ts";
import { befriend, come, getRoster, heard, isPushed, item, moduleConfig, putItem, twoNodes } from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const QUERY = "<query xmlns='jabber:iq:roster'>";
const set = (client: RawClient, items: string) => client.send(`<iq type='set' id='s'>${QUERY}${items}</query></iq>`);

/** A store in which each change of a roster first waits for `before`. */
function gatedStore(before: (account: string) => Promise<void>): StorageDriver {
  const driver = memoryDriver();
  return {
    ...driver,
    map: <T>(table: string, codec: Codec<T>) => {
      const map = driver.map?.(table, codec) as MapStore<T>;
      if (table !== "roster") return map;
      return {
        ...map,
        updateTogether: async (...update: Parameters<MapStore<T>["updateTogether"]>) => {
          await before(update[0].bare);
          return map.updateTogether(...update);
        },
      };
    },
  };
}

/** Lets each of Alice's changes wait until it is let through, in whatever order the test likes. */
function gate(): { before: (account: string) => Promise<void>; waiting: (() => void)[]; shut: boolean } {
  const gate = {
    waiting: [] as (() => void)[],
    shut: false,
    before: async (account: string) => {
      if (gate.shut && account === ALICE) await new Promise<void>((resolve) => gate.waiting.push(resolve));
    },
  };
  return gate;
}

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    assert.ok(i < 100_000, "it never came to be");
    await new Promise(setImmediate);
  }
}

for (const first of [0, 1] as const) {
  test(`two sessions change one contact at once, the ${first === 0 ? "earlier" : "later"} one first, and both are heard`, async (t) => {
    const gates = gate();
    const { one, two } = await twoNodes(t, "", gatedStore(gates.before));
    const desk = await one.login("alice", "desk");
    const phone = await two.login("alice", "phone");
    await getRoster(desk);
    await getRoster(phone);
    gates.shut = true;
    set(desk, `<item jid='${BOB}' name='Bob'><group>friends</group></item>`);
    await until(() => gates.waiting.length === 1);
    phone.send(`<presence to='${BOB}' type='subscribe'/>`);
    await until(() => gates.waiting.length === 2);
    gates.shut = false;
    for (const i of [first, 1 - first]) {
      gates.waiting[i]?.();
      await heard(i === 0 ? desk : phone);
    }
    await heard(desk);
    await heard(phone);
    const bob = item(`jid='${BOB}' name='Bob' subscription='none' ask='subscribe'`, "<group>friends</group>");
    for (const client of [desk, phone]) assert.deepEqual(await getRoster(client), [bob]);
  });
}

test("an approval given by two sessions at once is one approval", async (t) => {
  const gates = gate();
  const store = gatedStore(gates.before);
  const { one, two } = await twoNodes(t, "", store);
  await putItem(store, ALICE, BOB, { from: "pending", listed: false });
  await putItem(store, BOB, ALICE, { to: "pending" });
  const bob = await come(two, "bob", "desk");
  await getRoster(bob);
  const desk = await come(one, "alice", "desk");
  const phone = await come(two, "alice", "phone");
  await getRoster(desk);
  await heard(desk);
  gates.shut = true;
  for (const client of [desk, phone]) client.send(`<presence to='${BOB}' type='subscribed'/>`);
  await until(() => gates.waiting.length === 2);
  gates.shut = false;
  for (const open of gates.waiting) open();
  await heard(phone);
  await isPushed(desk, item(`jid='${BOB}' subscription='from'`));
  await desk.receivesNothing();
  const said = await heard(bob);
  assert.equal(said.filter((xml) => xml.includes("'subscribed'")).length, 1);
  // The presence of each session, once.
  assert.equal(said.filter((xml) => xml.startsWith("<presence") && !xml.includes("type=")).length, 2, said.join("\n"));
  assert.deepEqual(await getRoster(bob), [item(`jid='${ALICE}' subscription='to'`)]);
});

for (const order of ["removal", "answer"] as const) {
  test(`a contact is removed while its answer comes in, the ${order} first: no half of a subscription is left`, async (t) => {
    const gates = gate();
    const store = gatedStore(gates.before);
    const { one, two } = await twoNodes(t, "", store);
    await putItem(store, ALICE, BOB, { to: "pending" });
    await putItem(store, BOB, ALICE, { from: "pending", listed: false });
    const alice = await come(one, "alice", "desk");
    const bob = await come(two, "bob", "desk");
    gates.shut = true;
    const remove = () => set(alice, `<item jid='${BOB}' subscription='remove'/>`);
    const answer = () => bob.send(`<presence to='${ALICE}' type='subscribed'/>`);
    for (const [i, step] of (order === "removal" ? [remove, answer] : [answer, remove]).entries()) {
      step();
      await until(() => gates.waiting.length === i + 1);
    }
    gates.shut = false;
    for (const open of gates.waiting) open();
    for (const client of [alice, bob, alice, bob]) await heard(client);
    assert.deepEqual(await getRoster(alice), []);
    assert.deepEqual(await getRoster(bob), [item(`jid='${ALICE}' subscription='none'`)]);
  });
}

test("a removal by one session and a new name by another leave the contact or do not, but no subscription either way", async (t) => {
  for (const first of [0, 1] as const) {
    const gates = gate();
    const store = gatedStore(gates.before);
    const { one, two } = await twoNodes(t, "", store);
    await befriend(store, "alice", "bob");
    const desk = await one.login("alice", "desk");
    const phone = await two.login("alice", "phone");
    const bob = await come(two, "bob", "desk");
    await getRoster(desk);
    gates.shut = true;
    set(desk, `<item jid='${BOB}' subscription='remove'/>`);
    await until(() => gates.waiting.length === 1);
    set(phone, `<item jid='${BOB}' name='B'/>`);
    await until(() => gates.waiting.length === 2);
    gates.shut = false;
    for (const i of [first, 1 - first]) {
      gates.waiting[i]?.();
      await heard(i === 0 ? desk : phone);
    }
    for (const client of [desk, phone, bob]) await heard(client);
    const named = item(`jid='${BOB}' name='B' subscription='none'`);
    assert.deepEqual(await getRoster(phone), first === 0 ? [named] : []);
    assert.deepEqual(await getRoster(bob), [item(`jid='${ALICE}' subscription='none'`)]);
  }
});

test("many new contacts at once fill the roster to its limit, and not beyond", async (t) => {
  const { one, two } = await twoNodes(t, moduleConfig({ roster: "max_items = 5" }));
  const clients = [await one.login("alice", "desk"), await two.login("alice", "phone")] as const;
  for (let i = 0; i < 10; i++) {
    set(clients[0], `<item jid='a${i}@example.org'/>`);
    set(clients[1], `<item jid='b${i}@example.org'/>`);
  }
  const answers = [...(await heard(clients[0])), ...(await heard(clients[1]))];
  assert.equal(answers.filter((xml) => xml.includes("type='result'")).length, 5);
  assert.equal(answers.filter((xml) => xml.includes("not-allowed")).length, 15);
  assert.equal((await getRoster(clients[0])).length, 5);
});

test("whatever two accounts say to each other at once, none that is not let in believes so after its next login", async (t) => {
  // A random run that is the same each time.
  let seed = 11;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const store = gatedStore(async () => {
    for (let i = random(4); i > 0; i--) await new Promise(setImmediate);
  });
  const { one, two } = await twoNodes(t, "", store);
  const alice = await come(one, "alice", "desk");
  const bob = await come(two, "bob", "desk");
  const roster = store.map?.<RosterItem>("roster", json());
  const seen = new Set<string>();
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 4; i++) {
      for (const [client, to] of [
        [alice, BOB],
        [bob, ALICE],
      ] as const) {
        const type = ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "subscribe", "subscribed"][random(6)];
        client.send(`<presence to='${to}' type='${type}'/>`);
      }
    }
    for (const client of [alice, bob, alice, bob]) await heard(client);
    // Answers that crossed new questions may have been taken for theirs; the probes of a login bring it to light.
    for (const client of [alice, bob]) {
      client.send("<presence type='unavailable'/><presence/>");
      await heard(client);
    }
    const a = await roster?.get(parseJid(ALICE) as Jid, BOB);
    const b = await roster?.get(parseJid(BOB) as Jid, ALICE);
    if (a?.to === "yes") assert.equal(b?.from, "yes", `round ${round}`);
    if (b?.to === "yes") assert.equal(a?.from, "yes", `round ${round}`);
    seen.add(`${a?.to} ${a?.from}`);
  }
  assert.ok(seen.size > 3, [...seen].join());
});
