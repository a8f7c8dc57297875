import assert from "node:assert/strict";
import { after, test } from "node:test";
import { xml } from "@xmpp/client";
import { changePassword, DIRECTORY_SERVERS, person, progress, tree } from "../lib/company.ts";
import { compose } from "../lib/datacenter.ts";
import { eventually } from "../lib/eventually.ts";
import { online, site } from "../lib/story.ts";
import { login } from "../lib/xmpp.ts";

after(() => compose(["start", ...DIRECTORY_SERVERS]));

/** Logs in as often as it takes to meet every node and both servers, and says how long the slowest took. */
async function logins(count: number): Promise<number> {
  let slowest = 0;
  for (let i = 0; i < count; i++) {
    const from = performance.now();
    const client = await login(site, person(i % 2 === 0 ? "ada" : "grace"));
    slowest = Math.max(slowest, performance.now() - from);
    await client.close();
  }
  return slowest;
}

for (const victim of DIRECTORY_SERVERS) {
  test(`${victim} is killed: log-ins, vCards and colleagues go on, and it gets what it missed when it is back`, async (t) => {
    await logins(4);
    const other = victim === "openldap-1" ? "openldap-2" : "openldap-1";
    await compose(["kill", victim]);

    const slowest = await logins(8);
    t.diagnostic(`the slowest log-in without ${victim} took ${Math.round(slowest)} ms`);
    const rosa = await online(t, person("rosa"));
    const roster = await rosa.iq("get", xml("query", { xmlns: "jabber:iq:roster" }));
    assert.ok((roster.getChild("query")?.getChildren("item").length ?? 0) > 0);
    const card = await rosa.iq("get", xml("vCard", { xmlns: "vcard-temp" }), `yuki@${site.company}`);
    assert.equal(card.getChild("vCard", "vcard-temp")?.getChildText("FN"), "田中 雪");
    await changePassword(other, "marcus");

    await compose(["start", victim]);
    await eventually(async () => (await progress(victim)) === (await progress(other)), {
      withinMs: 60_000,
      everyMs: 500,
      what: `${victim} has caught up`,
    });
    assert.equal(await tree(victim), await tree(other));
    await logins(4);
  });
}
