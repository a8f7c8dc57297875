import assert from "node:assert/strict";
import { test } from "node:test";
import { xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, RawClient } from "../lib/raw.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

const [alice] = (await freshAccounts(site.domain, "alice")) as [Account];

test("Alice logs in by direct TLS, without ALPN, as @xmpp/client does", async (t) => {
  const client = await online(t, alice, { via: "direct-tls" });
  await client.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
  assert.ok((client.certificateEnd as Date) > new Date());
});

test("a client that offers the protocol xmpp-client gets it (XEP-0368 2), and SASL without STARTTLS", async () => {
  for (const ALPNProtocols of [["xmpp-client"], ["http/1.1", "xmpp-client"]]) {
    await using client = await RawClient.directTls(site, { ALPNProtocols });
    assert.equal(client.alpn, "xmpp-client");
    client.send(header(site.domain));
    const features = await client.until(FEATURES);
    assert.match(features, /<mechanism>SCRAM-SHA-256<\/mechanism>/);
    assert.doesNotMatch(features, /<starttls/);
  }
});

test("a client that offers other protocols only is turned away before it is served", async () => {
  for (const ALPNProtocols of [["http/1.1"], ["xmpp-server"], ["xmpp-client2"]]) {
    await assert.rejects(RawClient.directTls(site, { ALPNProtocols }), `${ALPNProtocols} was served`);
  }
  await using client = await RawClient.directTls(site);
  client.send(header(site.domain));
  await client.until(FEATURES);
});

test("a client that speaks XML at the TLS door is cut, and others are served", async () => {
  await using client = await RawClient.tcp({ ...site, ports: { ...site.ports, c2s: site.ports.c2sTls } });
  client.send(header(site.domain));
  assert.doesNotMatch(await client.rest(12_000), /<stream:features/);
  await using other = await RawClient.directTls(site);
  other.send(header(site.domain));
  await other.until(FEATURES);
});
