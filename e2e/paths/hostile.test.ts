import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { xml } from "@xmpp/client";
import { freshAccounts } from "../lib/datacenter.ts";
import { FEATURES, header, plainAuth, RawClient, SASL_SUCCESS } from "../lib/raw.ts";
import { site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import { login } from "../lib/xmpp.ts";

const [alice, bob, mallory] = (await freshAccounts(site.domain, "alice", "bob", "mallory")) as [
  Account,
  Account,
  Account,
];
const STREAM_ERROR = /<stream:error[\s\S]*<\/stream:error>/;

// Bob is there all the time, on whichever node; each attack ends with the question whether he is still served.
const bobs = await login(site, bob);
after(() => bobs.close());

/** Whether the node of old streams, and the node that takes a new one, still serve. */
async function othersAreServed(): Promise<void> {
  await bobs.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }));
  const alices = await login(site, alice, { mechanism: "PLAIN" });
  await bobs.message(await alices.say(bobs.jid, "still there?"));
  await alices.close();
}

/** The stream ends with this condition, then with the closing tag, then the connection with it (RFC 6120 4.9.1.1). */
async function endsWith(client: RawClient, condition: string): Promise<void> {
  const rest = await client.rest();
  const [error = ""] = STREAM_ERROR.exec(rest) ?? [];
  assert.match(
    error,
    new RegExp(`<${condition} xmlns=['"]urn:ietf:params:xml:ns:xmpp-streams['"]`),
    `there came: ${rest}`,
  );
  assert.match(rest, /<\/stream:error>\s*<\/stream:stream>\s*$/);
}

const KILOBYTE = "x".repeat(1024);

for (const [what, bytes, condition] of [
  ["tags that do not match", "<message><body></message>", "not-well-formed"],
  ["an attribute twice", "<message to='a' to='b'/>", "not-well-formed"],
  ["a prefix that nobody declared", "<x:message/>", "not-well-formed"],
  ["an entity other than the five of XML", "<message>&lol;</message>", "restricted-xml"],
  ["a document type", "<!DOCTYPE x [<!ENTITY lol 'lol'>]>", "restricted-xml"],
  ["a comment", "<!-- hello -->", "restricted-xml"],
  ["a processing instruction", "<?php evil() ?>", "restricted-xml"],
  ["bytes that are not UTF-8", Buffer.from("<message>\xff\xfe</message>", "latin1"), "unsupported-encoding"],
] as const) {
  test(`${what}: ${condition}, before and after the login (RFC 6120 11.1, 4.9.3)`, async () => {
    for (const begin of [() => RawClient.secured(site), () => RawClient.online(site, mallory)]) {
      await using client = await begin();
      client.send(bytes);
      await endsWith(client, condition);
    }
    await othersAreServed();
  });
}

test("a domain that is not served: host-unknown, with a header of ours before it (RFC 6120 4.9.3.6)", async () => {
  await using client = await RawClient.tcp(site);
  client.send(header("elsewhere.example"));
  await client.until(/<stream:stream [^>]*>/);
  await endsWith(client, "host-unknown");
  await othersAreServed();
});

test("another namespace than jabber:client: invalid-namespace", async () => {
  await using client = await RawClient.tcp(site);
  client.send(header(site.domain).replace("jabber:client", "jabber:nonsense"));
  await endsWith(client, "invalid-namespace");
  await othersAreServed();
});

for (const mechanism of ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]) {
  test(`a wrong password with ${mechanism}, and an account that does not exist: not-authorized`, async () => {
    for (const account of [
      { ...mallory, password: "guess" },
      { ...mallory, local: "nobody" },
    ]) {
      await assert.rejects(login(site, account, { mechanism }), { condition: "not-authorized" });
    }
    await othersAreServed();
  });
}

test("after a few wrong passwords the stream is closed (RFC 6120 6.4.5)", async () => {
  await using client = await RawClient.secured(site);
  const failed = /<failure[^>]*>[\s\S]*?<\/failure>/;
  let refused = 0;
  for (; refused < 10; refused++) {
    client.send(plainAuth({ local: "nobody-at-all", password: "guess" }));
    const answer = await client.until(failed).catch(() => undefined);
    if (answer === undefined) break;
    assert.match(answer, /<not-authorized\/>|<temporary-auth-failure\/>/);
  }
  assert.ok(refused >= 2 && refused <= 5, `closed after ${refused} refusals`);
  assert.match(await client.rest(), /<\/stream:stream>/);
  await othersAreServed();
});

test("a mechanism that is not offered: invalid-mechanism; base64 that is none: incorrect-encoding", async () => {
  await using client = await RawClient.secured(site);
  client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='CRAM-MD5'/>");
  assert.match(await client.until(/<\/failure>/), /<invalid-mechanism\/>/);
  client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>!!!</auth>");
  assert.match(await client.until(/<\/failure>/), /<incorrect-encoding\/>/);
  client.send(plainAuth(mallory));
  await client.until(SASL_SUCCESS);
  await othersAreServed();
});

