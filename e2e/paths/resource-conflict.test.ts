import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

test("the same resource on another node: the older stream ends with conflict, the newer one lives (RFC 6120 7.7.2.2)", async (t) => {
  const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
  const errors: string[] = [];
  // Until the nodes differ, each attempt replaces the one before it: every older stream has the same story.
  const [first] = await onTwoNodes(t, alice, bob, { first: { resource: "balcony" } });
  first.entity.on("error", (error: { condition?: string }) => errors.push(error.condition ?? String(error)));
  const replaced = first.node;
  let second = await online(t, alice, { via: "websocket", resource: "balcony" });
  await first.ended;
  // On TCP the library may add that its own good-bye came too late to be written.
  assert.deepEqual(
    errors.filter((error) => error !== "Error: This socket has been ended by the other party"),
    ["conflict"],
  );
  // And again, until it was a stream of another node that was replaced.
  for (let i = 0; second.node === replaced && i < 12; i++) {
    const older = second;
    const conditions: (string | undefined)[] = [];
    older.entity.on("error", (error: { condition?: string }) => conditions.push(error.condition));
    // Takes up the node with the fewest streams, so that the next goes elsewhere.
    await online(t, bob, { via: "websocket" });
    second = await online(t, alice, { via: "websocket", resource: "balcony" });
    await older.ended;
    assert.deepEqual(conditions, ["conflict"]);
  }
  assert.notEqual(second.node, replaced, "all streams are on one node");
  assert.equal(second.jid, first.jid);

  const bobs = await online(t, bob);
  await second.message(await bobs.say(second.jid, "which of you is it?"));
  await second.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
});

test("two clients that name no resource get two, and both live", async (t) => {
  const [alice] = (await freshAccounts(site.domain, "alice")) as [Account];
  const [one, other] = await onTwoNodes(t, alice, alice);
  assert.notEqual(one.jid, other.jid);
  await one.message(await other.say(one.jid, "myself?"));
});
