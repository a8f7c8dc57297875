/** XEP-0133: what administrators can do, and what it does on every node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSWORD, parse, type RawClient, startServer } from "../support/server.ts";
import { befriend, come, getRoster, heard, item, moduleConfig, twoNodes } from "./contacts.ts";

const COMMANDS = "http://jabber.org/protocol/commands";
const ADMIN = "http://jabber.org/protocol/admin";
const TOML = moduleConfig({ adhoc: 'admins = ["root@example.org"]', "admin-commands": "" });

type Fields = Readonly<Record<string, string | readonly string[]>>;

/** Runs a command that asks for nothing, or once. Returns the last answer, which may be an error. */
async function run(client: RawClient, action: string, fields?: Fields, to = "example.org") {
  const node = `${ADMIN}#${action}`;
  client.send(`<iq type='set' id='c1' to='${to}'><command xmlns='${COMMANDS}' node='${node}'/></iq>`);
  const first = await reply(client);
  const id = first.child("command", COMMANDS)?.attrs.sessionid;
  if (fields === undefined || first.attrs.type === "error") return first;
  const filled = Object.entries({ FORM_TYPE: ADMIN, ...fields }).map(
    ([name, values]) =>
      `<field var='${name}'>${[values]
        .flat()
        .map((value) => `<value>${value}</value>`)
        .join("")}</field>`,
  );
  client.send(
    `<iq type='set' id='c2' to='${to}'><command xmlns='${COMMANDS}' node='${node}' sessionid='${id}'><x xmlns='jabber:x:data' type='submit'>${filled.join("")}</x></command></iq>`,
  );
  return reply(client);
}

async function reply(client: RawClient) {
  for (;;) {
    const next = await client.next();
    if (next.name === "iq" && (next.attrs.type === "result" || next.attrs.type === "error")) return next;
  }
}

async function done(client: RawClient, action: string, fields?: Fields) {
  const answer = await run(client, action, fields);
  const command = answer.child("command", COMMANDS);
  assert.equal(command?.attrs.status, "completed", answer.toXml());
  const values = new Map<string, string[]>();
  for (const field of command?.child("x", "jabber:x:data")?.elements() ?? []) {
    const shown = field.elements().map((value) => value.text());
    if (field.attrs.var !== undefined) values.set(field.attrs.var, shown);
  }
  return { values, command };
}

async function fails(client: RawClient, action: string, fields: Fields, condition: string, text = /./) {
  const answer = await run(client, action, fields);
  assert.equal(answer.child("error")?.elements()[0]?.name, condition, answer.toXml());
  assert.match(answer.toXml(), text);
}

/** The condition that the stream ends with. */
async function lastWord(client: RawClient): Promise<string | undefined> {
  for (;;) {
    const next = await client.next();
    if (next.name === "error") return next.elements()[0]?.name;
  }
}

async function canLogIn(connect: () => Promise<RawClient>, local: string, password: string): Promise<boolean> {
  const client = await connect();
  await client.open();
  try {
    await client.scram(local, password);
    return true;
  } catch {
    return false;
  } finally {
    client.socket.destroy();
  }
}

test("only administrators may, and only they see that there is something to do", async (t) => {
  const server = await startServer(t, { toml: TOML });
  const [root, eve] = [await server.login("root", "desk"), await server.login("eve", "desk")];
  const list = async (client: RawClient) => {
    client.send(
      `<iq type='get' id='l' to='example.org'><query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/></iq>`,
    );
    const items = (await client.next()).child("query", "http://jabber.org/protocol/disco#items")?.elements() ?? [];
    return items.map(({ attrs }) => attrs.node?.replace(`${ADMIN}#`, ""));
  };
  const all = [
    "add-user",
    "delete-user",
    "change-user-password",
    "end-user-session",
    "get-user-roster",
    "get-registered-users-num",
    "get-online-users-num",
    "get-registered-users-list",
  ];
  assert.deepEqual(await list(root), all);
  assert.deepEqual(await list(eve), []);
  for (const action of all) {
    const answer = await run(eve, action);
    assert.equal(answer.child("error")?.elements()[0]?.name, "forbidden");
  }
});

test("accounts are added, counted and listed", async (t) => {
  const server = await startServer(t, { toml: TOML });
  const root = await server.login("root", "desk");
  const add = (jid: string, password = PASSWORD, again = password) => ({
    accountjid: jid,
    password,
    "password-verify": again,
  });
  await done(root, "add-user", add("Bob@example.org"));
  await done(root, "add-user", add("carol@example.org"));
  await server.login("carol", "desk");
  assert.deepEqual((await done(root, "get-registered-users-num")).values.get("registeredusersnum"), ["3"]);
  assert.deepEqual((await done(root, "get-online-users-num")).values.get("onlineusersnum"), ["2"]);
  const list = async (fields: Fields) =>
    (await done(root, "get-registered-users-list", fields)).values.get("registereduserjids");
  assert.deepEqual(await list({ max_items: "25" }), ["bob@example.org", "carol@example.org", "root@example.org"]);
  assert.deepEqual(await list({ after: "bob" }), ["carol@example.org", "root@example.org"]);

  await fails(root, "add-user", add("bob@example.org"), "conflict");
  await fails(root, "add-user", add("dave@example.org", PASSWORD, "other"), "not-acceptable", /differ/);
  await fails(root, "add-user", add("dave@example.org", "short"), "not-acceptable", /shorter/);
  await fails(root, "add-user", add("dave@other.example"), "not-acceptable", /no account of example.org/);
  await fails(root, "add-user", add("dave@example.org/desk"), "not-acceptable", /no account/);
  await fails(root, "add-user", add("example.org"), "not-acceptable", /no account/);
  await fails(root, "get-registered-users-list", { max_items: "1000" }, "bad-request", /no such choice/);
});

