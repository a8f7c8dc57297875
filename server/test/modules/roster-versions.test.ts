/** RFC 6121 2.6: what a client that keeps its roster from one session to the next is told, and that it is never misled. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { openDriver } from "../../src/storage/open.ts";
import { type Codec, json, type MapStore, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import type { Element } from "../../src/xml/element.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { normal, type RawClient, startServer, type TestServer } from "../support/server.ts";
import { moduleConfig, putItem, twoNodes } from "./contacts.ts";

const ROSTER = "jabber:iq:roster";
const ROSTER_STORE = "roster";
const ALICE = "alice@example.org";

/** A client that keeps its roster and its version. */
class Cache {
  readonly items = new Map<string, string>();
  version: string | undefined = "";

  /** Asks for the roster, and takes what comes until the server has nothing more to say. */
  async synchronise(client: RawClient): Promise<"whole" | "unchanged"> {
    const ver = this.version === undefined ? "" : ` ver='${this.version}'`;
    client.send(`<iq type='get' id='sync'><query xmlns='${ROSTER}'${ver}/></iq>`);
    for (;;) {
      const answer = await client.next();
      if (answer.attrs.id !== "sync") {
        this.take(answer);
        continue;
      }
      const query = answer.child("query", ROSTER);
      if (query === undefined) return "unchanged";
      this.items.clear();
      this.#learn(query);
      return "whole";
    }
  }

  take(stanza: Element): void {
    const query = stanza.name === "iq" && stanza.attrs.type === "set" ? stanza.child("query", ROSTER) : undefined;
    if (query !== undefined) this.#learn(query);
  }

  /** Takes all that has come; the pushes among it are returned, by contact. */
  async read(client: RawClient): Promise<string[]> {
    const pushed: string[] = [];
    client.send("<iq type='get' id='read' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    for (;;) {
      const stanza = await client.next();
      if (stanza.attrs.id === "read") return pushed;
      this.take(stanza);
      const pushedItem = stanza.child("query", ROSTER)?.child("item");
      if (pushedItem !== undefined) pushed.push(pushedItem.attrs.jid?.split("@")[0] ?? "");
    }
  }

  #learn(query: Element): void {
    for (const item of query.elements()) {
      const { jid = "", subscription } = item.attrs;
      if (subscription === "remove") this.items.delete(jid);
      else this.items.set(jid, normal(item));
    }
    if (query.attrs.ver !== undefined) this.version = query.attrs.ver;
  }
}

async function set(client: RawClient, items: string): Promise<void> {
  client.send(`<iq type='set' id='set'><query xmlns='${ROSTER}'>${items}</query></iq>`);
  for (;;) {
    const answer = await client.next();
    if (answer.attrs.id !== "set") continue;
    assert.equal(answer.attrs.type, "result", answer.toXml());
    return;
  }
}

const add = (client: RawClient, local: string, name = "") =>
  set(client, `<item jid='${local}@example.org' name='${name}'/>`);
const remove = (client: RawClient, local: string) =>
  set(client, `<item jid='${local}@example.org' subscription='remove'/>`);

async function full(server: TestServer, resource = "full"): Promise<Cache> {
  const client = await server.login("alice", resource);
  const cache = new Cache();
  assert.equal(await cache.synchronise(client), "whole");
  client.socket.destroy();
  return cache;
}

async function isInSync(cache: Cache, server: TestServer): Promise<void> {
  const { items, version } = await full(server);
  assert.deepEqual([...cache.items].sort(), [...items].sort());
  assert.equal(cache.version, version);
}

test("a roster that has not changed is not sent again, an empty one neither", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const cache = new Cache();
  assert.equal(await cache.synchronise(alice), "whole");
  assert.ok(cache.version);
  assert.equal(await cache.synchronise(alice), "unchanged");
  await add(alice, "bob");
  assert.equal(await cache.synchronise(alice), "whole", "one push of one contact is no less than the whole");
  assert.equal(await cache.synchronise(alice), "unchanged");
  // Who does not ask for versions is told all the same, each time the whole.
  const plain = new Cache();
  plain.version = undefined;
  for (const _ of "ab") {
    assert.equal(await plain.synchronise(alice), "whole");
    assert.equal(plain.version, cache.version);
    plain.version = undefined;
  }
});

