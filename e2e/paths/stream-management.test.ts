import assert from "node:assert/strict";
import { test } from "node:test";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, plainAuth, RawClient, SASL_SUCCESS } from "../lib/raw.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

const SM = "urn:xmpp:sm:3";
const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];

/** Logs in up to where a resource would be bound; returns the node too. */
async function authenticated(account: Account): Promise<{ client: RawClient; node: string }> {
  const client = await RawClient.secured(site, account.domain);
  client.send(plainAuth(account));
  await client.until(SASL_SUCCESS);
  client.send(header(account.domain));
  const features = await client.until(FEATURES);
  assert.match(features, /<sm xmlns=['"]urn:xmpp:sm:3['"]\/>/);
  return { client, node: /id=['"]([^:'"]+):/.exec(features)?.[1] ?? "" };
}

/** The balancer chooses the node; a session is resumed on the one that has it. */
async function authenticatedOn(node: string, account: Account): Promise<RawClient> {
  for (let i = 0; i < 24; i++) {
    const { client, node: found } = await authenticated(account);
    if (found === node) return client;
    await client[Symbol.asyncDispose]();
  }
  throw new Error(`no connection came to ${node}`);
}

async function bound(account: Account, resource: string): Promise<{ client: RawClient; node: string }> {
  const { client, node } = await authenticated(account);
  client.send(
    `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
  );
  await client.until(/<iq [^>]*type=['"]result['"][\s\S]*?<\/iq>/);
  return { client, node };
}

async function enabled(client: RawClient): Promise<string> {
  client.send(`<presence/><enable xmlns='${SM}' resume='true'/>`);
  return /id=['"]([^'"]+)['"]/.exec(await client.until(/<enabled[^>]*\/>/))?.[1] ?? "";
}

const body = (text: string) => new RegExp(`<message[\\s\\S]*?<body>${text}</body>[\\s\\S]*?</message>`);

test("a connection that breaks is resumed: nothing is lost, nothing comes twice, and nobody saw it (XEP-0198 5)", async (t) => {
  const { client: first, node } = await bound(alice, "phone");
  const id = await enabled(first);
  const bobs = await online(t, bob);
  const to = `${alice.local}@${site.domain}/phone`;
  await bobs.say(to, "one");
  await first.until(body("one"));
  await first[Symbol.asyncDispose]();
  await bobs.say(to, "two");
  await bobs.say(`${alice.local}@${site.domain}`, "three");
  await using again = await authenticatedOn(node, alice);
  again.send(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  const all = await again.until(body("three"));
  assert.match(all, /^[\s\S]*<resumed [^>]*h=['"]0['"]/);
  assert.deepEqual(
    [...all.matchAll(/<body>(\w+)<\/body>/g)].map(([, text]) => text),
    ["one", "two", "three"],
  );
  again.send(`<message to='${bobs.jid}' type='chat'><body>back</body></message><r xmlns='${SM}'/>`);
  await again.until(/<a [^>]*h=['"]1['"]/);
});

test("a session that does not exist is not resumed, and a resource can be bound instead", async () => {
  const { client } = await authenticated(alice);
  client.send(`<resume xmlns='${SM}' previd='nobody' h='0'/>`);
  assert.match(await client.until(/<failed[\s\S]*?<\/failed>/), /item-not-found/);
  client.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  await client.until(/<iq [^>]*type=['"]result['"][\s\S]*?<\/iq>/);
  await client[Symbol.asyncDispose]();
});

test("who takes the address of a session that is gone gets what it left, from whichever node", async (t) => {
  const { client: first } = await bound(alice, "tablet");
  await enabled(first);
  const bobs = await online(t, bob);
  await first[Symbol.asyncDispose]();
  await bobs.say(`${alice.local}@${site.domain}/tablet`, "left behind");
  const { client: second } = await bound(alice, "tablet");
  await second.until(body("left behind"));
  await second[Symbol.asyncDispose]();
});