test("a password is changed", async (t) => {
  const server = await startServer(t, { toml: TOML });
  const root = await server.login("root", "desk");
  await server.account("bob");
  await done(root, "change-user-password", { accountjid: "bob@example.org", password: "another good one" });
  const connect = () => server.connect();
  assert.equal(await canLogIn(connect, "bob", PASSWORD), false);
  assert.equal(await canLogIn(connect, "bob", "another good one"), true);
  const change = (accountjid: string, password: string) => ({ accountjid, password });
  await fails(root, "change-user-password", change("nobody@example.org", PASSWORD), "item-not-found");
  await fails(root, "change-user-password", change("bob@other.example", PASSWORD), "item-not-found");
  await fails(root, "change-user-password", change("bob@example.org", "bob"), "not-acceptable");
});

test("sessions are ended on every node: all of an account, or just the one that is named", async (t) => {
  const { one, two } = await twoNodes(t, TOML);
  const root = await one.login("root", "desk");
  const here = await one.login("bob", "here");
  const there = await two.login("bob", "there");
  const tablet = await two.login("bob", "tablet");
  await done(root, "end-user-session", { accountjids: "bob@example.org/there" });
  await there.endsWith("policy-violation");
  await here.receivesNothing();
  await tablet.receivesNothing();
  await done(root, "end-user-session", { accountjids: ["bob@example.org", "root@example.org/phone"] });
  await here.endsWith("policy-violation");
  await tablet.endsWith("policy-violation");
  assert.equal(await canLogIn(() => two.connect(), "bob", PASSWORD), true);
  await fails(root, "end-user-session", { accountjids: "nobody@example.org" }, "item-not-found");
});

test("a deleted account is gone on every node, with its sessions, its roster and its subscriptions", async (t) => {
  const { one, two, store } = await twoNodes(t, TOML);
  await befriend(store, "bob", "alice");
  const root = await one.login("root", "desk");
  const alice = await come(two, "alice", "desk");
  await getRoster(alice);
  const here = await come(one, "bob", "here");
  const there = await come(two, "bob", "there");
  await heard(alice);
  await heard(here);
  await heard(there);

  await done(root, "delete-user", { accountjids: ["bob@example.org"] });
  for (const client of [here, there]) assert.equal(await lastWord(client), "not-authorized");
  const told = (await heard(alice)).map((xml) => parse(xml));
  const types = told.filter(({ name }) => name === "presence").map(({ attrs }) => `${attrs.from} ${attrs.type}`);
  assert.ok(types.includes("bob@example.org/here unavailable"), types.join());
  assert.ok(types.includes("bob@example.org/there unavailable"), types.join());
  assert.deepEqual(await getRoster(alice), [item("jid='bob@example.org' subscription='none'")]);
  assert.equal(await canLogIn(() => one.connect(), "bob", PASSWORD), false);

  const bob = await one.login("bob", "new");
  assert.deepEqual(await getRoster(bob), []);
  await fails(root, "delete-user", { accountjids: ["bob@example.org", "nobody@example.org"] }, "item-not-found");
  await bob.receivesNothing();
});

test("a roster is shown as its owner sees it, one at a time", async (t) => {
  const { one, store } = await twoNodes(t, TOML);
  await befriend(store, "bob", "alice");
  const root = await one.login("root", "desk");
  await one.account("alice");
  await one.account("bob");
  const { command } = await done(root, "get-user-roster", { accountjids: "bob@example.org" });
  assert.match(
    command?.toXml() ?? "",
    /<query xmlns='jabber:iq:roster'><item jid='alice@example\.org' subscription='both'\/><\/query>/,
  );
  const two = ["bob@example.org", "alice@example.org"];
  await fails(root, "get-user-roster", { accountjids: two }, "not-acceptable", /one at a time/);
});

test("no more than a hundred accounts are touched at once", async (t) => {
  const server = await startServer(t, { toml: TOML });
  const root = await server.login("root", "desk");
  const names = Array.from({ length: 101 }, (_, at) => `a${at}@example.org`);
  await fails(root, "delete-user", { accountjids: names }, "not-acceptable", /no more than 100/);
  await fails(root, "delete-user", { accountjids: names.slice(1) }, "item-not-found");
});