test("every push has a version of its own, with which a later session is up to date", async (t) => {
  const { one, two } = await twoNodes(t);
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  const caches = [new Cache(), new Cache()] as const;
  await caches[0].synchronise(desk);
  await caches[1].synchronise(phone);
  const versions = new Set([caches[0].version]);
  for (const [name, what] of [
    ["bob", ""],
    ["carol", "name='C'"],
    ["bob", "name='B'"],
    ["bob", "subscription='remove'"],
  ] as const) {
    phone.send(`<iq type='set' id='s'><query xmlns='${ROSTER}'><item jid='${name}@example.org' ${what}/></query></iq>`);
    assert.deepEqual(await caches[1].read(phone), [name]);
    assert.deepEqual(await caches[0].read(desk), [name]);
    assert.equal(caches[0].version, caches[1].version);
    versions.add(caches[0].version);
    await isInSync(caches[0], two);
  }
  assert.equal(versions.size, 5);
});

test("what changes nothing that is shown changes no version", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  const cache = new Cache();
  await add(alice, "carol", "C");
  await cache.synchronise(alice);
  const { version } = cache;
  bob.send(`<presence to='${ALICE}' type='subscribe'/>`);
  await bob.receivesNothing();
  assert.deepEqual(await cache.read(alice), []);
  assert.equal((await full(server)).version, version);
  // But a set is a change whatever it says (RFC 6121 2.4.2).
  const phone = await server.login("alice", "phone");
  await add(phone, "carol", "C");
  assert.deepEqual(await cache.read(alice), ["carol"]);
  await isInSync(cache, server);
});

test("who missed a few changes hears of these alone, each contact once, the removed ones too", async (t) => {
  const { one, two } = await twoNodes(t);
  const desk = await one.login("alice", "desk");
  for (const name of ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]) await add(desk, name);
  const cache = await full(two);
  await add(desk, "b", "B1");
  await add(desk, "new");
  await add(desk, "b", "B2");
  await remove(desk, "c");
  const phone = await two.login("alice", "phone");
  assert.equal(await cache.synchronise(phone), "unchanged");
  assert.deepEqual(await cache.read(phone), ["new", "b", "c"]);
  await isInSync(cache, one);
  // From here on it hears of changes as they come.
  await add(desk, "k");
  assert.deepEqual(await cache.read(phone), ["k"]);
  await isInSync(cache, one);
});

test("who missed half of the roster, or more changes than are remembered, gets the whole", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ roster: "max_changes = 2" }) });
  const desk = await server.login("alice", "desk");
  for (const name of ["a", "b", "c", "d"]) await add(desk, name);
  const cache = await full(server);
  const phone = await server.login("alice", "phone");
  for (const [changes, answer] of [
    [2, "unchanged"],
    [3, "whole"],
  ] as const) {
    for (let i = 0; i < changes; i++) await add(desk, "a", `${changes} ${i}`);
    assert.equal(await cache.synchronise(phone), answer, `${changes} changes`);
    await cache.read(phone);
    await isInSync(cache, server);
  }
  phone.socket.destroy();
  for (const [names, answer] of [
    [["a", "b"], "unchanged"],
    [["a", "b", "a"], "whole"],
  ] as const) {
    for (const [i, name] of names.entries()) await add(desk, name, `${names.length} ${i} again`);
    const tablet = await server.login("alice", "tablet");
    assert.equal(await cache.synchronise(tablet), answer);
    await cache.read(tablet);
    await isInSync(cache, server);
    tablet.socket.destroy();
  }
});

test("a version of no roster here, or of a former account of the name, gets the whole", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { store });
  const desk = await server.login("alice", "desk");
  await add(desk, "bob");
  const cache = await full(server);
  await store.map?.(ROSTER_STORE, json())?.clear(parseJid(ALICE) as Jid);
  await add(desk, "bob");
  assert.equal(await cache.synchronise(desk), "whole");
  for (const version of ["", "1", "no such version", "x".repeat(1000)]) {
    cache.version = version;
    assert.equal(await cache.synchronise(desk), "whole", version);
  }
});

