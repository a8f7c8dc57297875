/** XEP-0050: what everyone may ask the server to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawClient } from "../support/server.ts";
import { twoNodes } from "./contacts.ts";

const COMMANDS = "http://jabber.org/protocol/commands";

async function command(client: RawClient, attrs: string, inner = "") {
  client.send(`<iq type='set' id='c' to='example.org'><command xmlns='${COMMANDS}' ${attrs}>${inner}</command></iq>`);
  const answer = await client.next();
  const told = answer.child("command", COMMANDS);
  assert.ok(told, answer.toXml());
  return told;
}

test("everyone finds the commands that are for everyone, and none of an administrator's", async (t) => {
  const { one } = await twoNodes(t);
  const alice = await one.login("alice", "desk");
  alice.send(
    `<iq type='get' id='i' to='example.org'><query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/></iq>`,
  );
  const [query] = (await alice.next()).elements();
  assert.deepEqual(
    query
      ?.elements()
      .map(({ attrs }) => attrs.node)
      .sort(),
    ["end-sessions", "ping"],
  );
  const pong = await command(alice, "node='ping'");
  assert.equal(pong.attrs.status, "completed");
  assert.equal(pong.childText("note"), "It is.");
});

test("an account ends sessions of its own on any node, those it chose, and never another's", async (t) => {
  const { one, two } = await twoNodes(t);
  const desk = await one.login("alice", "desk");
  assert.equal((await command(desk, "node='end-sessions'")).attrs.status, "completed");
  const phone = await two.login("alice", "phone");
  const tv = await two.login("alice", "tv");
  const bob = await two.login("bob", "phone");
  const asked = await command(desk, "node='end-sessions'");
  const field = asked
    .child("x", "jabber:x:data")
    ?.elements()
    .find(({ attrs }) => attrs.var === "resources");
  const offered = field?.elements().filter(({ name }) => name === "option");
  assert.deepEqual(offered?.map((option) => option.childText("value")).sort(), ["phone", "tv"]);
  const form = "<x xmlns='jabber:x:data' type='submit'><field var='resources'><value>phone</value></field></x>";
  const done = await command(desk, `node='end-sessions' sessionid='${asked.attrs.sessionid}'`, form);
  assert.equal(done.attrs.status, "completed");
  await phone.endsWith("policy-violation");
  await tv.receivesNothing();
  await bob.receivesNothing();
});
