/** What others are left to believe of a session when things happen at once, or a node dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { SessionEntry } from "../../src/cluster/cluster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { Codec, StorageDriver } from "../../src/storage/specs.ts";
import { parseJid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer } from "../support/server.ts";
import { befriend, come, heard, hears, type Pair, twoNodes } from "./contacts.ts";

const ALICE = "alice@example.org";
const BOB = "bob@example.org";
const shown = (from: string, to: string) => `<presence from='${from}' to='${to}'/>`;
const gone = (from: string, to: string) => `<presence type='unavailable' from='${from}' to='${to}'/>`;

/** A store in which Alice's roster can be made to wait when it is listed. */
function slowStore(): { store: StorageDriver; hold: () => void; release: () => void } {
  const driver = memoryDriver();
  let held = Promise.withResolvers<void>();
  held.resolve();
  const store: StorageDriver = {
    ...driver,
    map: <T>(table: string, codec: Codec<T>) => {
      const map = driver.map?.(table, codec);
      assert.ok(map);
      return {
        ...map,
        list: async (owner) => {
          if (owner.bare === ALICE) await held.promise;
          return map.list(owner);
        },
      };
    },
  };
  return {
    store,
    hold: () => {
      held = Promise.withResolvers();
    },
    release: () => held.resolve(),
  };
}

function entries({ neighbourhood }: Pair, account = ALICE): Promise<readonly SessionEntry[]> {
  const jid = parseJid(account);
  assert.ok(jid);
  return Promise.resolve(neighbourhood.join("observer").registry.locate(jid));
}

/** Waits until the cluster knows this of Alice's sessions. */
async function until(nodes: Pair, isSo: (all: readonly SessionEntry[]) => boolean): Promise<void> {
  for (let i = 0; !isSo(await entries(nodes)); i++) {
    assert.ok(i < 100_000, "it never came to be");
    await turn();
  }
}

async function isReplaced(client: RawClient): Promise<void> {
  for (;;) {
    if ((await client.take()) === "close") break;
  }
  client.socket.end();
}

for (const where of ["the same node", "another node"] as const) {
  test(`a session replaced from ${where} leaves the newer one's presence standing`, async (t) => {
    const nodes = await twoNodes(t);
    await befriend(nodes.store, "alice", "bob");
    const bob = await come(nodes.two, "bob", "desk");
    const older = await come(nodes.one, "alice", "desk");
    await heard(bob);
    const server = where === "the same node" ? nodes.one : nodes.two;
    const newer = await come(server, "alice", "desk", "<presence id='newer'/>");
    await isReplaced(older);
    await newer.receivesNothing();
    const said = await heard(bob);
    assert.match(said.at(-1) ?? "", /id='newer'/);
    bob.send(`<presence to='${ALICE}' type='probe'/>`);
    await hears(bob, `<presence id='newer' from='${newer.jid}' to='${bob.jid}'/>`);
  });

  test(`a slow good-bye of a session replaced from ${where} does not contradict the newer one`, async (t) => {
    const { store, hold, release } = slowStore();
    const nodes = await twoNodes(t, 'sessions = { replace_timeout = "100ms" }', store);
    await befriend(store, "alice", "bob");
    const bob = await come(nodes.two, "bob", "desk");
    const older = await come(nodes.one, "alice", "desk");
    await heard(bob);
    hold();
    const newer = await (where === "the same node" ? nodes.one : nodes.two).login("alice", "desk");
    await isReplaced(older);
    newer.send("<presence id='newer'/>");
    await until(nodes, ([entry]) => entry?.priority === 0);
    await bob.receivesNothing();
    release();
    await heard(newer);
    await hears(bob, `<presence id='newer' from='${newer.jid}' to='${BOB}'/>`);
  });

  test(`a session replaced from ${where} while it came online is not shown any more`, async (t) => {
    const { store, hold, release } = slowStore();
    const nodes = await twoNodes(t, 'sessions = { replace_timeout = "100ms" }', store);
    await befriend(store, "alice", "bob");
    const bob = await come(nodes.two, "bob", "desk");
    const older = await nodes.one.login("alice", "desk");
    hold();
    older.send("<presence/>");
    await until(nodes, ([entry]) => entry?.priority === 0);
    const newer = await (where === "the same node" ? nodes.one : nodes.two).login("alice", "desk");
    await isReplaced(older);
    release();
    await bob.receives(gone(newer.jid, BOB));
    await newer.receivesNothing();
    await bob.receivesNothing();
  });
}