test("versions outlive the server", async (t) => {
  const path = mkdtempSync(join(tmpdir(), "meerkat-roster-"));
  t.after(() => rmSync(path, { recursive: true }));
  const open = async (): Promise<StorageDriver> => {
    const driver = await openDriver({ driver: "sqlite", path: join(path, "db") });
    await driver.migrate();
    return driver;
  };
  const before = await startServer(t, { store: await open() });
  const cache = new Cache();
  const alice = await before.login("alice", "desk");
  await cache.synchronise(alice);
  for (const name of ["a", "b", "c"]) await add(alice, name);
  await cache.synchronise(alice);
  await before.stop();
  const store = await open();
  const after = await startServer(t, { store });
  t.after(() => store.close());
  const again = await after.connect();
  await again.login("alice", "desk");
  assert.equal(await cache.synchronise(again), "unchanged");
  await add(again, "d");
  assert.equal(await cache.synchronise(again), "unchanged");
  assert.deepEqual(await cache.read(again), ["d"]);
  await isInSync(cache, after);
});

/** A bus of which a test can hold back, or lose, what goes to the sessions of the other node. */
function waywardNodes(t: TestContext, store: StorageDriver = memoryDriver()) {
  const neighbourhood = new Neighbourhood();
  const cluster = neighbourhood.join("n1");
  const held: (() => Promise<void>)[] = [];
  const way = { holds: false, loses: false };
  const send = async (node: string, channel: string, message: string) => {
    if (way.loses) return;
    if (way.holds) held.push(async () => void (await cluster.bus.send(node, channel, message)));
    else await cluster.bus.send(node, channel, message);
  };
  return {
    way,
    /** Lets go of what was held back, the last first. */
    async release() {
      way.holds = false;
      for (const each of held.splice(0).reverse()) await each();
    },
    async start() {
      const one = await startServer(t, { store, cluster: { ...cluster, bus: { ...cluster.bus, send } } });
      const two = await startServer(t, { store, cluster: neighbourhood.join("n2"), toml: 'node = { id = "n2" }' });
      return { one, two };
    },
  };
}

test("pushes that overtake each other between nodes are sorted out, and each change is told once", async (t) => {
  const nodes = waywardNodes(t);
  const { one, two } = await nodes.start();
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  const cache = new Cache();
  await cache.synchronise(phone);
  nodes.way.holds = true;
  await add(desk, "bob", "B1");
  await add(desk, "carol");
  await add(desk, "bob", "B2");
  assert.deepEqual(await cache.read(phone), []);
  await nodes.release();
  assert.deepEqual(await cache.read(phone), ["carol", "bob"]);
  await isInSync(cache, two);
  assert.deepEqual(await cache.read(phone), []);
});

test("what was lost between nodes is made good by the next change, and by the next login", async (t) => {
  const nodes = waywardNodes(t);
  const { one, two } = await nodes.start();
  const desk = await one.login("alice", "desk");
  for (const name of ["a", "b", "c", "d", "e", "f"]) await add(desk, name);
  const phone = await two.login("alice", "phone");
  const cache = new Cache();
  await cache.synchronise(phone);
  nodes.way.loses = true;
  await add(desk, "a", "lost");
  nodes.way.loses = false;
  await add(desk, "b", "heard");
  assert.deepEqual(await cache.read(phone), ["a", "b"]);
  await isInSync(cache, two);
  nodes.way.loses = true;
  await remove(desk, "c");
  nodes.way.loses = false;
  phone.socket.destroy();
  const tablet = await two.login("alice", "tablet");
  assert.equal(await cache.synchronise(tablet), "unchanged");
  assert.deepEqual(await cache.read(tablet), ["c"]);
  await isInSync(cache, two);
});

/** A store whose lists of Alice's roster can be made to wait after they were read, or to fail. */
function slowLists(): {
  store: StorageDriver;
  list: { wait: Promise<void> | undefined; fails: boolean; read: number };
} {
  const driver = memoryDriver();
  const list = { wait: undefined as Promise<void> | undefined, fails: false, read: 0 };
  const store: StorageDriver = {
    ...driver,
    map: <T>(table: string, codec: Codec<T>) => {
      const map = driver.map?.(table, codec) as MapStore<T>;
      if (table !== "roster") return map;
      return {
        ...map,
        list: async (owner) => {
          if (list.fails) throw new StorageError("down");
          const all = await map.list(owner);
          list.read++;
          await list.wait;
          return all;
        },
      };
    },
  };
  return { store, list };
}

