import { test } from "node:test";
import { startServer } from "../support/server.ts";
import { isRefused } from "./contacts.ts";

const PING = "<ping xmlns='urn:xmpp:ping'/>";

test("the server answers, for itself and for one's own account", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  for (const to of ["example.org", "other.example", "alice@example.org"]) {
    alice.send(`<iq type='get' id='1' to='${to}'>${PING}</iq>`);
    await alice.receives(`<iq type='result' id='1' from='${to}' to='alice@example.org/desk'/>`);
  }
  alice.send(`<iq type='get' id='2'>${PING}</iq>`);
  await alice.receives("<iq type='result' id='2' from='alice@example.org' to='alice@example.org/desk'/>");
});

test("another's account and one that does not exist answer alike", async (t) => {
  const server = await startServer(t);
  await server.account("bob");
  const alice = await server.login("alice", "desk");
  for (const to of ["bob@example.org", "nobody@example.org"]) {
    alice.send(`<iq type='get' id='1' to='${to}'>${PING}</iq>`);
    await isRefused(alice, "service-unavailable", "cancel");
  }
});

test("a ping to a session is the client's to answer", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  alice.send(`<iq type='get' id='1' to='${bob.jid}'>${PING}</iq>`);
  await bob.receives(`<iq type='get' id='1' from='${alice.jid}' to='${bob.jid}'>${PING}</iq>`);
});

test("nothing is set by a ping", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  alice.send(`<iq type='set' id='1' to='example.org'>${PING}</iq>`);
  await isRefused(alice, "not-allowed", "cancel");
});
