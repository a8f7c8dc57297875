/** XEP-0049. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { type RawClient, startServer } from "../support/server.ts";
import { isRefused } from "./contacts.ts";

const query = (type: string, inner: string, to = "") =>
  `<iq type='${type}' id='1'${to}><query xmlns='jabber:iq:private'>${inner}</query></iq>`;
const PREFS = "<exodus xmlns='exodus:prefs'><defaultnick a='&lt;'>Hamlet</defaultnick></exodus>";

async function keeps(client: RawClient, inner: string): Promise<void> {
  client.send(query("set", inner));
  assert.equal((await client.next()).attrs.type, "result");
}

async function finds(client: RawClient, asked: string, found: string): Promise<void> {
  client.send(query("get", asked));
  const [answer] = (await client.next()).elements();
  assert.equal(
    answer
      ?.elements()
      .map((each) => each.toXml())
      .join(""),
    found,
  );
}

test("what one client keeps another finds, on another node, by name and namespace", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
  const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  await finds(phone, "<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>");
  await keeps(desk, `${PREFS}<exodus xmlns='urn:other'/>`);
  await finds(phone, "<exodus xmlns='exodus:prefs'/>", PREFS);
  await finds(phone, "<exodus xmlns='urn:other'/>", "<exodus xmlns='urn:other'/>");
  await keeps(phone, "<exodus xmlns='exodus:prefs'/>");
  await finds(desk, "<exodus xmlns='exodus:prefs'/>", "<exodus xmlns='exodus:prefs'/>");
});

test("nobody reads or writes what is another's", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  await server.account("bob");
  for (const type of ["get", "set"]) {
    alice.send(query(type, PREFS, " to='bob@example.org'"));
    await isRefused(alice, "forbidden", "auth");
  }
});

for (const [what, type, inner] of [
  ["nothing", "get", ""],
  ["nothing", "set", ""],
  ["two at once", "get", `${PREFS}<x xmlns='urn:x'/>`],
  ["what has no namespace of its own", "set", "<exodus/>"],
] as const) {
  test(`a ${type} of ${what} is not acceptable`, async (t) => {
    const server = await startServer(t);
    const alice = await server.login("alice", "desk");
    alice.send(query(type, inner));
    await isRefused(alice, "not-acceptable", "modify");
  });
}

test("an account keeps so many elements of such a size, and no more", async (t) => {
  const toml = "[host_types.default.modules]\nprivate-xml = { max_items = 2, max_item_size = '1KiB' }";
  const server = await startServer(t, { toml });
  const alice = await server.login("alice", "desk");
  const sized = (bytes: number) => `<a xmlns='x'>${"a".repeat(bytes - "<a xmlns='x'></a>".length)}</a>`;
  await keeps(alice, sized(1024));
  alice.send(query("set", sized(1025)));
  await isRefused(alice, "not-acceptable", "modify");
  await keeps(alice, "<b xmlns='x'/>");
  alice.send(query("set", "<c xmlns='x'/>"));
  await isRefused(alice, "resource-constraint", "wait");
  await keeps(alice, "<a xmlns='x'/><b xmlns='x'/>");
});