test("a change that comes while the roster is being read is told after it", async (t) => {
  const { store, list } = slowLists();
  const { one, two } = await twoNodes(t, "", store);
  const desk = await one.login("alice", "desk");
  await add(desk, "bob");
  for (const server of [one, two]) {
    const phone = await server.login("alice", "phone");
    const cache = new Cache();
    const { promise, resolve } = Promise.withResolvers<void>();
    list.wait = promise;
    const before = list.read;
    phone.send(`<iq type='get' id='first'><query xmlns='${ROSTER}' ver=''/></iq>`);
    while (list.read === before) await new Promise(setImmediate);
    await add(desk, "bob", server === one ? "one" : "two");
    resolve();
    list.wait = undefined;
    const whole = await phone.next();
    assert.equal(whole.attrs.id, "first");
    assert.deepEqual(await cache.read(phone), ["bob"]);
    await isInSync(cache, server);
    phone.socket.destroy();
  }
});

test("a push that cannot be placed because the store is down claims no version", async (t) => {
  const { store, list } = slowLists();
  const nodes = waywardNodes(t, store);
  const { one, two } = await nodes.start();
  const desk = await one.login("alice", "desk");
  for (const name of ["a", "b", "c", "d", "e", "f"]) await add(desk, name);
  const phone = await two.login("alice", "phone");
  const cache = new Cache();
  await cache.synchronise(phone);
  const { version } = cache;
  nodes.way.loses = true;
  await add(desk, "a", "lost");
  nodes.way.loses = false;
  list.fails = true;
  await add(desk, "b", "heard");
  assert.deepEqual(await cache.read(phone), ["b"]);
  assert.equal(cache.version, version);
  list.fails = false;
  assert.equal(await cache.synchronise(phone), "unchanged");
  assert.deepEqual(await cache.read(phone), ["a", "b"]);
  await isInSync(cache, two);
});

test("an account whose roster was written by another hand is counted before it is changed", async (t) => {
  const store = memoryDriver();
  for (const name of ["a", "b"]) await putItem(store, ALICE, `${name}@example.org`, {});
  const server = await startServer(t, { store, toml: moduleConfig({ roster: "max_items = 2" }) });
  const alice = await server.login("alice", "desk");
  alice.send(`<iq type='set' id='s'><query xmlns='${ROSTER}'><item jid='c@example.org'/></query></iq>`);
  assert.equal((await alice.next()).attrs.type, "error");
  await add(alice, "a", "A");
});

test("whatever is changed at once, and whenever a client goes and comes back, it ends with the roster there is", async (t) => {
  const { one, two } = await twoNodes(t);
  const writers = [await one.login("alice", "w1"), await two.login("alice", "w2"), await two.login("alice", "w3")];
  const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
  for (const name of names) await add(writers[0] as RawClient, name);
  // A random run that is the same each time.
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const cache = new Cache();
  for (let round = 0; round < 15; round++) {
    const reader = await (round % 2 === 0 ? one : two).login("alice", "reader");
    const asks = cache.synchronise(reader);
    for (const writer of writers) {
      for (let i = random(4); i >= 0; i--) {
        const jid = `${names[random(names.length)]}@example.org`;
        const what = random(4) === 0 ? "subscription='remove'" : `name='${round}-${i}'`;
        writer.send(`<iq type='set' id='x'><query xmlns='${ROSTER}'><item jid='${jid}' ${what}/></query></iq>`);
      }
    }
    await asks;
    // Sometimes it goes in the middle of things.
    if (random(3) > 0) for (const writer of writers) await new Cache().read(writer);
    await cache.read(reader);
    reader.socket.destroy();
    for (const writer of writers) await new Cache().read(writer);
  }
  const last = await one.login("alice", "last");
  await cache.synchronise(last);
  await cache.read(last);
  await isInSync(cache, two);
});
