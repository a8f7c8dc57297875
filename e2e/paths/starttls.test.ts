import assert from "node:assert/strict";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, RawClient } from "../lib/raw.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { login } from "../lib/xmpp.ts";

const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];

test("Alice logs in by STARTTLS with SCRAM-SHA-1, as @xmpp/client does by itself, and pings", async (t) => {
  const client = await online(t, alice, { mechanism: "SCRAM-SHA-1" });
  assert.equal(client.bare, `${alice.local}@${site.domain}`);
  await client.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
});

for (const mechanism of ["SCRAM-SHA-256", "PLAIN"]) {
  test(`Alice logs in by STARTTLS with ${mechanism}, and her resource begins as she asks for`, async (t) => {
    const client = await online(t, alice, { mechanism, resource: "balcony" });
    assert.equal(client.jid.slice(0, client.jid.lastIndexOf("/")), `${alice.local}@${site.domain}/balcony`);
  });
}

test("Alice and Bob, both by STARTTLS, write to each other", async (t) => {
  const [first, second] = [await online(t, alice), await online(t, bob)];
  const text = "Où es-tu ? 🎭 <&>\"'";
  const message = await second.message(await first.say(second.jid, text));
  assert.equal(message.getChildText("body"), text);
  assert.equal(message.attrs.from, first.jid);
  await first.message(await second.say(first.jid, "here"));
});

test("before TLS nothing but STARTTLS is offered, and it is required (RFC 6120 5.3.1)", async () => {
  await using client = await RawClient.tcp(site);
  client.send(header(site.domain));
  const features = await client.until(FEATURES);
  assert.match(features, /<starttls xmlns=['"]urn:ietf:params:xml:ns:xmpp-tls['"]><required\/><\/starttls>/);
  assert.doesNotMatch(features, /mechanism/);
});

test("the certificate of each domain is one that the site's authority has signed", async () => {
  for (const domain of [site.domain, site.company]) {
    await using client = await RawClient.secured(site, domain);
    client.send("</stream:stream>");
    assert.match(await client.rest(), /<\/stream:stream>/);
  }
});

test("a client that does not know the site's authority refuses the certificate", async () => {
  const socket = connectTls({ host: site.domain, port: site.ports.c2sTls, servername: site.domain, ca: [] });
  const { promise, resolve } = Promise.withResolvers<Error | "trusted">();
  socket.once("secureConnect", () => resolve("trusted")).once("error", resolve);
  const outcome = await promise;
  socket.destroy();
  assert.match(String((outcome as NodeJS.ErrnoException).code), /^(SELF_SIGNED_CERT|UNABLE_TO|DEPTH_ZERO)/);
});

test("a wrong password is refused with not-authorized", async () => {
  await assert.rejects(login(site, { ...alice, password: "not hers" }), { condition: "not-authorized" });
});
