/** What a login and a change of presence ask of the store, the table of sessions and the bus, with two hundred contacts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type Codec, json, type MapStore, type StorageDriver } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { startServer } from "../support/server.ts";
import { come, getRoster, heard, putItem } from "./contacts.ts";

const CONTACTS = 200;
const ONLINE = 10;

class Counts {
  readonly #calls = new Map<string, number>();

  counted<F extends (...args: never[]) => unknown>(name: string, run: F): F {
    return ((...args) => {
      this.#calls.set(name, (this.#calls.get(name) ?? 0) + 1);
      return run(...args);
    }) as F;
  }

  /** What was called since it was last asked. */
  take(): Record<string, number> {
    const calls = Object.fromEntries([...this.#calls].sort());
    this.#calls.clear();
    return calls;
  }
}

function countedStore(counts: Counts): StorageDriver {
  const driver = memoryDriver();
  return {
    ...driver,
    map: <T>(table: string, codec: Codec<T>) => {
      const map = driver.map?.(table, codec) as MapStore<T>;
      const entries = Object.entries(map).map(([name, run]) => [name, counts.counted(`${table}.${name}`, run)]);
      return Object.fromEntries(entries) as MapStore<T>;
    },
  };
}

test("two hundred contacts cost few requests", async (t) => {
  const counts = new Counts();
  const store = countedStore(counts);
  const neighbourhood = new Neighbourhood();
  const cluster = neighbourhood.join("n1");
  const one = await startServer(t, {
    store,
    cluster: {
      ...cluster,
      registry: {
        ...cluster.registry,
        locate: counts.counted("locate", cluster.registry.locate),
        locateEach: counts.counted("locateEach", cluster.registry.locateEach),
      },
      bus: { ...cluster.bus, send: counts.counted("bus", cluster.bus.send) },
    },
  });
  const two = await startServer(t, { store, cluster: neighbourhood.join("n2"), toml: 'node = { id = "n2" }' });
  const lastSeen = store.map?.("last_presence", json<number>());
  for (let i = 0; i < CONTACTS; i++) {
    await putItem(store, "alice@example.org", `c${i}@example.org`, { to: "yes", from: "yes" });
    await putItem(store, `c${i}@example.org`, "alice@example.org", { to: "yes", from: "yes" });
    await lastSeen?.set(new Jid(`c${i}`, "example.org"), "left", 1_000_000_000);
  }
  for (let i = 0; i < ONLINE; i++) await come(two, `c${i}`, "desk");
  const alice = await one.login("alice", "desk");
  await getRoster(alice);

  counts.take();
  alice.send("<presence/>");
  const said = await heard(alice);
  assert.equal(said.length, 1 + CONTACTS);
  // The bus carries the broadcast, and one question for all; the one look-up is for the account's own sessions.
  assert.deepEqual(counts.take(), {
    bus: 2,
    "last_presence.getEach": 1,
    locate: 1,
    locateEach: 1,
    "roster.getEach": 1,
    "roster.list": 1,
  });

  alice.send("<presence><show>away</show></presence>");
  await heard(alice);
  assert.deepEqual(counts.take(), { bus: 1, "roster.list": 1 });

  alice.send("<presence type='unavailable'/>");
  await heard(alice);
  assert.deepEqual(counts.take(), { bus: 1, "last_presence.set": 1, locate: 1, "roster.list": 1 });

  alice.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='c1@example.org'/></query></iq>");
  await heard(alice);
  assert.deepEqual(counts.take(), { locate: 1, "roster.updateTogether": 1 });
});