test("an oversized stanza: policy-violation, sooner before the login than after it", async () => {
  await using before = await RawClient.secured(site);
  before.send("<message to='a@b'><body>");
  for (let i = 0; i < 20; i++) before.send(KILOBYTE);
  await endsWith(before, "policy-violation");

  await using inside = await RawClient.online(site, mallory);
  inside.send(`<message to='${bobs.jid}' id='fits'><body>${KILOBYTE.repeat(100)}</body></message>`);
  await bobs.message("fits");
  inside.send(`<message to='${bobs.jid}' id='does-not'><body>`);
  for (let i = 0; i < 400; i++) inside.send(KILOBYTE);
  await endsWith(inside, "policy-violation");
  await othersAreServed();
  assert.equal(bobs.inbox.takeAll(({ attrs }) => attrs.id === "does-not").length, 0);
});

test("a stanza deeper than the limit, or with too many attributes: policy-violation", async () => {
  const attributes = Array.from({ length: 500 }, (_, i) => `a${i}='1'`).join(" ");
  for (const bytes of ["<a>".repeat(1000), `<message ${attributes}/>`]) {
    await using client = await RawClient.online(site, mallory);
    client.send(bytes);
    await endsWith(client, "policy-violation");
  }
  await othersAreServed();
});

test("a stanza before the login: not-authorized (RFC 6120 4.9.3.12)", async () => {
  for (const begin of [() => RawClient.tcp(site), () => RawClient.directTls(site)]) {
    await using client = await begin();
    client.send(header(site.domain));
    await client.until(FEATURES);
    client.send(`<message to='${bobs.jid}' id='too-early'><body>hello</body></message>`);
    await endsWith(client, "not-authorized");
  }
  await othersAreServed();
  assert.equal(bobs.inbox.takeAll(({ attrs }) => attrs.id === "too-early").length, 0);
});

test("PLAIN before STARTTLS is refused: no password goes in clear", async () => {
  await using client = await RawClient.tcp(site);
  client.send(header(site.domain));
  await client.until(FEATURES);
  client.send(plainAuth(mallory));
  const answer = await client.rest();
  assert.doesNotMatch(answer, /<success/);
  assert.match(answer, /<policy-violation|<encryption-required/);
  await othersAreServed();
});

test("what comes with <starttls/> in one packet is never read as if it had come by TLS (CVE-2021-33515's kind)", async () => {
  await using client = await RawClient.tcp(site);
  client.send(header(site.domain));
  await client.until(FEATURES);
  client.send(`<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${header(site.domain)}${plainAuth(mallory)}`);
  await client.until(/<proceed[^>]*\/>/);
  // Either the injected bytes spoil the handshake, or they are gone and the stream by TLS begins with what TLS brings.
  const secured = await client.upgrade(site).then(
    () => true,
    () => false,
  );
  if (secured) {
    client.send(header(site.domain));
    const answer = await client.until(FEATURES);
    assert.match(answer, /<mechanism>/);
    assert.doesNotMatch(answer, /<success/);
    assert.equal(answer.match(/<stream:stream/g)?.length, 1);
  }
  await othersAreServed();
});

test("a login of one byte at a time succeeds", async () => {
  await using client = await RawClient.secured(site);
  await client.drip(plainAuth(mallory));
  await client.until(SASL_SUCCESS);
  await client.drip(header(site.domain));
  await client.until(FEATURES);
  await client.drip(
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>drip</resource></bind></iq>",
  );
  await client.until(/<\/iq>/);
  await client.drip(`<message to='${bobs.jid}' id='dripped' type='chat'><body>höher 🎉</body></message>`);
  assert.equal((await bobs.message("dripped")).getChildText("body"), "höher 🎉");
});

test("clients that never finish their handshake are cut within the limits; others are served meanwhile", async () => {
  const began = performance.now();
  /** What came until the connection ended, and after how many seconds. */
  const end = async (client: RawClient) => {
    const rest = await client.rest(45_000);
    return { rest, seconds: (performance.now() - began) / 1000 };
  };
  await using mute = await RawClient.tcp(site);
  await using silent = await RawClient.tcp(site);
  silent.send(header(site.domain));
  await silent.until(FEATURES);
  await using halfway = await RawClient.secured(site);
  halfway.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'");
  await using stalled = await RawClient.tcp(site);
  stalled.send(header(site.domain));
  await stalled.until(FEATURES);
  stalled.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  await stalled.until(/<proceed[^>]*\/>/);
  // The head of a TLS record that never gets its body.
  stalled.send(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));

  const ends = Promise.all([mute, silent, halfway, stalled].map(end));
  let over = false;
  void ends.finally(() => (over = true)).catch(() => {});
  let served = 0;
  while (!over) {
    await othersAreServed();
    served++;
    await Promise.race([ends, delay(2000)]);
  }
  const inTls = (await ends).pop() as { rest: string; seconds: number };
  // There is no stream yet by TLS that an error could be said in (limits.tls_timeout, 10 s).
  assert.ok(inTls.seconds > 8 && inTls.seconds < 20, `the TLS handshake was cut after ${inTls.seconds} s`);
  // limits.negotiation_timeout, 30 s.
  for (const { rest, seconds } of await ends) {
    assert.match(rest, /<connection-timeout xmlns=['"]urn:ietf:params:xml:ns:xmpp-streams['"]/, `there came: ${rest}`);
    assert.ok(seconds > 28 && seconds < 40, `cut after ${seconds} s`);
  }
  assert.ok(served >= 3, `others were served ${served} times`);
});
