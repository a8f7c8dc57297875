/** RFC 6121 3 as the clients see it, the two accounts on one node and on two. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json } from "../../src/storage/specs.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { type RawClient, startServer, type TestServer } from "../support/server.ts";
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

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const presence = (type: string, from: string, to: string, inner = "") =>
  `<presence type='${type}' from='${from}' to='${to}'>${inner}</presence>`;
const own = (client: RawClient) => `<presence from='${client.jid}' to='${client.jid.split("/")[0]}'/>`;

/** Alice and Bob, online and interested, and nothing between them yet. */
async function strangers(a: TestServer, b: TestServer): Promise<{ alice: RawClient; bob: RawClient }> {
  const alice = await come(a, "alice", "desk");
  const bob = await come(b, "bob", "desk");
  await getRoster(alice);
  await getRoster(bob);
  return { alice, bob };
}

const PLACES = {
  "on one node": async (t: TestContext) => {
    const server = await startServer(t);
    return [server, server] as const;
  },
  "on two nodes": async (t: TestContext) => {
    const { one, two } = await twoNodes(t);
    return [one, two] as const;
  },
};

for (const [where, start] of Object.entries(PLACES)) {
  test(`Alice asks, Bob allows, then asks as well, and each takes theirs back, ${where}`, async (t) => {
    const { alice, bob } = await strangers(...(await start(t)));

    alice.send(`<presence to='${BOB}' type='subscribe'><nick xmlns='urn:n'>A</nick></presence>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='none' ask='subscribe'`));
    await bob.receives(presence("subscribe", ALICE, BOB, "<nick xmlns='urn:n'>A</nick>"));
    await bob.receivesNothing();

    bob.send(`<presence to='${ALICE}' type='subscribed'/>`);
    await isPushed(bob, item(`jid='${ALICE}' subscription='from'`));
    // RFC 6121 3.1.6: the answer comes before the push; 3.1.5: and the presence after both.
    await alice.receives(presence("subscribed", BOB, ALICE));
    await isPushed(alice, item(`jid='${BOB}' subscription='to'`));
    await alice.receives(`<presence from='${bob.jid}' to='${ALICE}'/>`);

    bob.send(`<presence to='${ALICE}' type='subscribe'/>`);
    await isPushed(bob, item(`jid='${ALICE}' subscription='from' ask='subscribe'`));
    await alice.receives(presence("subscribe", BOB, ALICE));
    alice.send(`<presence to='${BOB}' type='subscribed'/>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='both'`));
    await bob.receives(presence("subscribed", ALICE, BOB));
    await isPushed(bob, item(`jid='${ALICE}' subscription='both'`));
    await bob.receives(`<presence from='${alice.jid}' to='${BOB}'/>`);

    // RFC 6121 3.3: Alice does not want to see Bob any longer.
    alice.send(`<presence to='${BOB}' type='unsubscribe'/>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='from'`));
    await bob.receives(presence("unsubscribe", ALICE, BOB));
    await isPushed(bob, item(`jid='${ALICE}' subscription='to'`));
    await alice.receives(presence("unavailable", bob.jid, ALICE));

    // RFC 6121 3.2: and Bob is not to see Alice.
    alice.send(`<presence to='${BOB}' type='unsubscribed'/>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='none'`));
    await bob.receives(presence("unavailable", alice.jid, BOB));
    await bob.receives(presence("unsubscribed", ALICE, BOB));
    await isPushed(bob, item(`jid='${ALICE}' subscription='none'`));

    for (const client of [alice, bob]) {
      client.send("<presence/>");
      await hears(client, own(client));
    }
    await alice.receivesNothing();
    await bob.receivesNothing();
  });

  test(`a request is kept, with all it carried, and shown at each login until it is answered, ${where}`, async (t) => {
    const [a, b] = await start(t);
    await b.account("bob");
    const alice = await a.login("alice", "desk");
    const request = `<presence to='${BOB}' type='subscribe' id='q'><x xmlns='urn:x' a='"'>&amp;<y/></x></presence>`;
    const kept = request.replace(" to=", ` from='${ALICE}' to=`);
    alice.send(request);
    await alice.receivesNothing();
    // Asked a second time, the first stands (RFC 6121 A.3.1).
    alice.send(`<presence to='${BOB}' type='subscribe' id='again'/>`);
    await alice.receivesNothing();
    for (const server of [b, a, b]) {
      const bob = await server.login("bob", "desk");
      await bob.receivesNothing();
      bob.send("<presence/>");
      await bob.receives(own(bob));
      await bob.receives(kept);
      bob.send("<presence><show>away</show></presence>");
      await bob.next();
      await bob.receivesNothing();
      await bob.leave();
    }
    const bob = await come(b, "bob", "desk");
    bob.send(`<presence to='${ALICE}' type='unsubscribed'/>`);
    await bob.receivesNothing();
    await alice.receivesNothing();
    assert.deepEqual(await getRoster(alice), [item(`jid='${BOB}' subscription='none'`)]);
    assert.deepEqual(await getRoster(bob), []);
    await bob.leave();
    const later = await b.login("bob", "desk");
    later.send("<presence/>");
    await hears(later, own(later));
  });

  test(`a denial reaches those who keep the roster, and takes the question back, ${where}`, async (t) => {
    const { alice, bob } = await strangers(...(await start(t)));
    alice.send(`<presence to='${BOB}' type='subscribe'/>`);
    await alice.next();
    await bob.next();
    bob.send(`<presence to='${ALICE}' type='unsubscribed'/>`);
    await bob.receivesNothing();
    await alice.receives(presence("unsubscribed", BOB, ALICE));
    await isPushed(alice, item(`jid='${BOB}' subscription='none'`));
    await alice.receivesNothing();
  });

  test(`a question that is taken back is not shown any longer, ${where}`, async (t) => {
    const { alice, bob } = await strangers(...(await start(t)));
    alice.send(`<presence to='${BOB}' type='subscribe'/>`);
    await alice.next();
    await bob.receives(presence("subscribe", ALICE, BOB));
    alice.send(`<presence to='${BOB}' type='unsubscribe'/>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='none'`));
    await bob.receives(presence("unsubscribe", ALICE, BOB));
    await bob.receivesNothing();
    await bob.leave();
    await alice.receivesNothing();
    assert.deepEqual(await getRoster(alice), [item(`jid='${BOB}' subscription='none'`)]);
  });

  test(`who was approved before is let in at once, and the contact is not asked, ${where}`, async (t) => {
    const { alice, bob } = await strangers(...(await start(t)));
    bob.send(`<presence to='${ALICE}' type='subscribed'/>`);
    await isPushed(bob, item(`jid='${ALICE}' subscription='none' approved='true'`));
    // RFC 6121 3.4.2: nothing is said to Alice.
    await bob.receivesNothing();
    await alice.receivesNothing();
    alice.send(`<presence to='${BOB}' type='subscribe'/>`);
    await isPushed(alice, item(`jid='${BOB}' subscription='none' ask='subscribe'`));
    await alice.receives(presence("subscribed", BOB, ALICE));
    await isPushed(alice, item(`jid='${BOB}' subscription='to'`));
    await alice.receives(`<presence from='${bob.jid}' to='${ALICE}'/>`);
    await isPushed(bob, item(`jid='${ALICE}' subscription='from'`));
    await bob.receivesNothing();
  });
}

