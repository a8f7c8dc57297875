import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "@xmpp/client";
import { archived } from "../lib/archive.ts";
import { freshAccounts } from "../lib/datacenter.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];

test("a client that was away has what was sent to it meanwhile, each once and in order (XEP-0313)", async (t) => {
  const [alices, bobs] = await onTwoNodes(t, alice, bob);
  const first = await bobs.message(await alices.say(bobs.jid, "before"));
  const known = first.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs;
  assert.equal(known?.by, bobs.bare);
  const bare = bobs.bare;
  await bobs.close();
  const missed = Array.from({ length: 25 }, (_, i) => `missed ${i}`);
  for (const text of missed) await alices.say(bare, text);
  // Handled in order: when this is answered, all of them are kept.
  await alices.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));

  const again = await online(t, bob);
  assert.deepEqual(
    (await archived(again, { after: known?.id ?? "", max: 10 })).map(({ body }) => body),
    missed,
  );
  const all = await archived(again, { party: alices.bare, max: 10 });
  assert.deepEqual(
    all.map(({ body }) => body),
    ["before", ...missed],
  );
  assert.equal(all[0]?.id, known?.id);
  const sent = await archived(alices, { party: bare });
  assert.deepEqual(
    sent.map(({ body }) => body),
    ["before", ...missed],
  );
});
