import assert from "node:assert/strict";
import { test } from "node:test";
import { person } from "../lib/company.ts";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, plainAuth, RawClient, SASL_SUCCESS } from "../lib/raw.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { login } from "../lib/xmpp.ts";

test("Ada of the directory logs in by each way with PLAIN, which is all that a directory can do", async (t) => {
  for (const via of ["starttls", "direct-tls", "websocket"] as const) {
    const client = await online(t, person("ada"), { via });
    assert.equal(client.bare, `ada@${site.company}`);
  }
  await using raw = await RawClient.directTls(site);
  raw.send(header(site.company));
  const features = await raw.until(FEATURES);
  // In both profiles, and tokens, which come after a first login (XEP-0484).
  assert.deepEqual(
    [...features.matchAll(/<mechanism>([^<]*)/g)].map(([, name]) => name),
    ["PLAIN", "PLAIN", "HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"],
  );
});

test("a person whose name is not ASCII logs in", async () => {
  // By hand, since @xmpp/client encodes such a name as Latin-1.
  await using client = await RawClient.secured(site, site.company);
  client.send(plainAuth(person("åsa")));
  await client.until(SASL_SUCCESS);
  client.send(header(site.company));
  await client.until(FEATURES);
  client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  assert.match(await client.until(/<\/iq>/), new RegExp(`<jid>åsa@${site.company}/`));
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
  ]) {
    await assert.rejects(login(site, account), (error: { condition?: string }) => {
      assert.equal(error.condition, "not-authorized", `${account.local}: ${String(error)}`);
      return true;
    });
  }
});

test("an empty password, which a directory would take for an anonymous bind, is malformed (RFC 4616 2)", async () => {
  await assert.rejects(login(site, { ...person("linus"), password: "" }), { condition: "malformed-request" });
});