test("an approval given before can be taken back, and the contact is asked again", async (t) => {
  const server = await startServer(t);
  const { alice, bob } = await strangers(server, server);
  bob.send(`<presence to='${ALICE}' type='subscribed'/>`);
  await isPushed(bob, item(`jid='${ALICE}' subscription='none' approved='true'`));
  bob.send(`<presence to='${ALICE}' type='unsubscribed'/>`);
  await isPushed(bob, item(`jid='${ALICE}' subscription='none'`));
  await bob.receivesNothing();
  await alice.receivesNothing();
  alice.send(`<presence to='${BOB}' type='subscribe'/>`);
  await bob.receives(presence("subscribe", ALICE, BOB));
});

test("who may see already, and asks again, is told yes by the server", async (t) => {
  const { one, two, store } = await twoNodes(t);
  // The sides have come apart: Alice's has forgotten.
  await putItem(store, BOB, ALICE, { from: "yes" });
  const { alice, bob } = await strangers(one, two);
  alice.send(`<presence to='${BOB}' type='subscribe'/>`);
  await isPushed(alice, item(`jid='${BOB}' subscription='none' ask='subscribe'`));
  await alice.receives(presence("subscribed", BOB, ALICE));
  await isPushed(alice, item(`jid='${BOB}' subscription='to'`));
  await alice.receives(`<presence from='${bob.jid}' to='${ALICE}'/>`);
  await bob.receivesNothing();
});

test("an answer goes to the sessions that keep the roster, available or not, a question to those that are available", async (t) => {
  const { one, two, store } = await twoNodes(t);
  const interested = await one.login("alice", "interested");
  await getRoster(interested);
  const available = await come(two, "alice", "available");
  const bob = await two.login("bob", "desk");
  await putItem(store, ALICE, BOB, { to: "pending" });
  await putItem(store, BOB, ALICE, { from: "pending" });
  bob.send(`<presence to='${ALICE}' type='subscribed'/><presence to='${ALICE}' type='subscribe'/>`);
  await bob.receivesNothing();
  await interested.receives(presence("subscribed", BOB, ALICE));
  await isPushed(interested, item(`jid='${BOB}' subscription='to'`));
  await interested.receivesNothing();
  await available.receives(presence("subscribe", BOB, ALICE));
  await available.receivesNothing();
});

