/** XEP-0054. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { vcard } from "../../src/modules/vcard.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { ReadOnlyError, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { normal, parse, type RawClient, startServer } from "../support/server.ts";
import { isRefused } from "./contacts.ts";
import { mistaken, taken } from "./settings.ts";

const card = (inner: string) => `<vCard xmlns='vcard-temp'>${inner}</vCard>`;
const ALICE = card("<FN>Alice &amp; the cat</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO>");

function ask(client: RawClient, type: "get" | "set", inner = card(""), to = ""): void {
  client.send(`<iq type='${type}' id='1'${to === "" ? "" : ` to='${to}'`}>${inner}</iq>`);
}

async function finds(client: RawClient, to: string, found: string): Promise<void> {
  ask(client, "get", card(""), to);
  const answer = await client.next();
  assert.equal(answer.attrs.type, "result", answer.toXml());
  const [payload] = answer.elements();
  assert.ok(payload);
  assert.equal(normal(payload), normal(parse(found)));
}

async function keeps(client: RawClient, inner: string, to = ""): Promise<void> {
  ask(client, "set", inner, to);
  const answer = await client.next();
  assert.equal(answer.attrs.type, "result", answer.toXml());
}

/** XEP-0077 3.2. */
async function leavesForGood(client: RawClient): Promise<void> {
  client.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>");
  assert.equal((await client.next()).attrs.type, "result");
  await client.endsWith("not-authorized");
}

test("what an account says of itself everyone finds, from another node as well, until it says something else", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  const alice = await one.login("alice", "desk");
  const bob = await two.login("bob", "desk");
  await keeps(alice, ALICE);
  await finds(alice, "", ALICE);
  await finds(alice, "alice@example.org", ALICE);
  await finds(bob, "alice@example.org", ALICE);
  await keeps(alice, card("<FN>A</FN>"), "alice@example.org");
  await finds(bob, "alice@example.org", card("<FN>A</FN>"));
});

test("who has said nothing finds nothing, and others do not learn whether there is an account", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await server.account("bob");
  for (const to of ["", "alice@example.org"]) {
    ask(alice, "get", card(""), to);
    await isRefused(alice, "item-not-found", "cancel");
  }
  for (const to of ["bob@example.org", "nobody@example.org"]) {
    ask(alice, "get", card(""), to);
    await isRefused(alice, "service-unavailable", "cancel");
  }
});

test("nobody speaks for another, nor for the server", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await server.account("bob");
  ask(alice, "set", ALICE, "bob@example.org");
  await isRefused(alice, "forbidden", "auth");
  ask(alice, "set", ALICE, "example.org");
  await isRefused(alice, "not-allowed", "cancel");
});

test("the server has a vCard of its own, as the operator words it, and says that there are vCards", async (t) => {
  const settings = 'host_name = "Example", host_url = "https://example.org/", host_description = "Chat"';
  const server = await startServer(t, {
    toml: `host_types.default.modules = { vcard = { ${settings} }, roster = {}, disco = {} }`,
  });
  const alice = await server.login("alice", "desk");
  await finds(alice, "example.org", card("<FN>Example</FN><URL>https://example.org/</URL><DESC>Chat</DESC>"));
  alice.send("<iq type='get' id='1' to='example.org'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  const [info] = (await alice.next()).elements();
  assert.ok(info?.elements().some(({ attrs }) => attrs.var === "vcard-temp"));
});

test("a vCard may be as large as it is allowed to be, and no larger", async (t) => {
  const server = await startServer(t, { toml: 'host_types.default.modules.vcard.max_size = "1KiB"' });
  const alice = await server.login("alice", "desk");
  const filled = (bytes: number) => card(`<FN>${"a".repeat(bytes - Buffer.byteLength(card("<FN></FN>")))}</FN>`);
  await keeps(alice, filled(1024));
  ask(alice, "set", filled(1025));
  await isRefused(alice, "not-acceptable", "modify");
  await finds(alice, "", filled(1024));
});

test("an account that is removed leaves no vCard behind", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await keeps(alice, ALICE);
  await leavesForGood(alice);
  const again = await server.login("alice", "desk");
  ask(again, "get");
  await isRefused(again, "item-not-found", "cancel");
});

/** As a company's directory is. */
async function withDirectory(t: TestContext, answer: () => Promise<string>) {
  const directory: StorageDriver = {
    name: "directory",
    readOnly: true,
    keyValue: (_table, codec) => ({
      get: async () => codec.decode(await answer()),
      set: () => Promise.reject(new ReadOnlyError("no")),
      remove: () => Promise.reject(new ReadOnlyError("no")),
    }),
    migrate: async () => {},
    healthy: async () => true,
    close: async () => {},
  };
  const toml = `
    storage = { main = { driver = "memory" }, company = { driver = "memory" } }
    host_types.default.stores = { vcards = "company" }`;
  return startServer(t, { toml, stores: { company: directory } });
}

test("what a company's directory says nobody can change, and an account can be removed all the same", async (t) => {
  const server = await withDirectory(t, async () => ALICE);
  const alice = await server.login("alice", "desk");
  await finds(alice, "", ALICE);
  ask(alice, "set", card("<FN>Queen</FN>"));
  await isRefused(alice, "not-allowed", "cancel");
  await leavesForGood(alice);
});

test("while a directory cannot be reached, who asks is told to wait", async (t) => {
  const server = await withDirectory(t, () => Promise.reject(new StorageError("gone")));
  const alice = await server.login("alice", "desk");
  ask(alice, "get");
  await isRefused(alice, "resource-constraint", "wait");
});

taken(vcard, "", 'max_size = "1KiB"', 'max_size = "1MiB"', 'host_name = "x"');
mistaken(vcard, {
  'max_size = "1023B"': "1KiB to 1MiB",
  'max_size = "2MiB"': "1KiB to 1MiB",
  'host_name = ""': "host_name",
});
