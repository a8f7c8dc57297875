import assert from "node:assert/strict";
import { test } from "node:test";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, RawClient } from "../lib/raw.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { login } from "../lib/xmpp.ts";

const person = (local: string): Account => ({
  local,
  domain: site.company,
  password: site.secret("ldap_people_password"),
});

test("Ada of the directory logs in by each way with PLAIN, which is all that a directory can do", async (t) => {
  for (const via of ["starttls", "direct-tls", "websocket"] as const) {
    const client = await online(t, person("ada"), { via });
    assert.equal(client.bare, `ada@${site.company}`);
  }
  await using raw = await RawClient.directTls(site);
  raw.send(header(site.company));
  const features = await raw.until(FEATURES);
  assert.deepEqual(
    [...features.matchAll(/<mechanism>([^<]*)/g)].map(([, name]) => name),
    ["PLAIN"],
  );
});

test("a person whose name is not ASCII logs in", async (t) => {
  const client = await online(t, person("åsa"));
  assert.equal(client.bare, `åsa@${site.company}`);
});

test("Grace of the directory and Bob of the database write to each other", async (t) => {
  const [bob] = (await freshAccounts(site.domain, "bob")) as [Account];
  const [grace, bobs] = [await online(t, person("grace")), await online(t, bob, { via: "websocket" })];
  assert.equal((await bobs.message(await grace.say(bobs.jid, "hello"))).attrs.from, grace.jid);
  assert.equal((await grace.message(await bobs.say(grace.jid, "hello"))).attrs.from, bobs.jid);
});

test("a wrong password, a disabled person and a stranger are refused alike: not-authorized", async () => {
  for (const account of [
    { ...person("linus"), password: "not his" },
    person("victor"),
    person("nobody"),
    // What an LDAP filter would read as "anybody".
    person("*"),
    { ...person("linus"), password: "" },
  ]) {
    await assert.rejects(login(site, account), (error: { condition?: string }) => {
      assert.equal(error.condition, "not-authorized", `${account.local}: ${String(error)}`);
      return true;
    });
  }
});