test("what is addressed to a session is meant for the account, and comes from the account", async (t) => {
  const server = await startServer(t);
  const { alice, bob } = await strangers(server, server);
  const phone = await come(server, "bob", "phone");
  await heard(bob);
  alice.send(`<presence to='${BOB}/desk' type='subscribe'/>`);
  await isPushed(alice, item(`jid='${BOB}' subscription='none' ask='subscribe'`));
  for (const client of [bob, phone]) await client.receives(presence("subscribe", ALICE, BOB));
  bob.send(`<presence to='${ALICE}/gone' type='subscribed'/>`);
  await alice.receives(presence("subscribed", BOB, ALICE));
});

test("an account that does not exist says nothing, as one that keeps silent, and nothing is kept for it", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  for (const to of ["bob", "nobody"]) {
    for (const type of ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "subscribe"]) {
      alice.send(`<presence to='${to}@example.org' type='${type}'/>`);
      await alice.receivesNothing();
    }
  }
  const kept = async (account: string) =>
    [...((await store.map?.("roster", json())?.list(parseJid(account) as Jid)) ?? new Map()).keys()].filter(
      // All but the ledger.
      (contact) => contact !== "",
    ).length;
  assert.equal(await kept(BOB), 1);
  assert.equal(await kept("nobody@example.org"), 0);
});

test("no account asks itself", async (t) => {
  const server = await startServer(t);
  const alice = await come(server, "alice", "desk");
  await getRoster(alice);
  for (const to of [ALICE, `${ALICE}/desk`, `${ALICE}/phone`]) {
    for (const type of ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]) {
      alice.send(`<presence to='${to}' type='${type}'/>`);
    }
  }
  await alice.receivesNothing();
  assert.deepEqual(await getRoster(alice), []);
});

test("a question to nobody, and one to a domain that is not served, are refused", async (t) => {
  const server = await startServer(t);
  const alice = await come(server, "alice", "desk");
  alice.send("<presence type='subscribe' id='1'/>");
  await isRefused(alice, "bad-request", "modify");
  alice.send("<presence to='bob@elsewhere.example' type='subscribe' id='2'/>");
  await isRefused(alice, "remote-server-not-found", "cancel");
});

test("a question may be as long as the configuration says, whoever is asked", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ presence: "max_request_size = 256" }) });
  const bob = await come(server, "bob", "desk");
  const alice = await come(server, "alice", "desk");
  const frame = `<presence xmlns='jabber:client' to='' type='subscribe' from='${ALICE}'><x xmlns='urn:x'></x></presence>`;
  const ask = (to: string, size: number) =>
    `<presence to='${to}' type='subscribe'><x xmlns='urn:x'>${"x".repeat(size - frame.length - to.length)}</x></presence>`;
  for (const to of [BOB, "nobody@example.org"]) {
    alice.send(ask(to, 257));
    await isRefused(alice, "not-acceptable", "modify");
    await bob.receivesNothing();
  }
  alice.send(ask(BOB, 256));
  await alice.receivesNothing();
  assert.equal((await bob.next()).attrs.type, "subscribe");
});

test("a kept request is shown though it has grown longer than a client may send", { timeout: 10_000 }, async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ presence: "max_request_size = 65536" }) });
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  // Each is one byte as it comes in, and six as it is written.
  const quotes = `"`.repeat(6_000);
  alice.send(`<presence to='${BOB}' type='subscribe'><x xmlns='urn:x' a='${quotes}'/></presence>`);
  await alice.receivesNothing();
  const bob = await server.login("bob", "desk");
  // Not through the test's parser, which has a client's limits as well.
  bob.socket.removeAllListeners("data");
  const shown = new Promise<void>((resolve) => {
    let text = "";
    bob.socket.on("data", (chunk: Buffer) => {
      text += chunk;
      if (text.includes(`a='${"&quot;".repeat(6_000)}'`)) resolve();
    });
  });
  bob.send("<presence/>");
  await shown;
});

test("subscriptions of the two accounts are taken back at once without leaving half a one", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  await befriend(store, "alice", "bob");
  const alice = await come(server, "alice", "desk");
  const bob = await come(server, "bob", "desk");
  alice.send(`<presence to='${BOB}' type='unsubscribe'/><presence to='${BOB}' type='unsubscribed'/>`);
  bob.send(`<presence to='${ALICE}' type='unsubscribe'/><presence to='${ALICE}' type='unsubscribed'/>`);
  for (const client of [alice, bob, alice, bob]) await heard(client);
  assert.deepEqual(await getRoster(alice), [item(`jid='${BOB}' subscription='none'`)]);
  assert.deepEqual(await getRoster(bob), [item(`jid='${ALICE}' subscription='none'`)]);
});
