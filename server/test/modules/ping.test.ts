import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ping } from "../../src/modules/ping.ts";
import { WoundClock } from "../support/clock.ts";
import { type RawClient, startServer } from "../support/server.ts";
import { heard, isRefused, moduleConfig } from "./contacts.ts";
import { mistaken, taken } from "./settings.ts";

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

async function silent(t: TestContext, settings = 'ping_after = "60s", answer_within = "20s"') {
  const clock = new WoundClock();
  const server = await startServer(t, { clock, toml: moduleConfig({ ping: settings }) });
  return { clock, server, alice: await server.login("alice", "desk") };
}

/** The server's ping, whose id is returned. */
async function pinged(client: RawClient): Promise<string> {
  const asked = await client.next();
  const id = asked.attrs.id ?? "";
  assert.equal(
    asked.toXml("jabber:client"),
    `<iq type='get' id='${id}' from='example.org' to='${client.jid}'>${PING}</iq>`,
  );
  return id;
}

test("a silent client is pinged, and stays when it answers, in whatever way", async (t) => {
  const { alice, clock } = await silent(t);
  for (const answer of [
    "<iq type='result' id='ID' to='example.org'/>",
    "<iq type='error' id='ID' to='example.org'/>",
  ]) {
    await clock.wind(55);
    assert.deepEqual(await heard(alice), []);
    await clock.wind(60);
    alice.send(answer.replace("ID", await pinged(alice)));
    assert.deepEqual(await heard(alice), []);
  }
  await clock.wind(60);
  await pinged(alice);
  assert.deepEqual(await heard(alice), []);
  await clock.wind(55);
  assert.deepEqual(await heard(alice), []);
});

test("a client that does not answer in time is cut off", async (t) => {
  const { alice, clock } = await silent(t);
  await clock.wind(60);
  await pinged(alice);
  await clock.wind(15);
  await clock.wind(5);
  await alice.endsWith("connection-timeout");
});

test("without the setting nobody is pinged", async (t) => {
  const { alice, clock } = await silent(t, "");
  await clock.wind(100_000);
  assert.deepEqual(await heard(alice), []);
});

test("a client that has gone is forgotten, and one that waits to be resumed is left alone", async (t) => {
  const { alice, clock, server } = await silent(t);
  await alice.leave();
  const phone = await server.login("alice", "phone");
  phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  const { id } = (await phone.next()).attrs;
  phone.socket.destroy();
  for (;;) if ((await phone.take()) === "end") break;
  await clock.wind(200);
  const back = await server.connect();
  await back.open();
  await back.scram("alice");
  await back.open();
  back.send(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='0'/>`);
  assert.equal((await back.next()).name, "resumed");
  await clock.wind(60);
  assert.equal((await back.next()).elements()[0]?.name, "ping");
});

taken(ping, "", 'ping_after = "0s"', 'ping_after = "1s"', 'ping_after = "24h"', 'answer_within = "1s"');
mistaken(ping, {
  'ping_after = "999ms"': 'must be "0s", or "1s" at least',
  'ping_after = "25h"': "from 0s to 24h",
  'answer_within = "999ms"': "from 1s to 10m",
  'answer_within = "11m"': "from 1s to 10m",
});
