import assert from "node:assert/strict";
import { after, test } from "node:test";
import { xml } from "@xmpp/client";
import { compose, freshAccounts, nodeContainers, run } from "../lib/datacenter.ts";
import { eventually } from "../lib/eventually.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { login } from "../lib/xmpp.ts";

// Before the accounts are made, as it needs them when all is done, and they are taken away again after that.
after(allNodesBack);
const [alice, bob, carol] = (await freshAccounts(site.domain, "alice", "bob", "carol")) as [Account, Account, Account];

/** Starts again what is not running, and waits until a client meets two nodes. */
async function allNodesBack(): Promise<void> {
  const stopped = (await nodeContainers()).filter(({ running }) => !running);
  if (stopped.length > 0) await run("docker", ["start", ...stopped.map(({ id }) => id)]);
  await eventually(
    async () => {
      const nodes = await nodeContainers();
      const met = new Set<string>();
      const clients = [];
      try {
        for (let i = 0; i < 2 * nodes.length; i++) {
          const client = await login(site, alice, { mechanism: "PLAIN" });
          clients.push(client);
          met.add(client.node);
        }
      } finally {
        for (const client of clients) await client.close();
      }
      return met.size === nodes.length;
    },
    { withinMs: 90_000, everyMs: 1000, what: "every node takes clients" },
  );
}

test("a node is killed: its peers go on, its clients come back through the others, smoke passes within 15 s", async (t) => {
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  const victim = (await nodeContainers()).find(({ node }) => node === bobs.node);
  assert.ok(victim, `no container is called ${bobs.node}`);

  await run("docker", ["kill", victim.id]);
  const killed = performance.now();
  await bobs.ended;

  // Those on the other nodes notice nothing.
  await alices.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
  const bare = `${bob.local}@${site.domain}`;
  const again = await eventually(() => login(site, bob, { via: "websocket" }), {
    withinMs: 15_000,
    what: "Bob is back",
  });
  t.after(() => again.close());
  assert.notEqual(again.node, victim.node);
  await again.message(await alices.say(again.jid, "you are back"));

  const output = await eventually(() => run("scripts/smoke", []), {
    withinMs: 15_000 - (performance.now() - killed),
    what: "make smoke passes",
  });
  assert.match(output, /^ok +cross-node .*ONE node only/m);
  assert.ok(!output.includes(victim.node), output);
  assert.match(output, /^\d+ passed, 0 failed$/m);
  assert.ok(performance.now() - killed < 15_000, `smoke passed only after ${performance.now() - killed} ms`);

  // What the dead node knew is forgotten: its sessions get no messages any more, Bob's new one does.
  const carols = await online(t, carol);
  await again.send(xml("presence"));
  await eventually(
    async () => {
      const id = await carols.say(bare, "to whichever resource");
      await again.message(id, 2000);
      return true;
    },
    { withinMs: 20_000, what: "messages to the bare JID arrive" },
  );
});

test("the node is started again and takes clients, without anything else being restarted", async () => {
  const before = await compose(["ps", "--quiet", "--no-trunc", "haproxy"]);
  await allNodesBack();
  assert.equal(await compose(["ps", "--quiet", "--no-trunc", "haproxy"]), before);
  const output = await run("scripts/smoke", []);
  assert.match(output, /over two nodes/);
});
