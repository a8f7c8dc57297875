/** XEP-0157: where the server says whom to turn to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { contactAddresses } from "../../src/modules/contact-addresses.ts";
import { normal, parse, type RawClient, startServer } from "../support/server.ts";
import { moduleConfig } from "./contacts.ts";
import { mistaken, taken } from "./settings.ts";

const INFO = "http://jabber.org/protocol/disco#info";

async function forms(client: RawClient, to: string): Promise<string[]> {
  client.send(`<iq type='get' id='d' to='${to}'><query xmlns='${INFO}'/></iq>`);
  const query = (await client.next()).child("query", INFO);
  return (query?.elements() ?? []).filter(({ name }) => name === "x").map(normal);
}

test("the server tells the addresses that it was given, behind its features, and accounts tell none", async (t) => {
  const contacts = `abuse = ["mailto:abuse@example.org", "xmpp:abuse@example.org"], status = ["https://status.example.org"]`;
  const server = await startServer(t, { toml: moduleConfig({ "contact-addresses": contacts }) });
  const alice = await server.login("alice", "desk");
  assert.deepEqual(await forms(alice, "example.org"), [
    normal(
      parse(
        "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field><field var='abuse-addresses' type='list-multi'><value>mailto:abuse@example.org</value><value>xmpp:abuse@example.org</value></field><field var='status-addresses' type='list-multi'><value>https://status.example.org</value></field></x>",
      ),
    ),
  ]);
  assert.deepEqual(await forms(alice, "alice@example.org"), []);
});

test("without an address there is no form", async (t) => {
  const server = await startServer(t, { toml: moduleConfig({ "contact-addresses": "" }) });
  assert.deepEqual(await forms(await server.login("alice", "desk"), "example.org"), []);
});

const twenty = Array.from({ length: 20 }, (_, i) => `"xmpp:a${i}@example.org"`).join(", ");
taken(contactAddresses, "", `admin = ["xmpp:admin@example.org"]`, `sales = []`, `support = [${twenty}]`);
const uri = 'must be a URI such as "mailto:abuse@example.org" or "xmpp:abuse@example.org"';
mistaken(contactAddresses, {
  'admin = ["admin at example.org"]': `contact-addresses.admin.0 = "admin at example.org": ${uri}`,
  'security = ["nobody"]': `contact-addresses.security.0 = "nobody": ${uri}`,
  'feedback = "xmpp:a@example.org"': 'contact-addresses.feedback = "xmpp:a@example.org": must be a list',
  [`support = [${twenty}, "xmpp:b@example.org"]`]: "must have 20 entries or fewer",
  "abus = []": 'contact-addresses.abus: there is no such key; did you mean "abuse"?',
});