test("who comes online while a contact goes is not shown the presence that has ended", async (t) => {
  const { store, hold, release } = slowStore();
  const nodes = await twoNodes(t, 'sessions = { replace_timeout = "100ms" }', store);
  await befriend(store, "alice", "bob");
  const alice = await come(nodes.one, "alice", "desk");
  hold();
  alice.send("<presence type='unavailable'/>");
  await until(nodes, ([entry]) => entry?.priority === undefined);
  const bob = await nodes.two.login("bob", "desk");
  bob.send("<presence/>");
  await hears(bob, shown(bob.jid, BOB), gone(ALICE, bob.jid));
  release();
  await heard(alice);
  await hears(bob, gone(alice.jid, BOB));
});

test("who comes online while a contact does is not told that the contact is away", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  await befriend(store, "alice", "bob");
  const cluster = neighbourhood.join("n1");
  const found = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  const locateEach: typeof cluster.registry.locateEach = async (accounts) => {
    const entries = await cluster.registry.locateEach(accounts);
    found.resolve();
    await told.promise;
    return entries;
  };
  const one = await startServer(t, {
    store,
    cluster: { ...cluster, registry: { ...cluster.registry, locateEach } },
  });
  const two = await startServer(t, { store, cluster: neighbourhood.join("n2"), toml: 'node = { id = "n2" }' });
  const alice = await one.login("alice", "desk");
  alice.send("<presence/>");
  await alice.receives(shown(alice.jid, ALICE));
  await found.promise;
  const bob = await come(two, "bob", "desk");
  await alice.receives(shown(bob.jid, ALICE));
  told.resolve();
  await hears(alice);
});

test("who leaves is shown as gone though the cluster is slow to forget it", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  await befriend(store, "alice", "bob");
  const cluster = neighbourhood.join("n1");
  const forgotten = Promise.withResolvers<void>();
  const release = async (entry: SessionEntry) => {
    await forgotten.promise;
    await cluster.registry.release(entry);
  };
  const server = await startServer(t, {
    store,
    cluster: { ...cluster, registry: { ...cluster.registry, release } },
  });
  const bob = await come(server, "bob", "desk");
  const alice = await come(server, "alice", "desk");
  await heard(bob);
  alice.socket.destroy();
  await bob.receives(gone(alice.jid, BOB));
  forgotten.resolve();
});

test("a session lost with its node is unavailable, once, to contacts and the account's other sessions", async (t) => {
  const nodes = await twoNodes(t);
  await befriend(nodes.store, "alice", "bob");
  const bob = await come(nodes.one, "bob", "desk");
  const phone = await come(nodes.one, "alice", "phone");
  const desk = await come(nodes.two, "alice", "desk");
  await nodes.two.login("alice", "silent");
  await heard(bob);
  await heard(phone);
  for (const entry of await entries(nodes)) if (entry.node === "n2") await nodes.neighbourhood.lose(entry);
  await bob.receives(gone(desk.jid, BOB));
  await phone.receives(gone(desk.jid, ALICE));
  for (const client of [bob, phone]) await client.receivesNothing();
  bob.send(`<presence to='${ALICE}' type='probe'/>`);
  await hears(bob, shown(phone.jid, bob.jid));
});

test("a session lost with its node, and back under the same address before that is noticed, stays available", async (t) => {
  const nodes = await twoNodes(t);
  await befriend(nodes.store, "alice", "bob");
  const bob = await come(nodes.one, "bob", "desk");
  await come(nodes.two, "alice", "desk");
  const [lost] = await entries(nodes);
  assert.ok(lost);
  const back = await come(nodes.one, "alice", "desk");
  await heard(bob);
  await nodes.neighbourhood.lose(lost);
  // A turn through the server for each of the two who could have something to say.
  await back.receivesNothing();
  await bob.receivesNothing();
  bob.send(`<presence to='${ALICE}' type='probe'/>`);
  await hears(bob, shown(back.jid, bob.jid));
});
