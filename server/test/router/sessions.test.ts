/** What happens between a session and the cluster's knowledge of it: the moments at which the two differ. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cluster, ClusterError, type SessionRegistry } from "../../src/cluster/cluster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { startServer } from "../support/server.ts";

/** The same cluster with some of its registry's answers changed. */
function changed(cluster: Cluster, change: (registry: SessionRegistry) => Partial<SessionRegistry>): Cluster {
  return { ...cluster, registry: { ...cluster.registry, ...change(cluster.registry) } };
}

test("a session that has ended gets nothing, also while the registry does not know it yet", async (t) => {
  const told = Promise.withResolvers<void>();
  const cluster = changed(new Neighbourhood().join("n1"), (registry) => ({
    release: async (entry) => {
      await told.promise;
      await registry.release(entry);
    },
  }));
  const server = await startServer(t, { cluster });
  const alice = await server.login("alice", "desk");
  const bob = await server.online("bob", "desk");
  await bob.leave();
  for (const to of ["bob@example.org", "bob@example.org/desk"]) {
    alice.send(`<message to='${to}' type='chat' id='m'><body>x</body></message>`);
    assert.ok((await alice.next()).child("error")?.child("service-unavailable", NS.stanzaErrors), to);
  }
  told.resolve();
});

test("a stanza that grows by being escaped still reaches the other node", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  const alice = await one.login("alice", "desk");
  const bob = await two.login("bob", "desk");
  const quotes = '"'.repeat(12_000);
  alice.send(`<message to='bob@example.org/desk'><x xmlns='urn:x' a='${quotes}'/></message>`);
  assert.equal((await bob.next()).child("x", "urn:x")?.attrs.a, quotes);
});

test("a session that is refused because nobody knows how many there are leaves nothing in the registry", async (t) => {
  const shared = new Neighbourhood().join("n1");
  let failures = 1;
  const cluster = changed(shared, (registry) => ({
    locate: async (account) => {
      if (failures-- > 0) throw new ClusterError("not now");
      return registry.locate(account);
    },
  }));
  const server = await startServer(t, { cluster });
  await server.account("alice");
  const client = await server.connect();
  await client.open();
  await client.scram("alice");
  await client.open();
  client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`);
  assert.ok((await client.next()).child("error")?.child("resource-constraint", NS.stanzaErrors));
  assert.deepEqual(await shared.registry.locate(new Jid("alice", "example.org")), []);
});

test("presence that the cluster did not hear of is told again with the next one", async (t) => {
  let failures = 1;
  const cluster = changed(new Neighbourhood().join("n1"), (registry) => ({
    update: async (entry) => {
      if (failures-- > 0) throw new ClusterError("not now");
      await registry.update(entry);
    },
  }));
  const server = await startServer(t, { cluster });
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  bob.send("<presence/><presence/>");
  await bob.receives("<presence from='bob@example.org/desk' to='bob@example.org'/>");
  alice.send("<message to='bob@example.org' type='chat' id='m'><body>x</body></message>");
  assert.equal((await bob.next()).attrs.id, "m");
});

test("what another node has no session for any more goes where it may still be taken, once", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  let stale = true;
  const cluster = changed(neighbourhood.join("n1"), (registry) => ({
    locate: async (account) => {
      const entries = await registry.locate(account);
      if (account.local !== "bob" || !stale) return entries;
      stale = false;
      return entries.map((entry) => ({ ...entry, jid: entry.jid.withResource("gone"), node: "n2", id: "gone" }));
    },
  }));
  const one = await startServer(t, { cluster, store });
  await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  stale = false;
  const alice = await one.login("alice", "desk");
  const bob = await one.online("bob", "phone");
  stale = true;
  alice.send("<message to='bob@example.org' type='chat' id='m'><body>x</body></message>");
  assert.equal((await bob.next()).attrs.id, "m");
  await bob.receivesNothing();
  await alice.receivesNothing();
});

test("contacts hear the good-bye of a replaced session before the presence of the new one", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const servers = [];
  for (const id of ["n1", "n2", "n3"]) {
    servers.push(await startServer(t, { cluster: neighbourhood.join(id), store, toml: `node = { id = "${id}" }` }));
  }
  const [one, two, three] = servers as [(typeof servers)[0], (typeof servers)[0], (typeof servers)[0]];
  const carol = await three.online("carol", "desk");
  const older = await one.online("alice", "desk");
  older.send("<presence to='carol@example.org/desk'/>");
  await carol.receives("<presence from='alice@example.org/desk' to='carol@example.org/desk'/>");
  const newer = await two.login("alice", "desk");
  newer.send("<presence to='carol@example.org/desk'><status>new</status></presence>");
  await carol.receives("<presence type='unavailable' from='alice@example.org/desk' to='carol@example.org/desk'/>");
  await carol.receives(
    "<presence from='alice@example.org/desk' to='carol@example.org/desk'><status>new</status></presence>",
  );
});

test("however many come at once, on two nodes, no account has more sessions than it may", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const limit = "[sessions]\nmax_per_account = 3";
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store, toml: limit });
  const two = await startServer(t, {
    cluster: neighbourhood.join("n2"),
    store,
    toml: `node = { id = "n2" }\n${limit}`,
  });
  await one.account("alice");
  const clients = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const client = await (i % 2 === 0 ? one : two).connect();
      await client.open();
      await client.scram("alice");
      await client.open();
      return client;
    }),
  );
  for (const [i, client] of clients.entries()) {
    client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>r${i}</resource></bind></iq>`);
  }
  const answers = await Promise.all(clients.map((client) => client.next()));
  const bound = answers.filter(({ attrs }) => attrs.type === "result");
  assert.ok(bound.length <= 3, `${bound.length} were let in`);
  for (const refused of answers.filter(({ attrs }) => attrs.type !== "result")) {
    assert.ok(refused.child("error")?.child("resource-constraint", NS.stanzaErrors), refused.toXml());
  }
  // Who was refused holds nothing: those who were not can come back, one after the other.
  for (const [i, { attrs }] of answers.entries()) if (attrs.type === "result") await one.login("alice", `r${i}`);
});
