import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { stanzaLogin } from "../lib/stanza-js.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { doorOf } from "../lib/xmpp.ts";

const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
const url = doorOf(site, site.domain, "websocket");
const https = `https://${site.domain}:${site.ports.https}`;

/** How an attempt with these subprotocols ends: "open" with what was agreed on, or "refused". */
function attempt(protocols: string[]): Promise<string> {
  const socket = new WebSocket(url, protocols);
  return new Promise<string>((resolve) => {
    socket.onopen = () => resolve(`open ${socket.protocol}`);
    socket.onerror = () => resolve("refused");
    socket.onclose = () => resolve("refused");
  }).finally(() => socket.close());
}

test("Alice logs in by WebSocket with @xmpp/client and pings", async (t) => {
  const client = await online(t, alice, { via: "websocket" });
  await client.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
});

test("Bob logs in with stanza, and Alice by TCP: they write to each other", async (t) => {
  const bobs = await stanzaLogin(site, bob);
  t.after(() => bobs.disconnect());
  const alices = await online(t, alice);
  const arrived = new Promise<string | undefined>((resolve) => bobs.once("chat", ({ body }) => resolve(body)));
  await alices.say(bobs.jid, "Wherefore art thou?");
  assert.equal(await arrived, "Wherefore art thou?");
  const id = bobs.sendMessage({ to: alices.jid, type: "chat", body: "Here." });
  assert.equal((await alices.message(id)).getChildText("body"), "Here.");
});

test("stanza with a wrong password is told so", async () => {
  await assert.rejects(stanzaLogin(site, { ...bob, password: "not his" }), { message: "auth:failed" });
});

test("the subprotocol is xmpp: with another one, or none, there is no WebSocket (RFC 7395 3.1)", async () => {
  assert.equal(await attempt(["xmpp"]), "open xmpp");
  assert.equal(await attempt(["chat", "xmpp"]), "open xmpp");
  assert.equal(await attempt(["chat"]), "refused");
  assert.equal(await attempt([]), "refused");
});

test("host-meta tells web clients of every domain where to go, in XML and in JSON (XEP-0156)", async () => {
  for (const domain of [site.domain, site.company]) {
    const origin = `https://${domain}:${site.ports.https}`;
    const xmlAnswer = await fetch(`${origin}/.well-known/host-meta`);
    assert.match(xmlAnswer.headers.get("content-type") ?? "", /^application\/xrd\+xml/);
    assert.equal(xmlAnswer.headers.get("access-control-allow-origin"), "*");
    const [, inXml] =
      /rel=['"]urn:xmpp:alt-connections:websocket['"] href=['"]([^'"]+)['"]/.exec(await xmlAnswer.text()) ?? [];
    const jsonAnswer = await fetch(`${origin}/.well-known/host-meta.json`);
    assert.match(jsonAnswer.headers.get("content-type") ?? "", /^application\/(jrd\+)?json/);
    assert.equal(jsonAnswer.headers.get("access-control-allow-origin"), "*");
    const { links } = (await jsonAnswer.json()) as { links: { rel: string; href: string }[] };
    const inJson = links.find(({ rel }) => rel === "urn:xmpp:alt-connections:websocket")?.href;
    // Compared as addresses: the default port may be written or left out.
    assert.equal(new URL(inXml as string).href, new URL(doorOf(site, domain, "websocket")).href);
    assert.equal(inJson, inXml);
  }
});

test("stanza finds the WebSocket by host-meta alone", async () => {
  const { createClient } = await import("stanza");
  const agent = createClient({ jid: `${bob.local}@${site.domain}`, password: bob.password, autoReconnect: false });
  const found = await agent.discoverBindings(`${site.domain}:${site.ports.https}`);
  assert.deepEqual(
    found.websocket?.map((each: string) => new URL(each).href),
    [new URL(url).href],
  );
});

test("a plain GET of the WebSocket's path asks for the upgrade", async () => {
  assert.equal((await fetch(`${https}/ws-xmpp`)).status, 426);
});
