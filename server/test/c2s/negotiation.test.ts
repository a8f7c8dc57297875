/** RFC 6120 as a client meets it: opening, logging in, binding, and every way to be refused. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { selfSigned } from "../../src/net/tls.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { PASSWORD, RawClient, startServer, type TestServer } from "../support/server.ts";

const HEADER =
  "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/** One listener that speaks TLS, with the certificate that the node makes for itself. */
function tlsToml(t: TestContext, kind: "starttls" | "direct", more = ""): string {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return `node = { id = "n1", data_dir = "${directory}" }\nlisten = [{ kind = "c2s", port = 0, tls = "${kind}" }]\n${more}`;
}

async function secured(server: TestServer): Promise<RawClient> {
  const socket = connectTls({
    port: server.port("c2s"),
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ALPNProtocols: ["xmpp-client"],
  });
  await once(socket, "secureConnect");
  return new RawClient(socket);
}

const plain = (local: string, password = PASSWORD) =>
  `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from(`\0${local}\0${password}`).toString("base64")}</auth>`;
const bind = (resource: string) =>
  `<iq type='set' id='b'><bind xmlns='${NS.bind}'>${resource === "" ? "" : `<resource>${resource}</resource>`}</bind></iq>`;

test("the server's header names its domain, and each opening has an id of its own", async (t) => {
  const server = await startServer(t);
  await server.account("alice");
  const client = await server.connect();
  await client.open();
  const first = client.header?.attrs ?? {};
  assert.equal(first.from, "example.org");
  assert.equal(first.version, "1.0");
  assert.equal(first["xml:lang"], "en");
  assert.match(first.id ?? "", /^n1:[\w-]{22}$/);
  await client.scram("alice");
  await client.open();
  assert.notEqual(client.header?.attrs.id, first.id);
});

test("what is offered follows from what has been established", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "direct") });
  await server.account("alice");
  const client = await secured(server);
  const names = (features: Awaited<ReturnType<RawClient["open"]>>) => features.elements().map(({ name }) => name);
  const before = await client.open();
  assert.deepEqual(names(before), ["mechanisms", "authentication", "sasl-channel-binding"]);
  assert.deepEqual(
    before
      .child("mechanisms", NS.sasl)
      ?.elements()
      .map((mechanism) => mechanism.text()),
    ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"],
  );
  client.send(plain("alice"));
  assert.equal((await client.next()).name, "success");
  assert.deepEqual(names(await client.open()), ["sm", "bind", "session", "csi", "sub", "ver", "c", "c"]);
});

test("in the clear, TLS is required and nothing else is offered; a log-in all the same is refused", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "starttls") });
  const client = await server.connect();
  const features = await client.open();
  assert.equal(features.toXml(NS.stream), `<features><starttls xmlns='${NS.tls}'><required/></starttls></features>`);
  client.send(plain("alice"));
  await client.endsWith("policy-violation");
});

test("after STARTTLS the stream begins anew, and what was sent before TLS began is gone", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "starttls") });
  await server.account("alice");
  const client = await server.connect();
  await client.open();
  // Sent in the clear behind <starttls/>, where an attacker could put it (RFC 6120 5.4.3.3).
  client.send(`<starttls xmlns='${NS.tls}'/>${HEADER}<iq type='get' id='injected'><ping xmlns='urn:xmpp:ping'/></iq>`);
  assert.equal((await client.next()).name, "proceed");
  client.socket.removeAllListeners("data");
  const socket = connectTls({ socket: client.socket, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const inside = new RawClient(socket);
  const features = await inside.open();
  assert.deepEqual(
    features.elements().map(({ name }) => name),
    ["mechanisms", "authentication", "sasl-channel-binding"],
  );
  inside.send(plain("alice"));
  assert.equal((await inside.next()).name, "success");
});

test("over STARTTLS a client may say everything at once as soon as TLS is there", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "starttls") });
  await server.account("alice");
  const client = await server.connect();
  await client.open();
  client.send(`<starttls xmlns='${NS.tls}'/>`);
  assert.equal((await client.next()).name, "proceed");
  client.socket.removeAllListeners("data");
  const socket = connectTls({ socket: client.socket, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const inside = new RawClient(socket);
  inside.send(`${HEADER}${plain("alice")}${HEADER}${bind("desk")}<presence/>`);
  const heard: string[] = [];
  while (heard.at(-1) !== "presence") {
    const next = await inside.take();
    heard.push(typeof next === "string" ? next : next.name);
  }
  assert.deepEqual(heard, ["open", "features", "success", "open", "features", "iq", "presence"]);
});

test("a renewed certificate is shown from the reload on, and open streams go on", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const shown = await selfSigned(directory, ["example.org"]);
  const renewed = await selfSigned(join(directory, "renewed"), ["example.org"]);
  const server = await startServer(t, {
    toml: `listen = [{ kind = "c2s", port = 0, tls = "direct" }]
      certificates = [{ certificate = "${shown.certificate}", key = "${shown.key}" }]`,
  });
  await server.account("alice");
  const serial = (client: RawClient) => (client.socket as TLSSocket).getPeerCertificate().serialNumber;
  const old = await secured(server);
  await old.open();
  copyFileSync(renewed.certificate, shown.certificate);
  assert.throws(() => server.reload(), /is not the key/);
  assert.equal(serial(await secured(server)), serial(old));
  copyFileSync(renewed.key, shown.key);
  server.reload();
  assert.notEqual(serial(await secured(server)), serial(old));
  old.send(plain("alice"));
  assert.equal((await old.next()).name, "success");
});

test("a client that says everything at once is served in order", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "direct") });
  await server.account("alice");
  const client = await secured(server);
  client.send(
    `${HEADER}${plain("alice")}${HEADER}${bind("desk")}<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`,
  );
  const heard: string[] = [];
  while (heard.at(-1) !== "p") {
    const next = await client.take();
    heard.push(typeof next === "string" ? next : (next.attrs.id ?? next.name));
  }
  assert.deepEqual(heard, ["open", "features", "success", "open", "features", "b", "p"]);
});

test("one byte at a time makes no difference", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "direct") });
  await server.account("älice");
  const client = await secured(server);
  const drip = async (xml: string) => {
    for (const byte of Buffer.from(xml)) {
      client.socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
  };
  await drip(HEADER);
  assert.equal(await client.take(), "open");
  await client.next();
  await drip(plain("älice"));
  assert.equal((await client.next()).name, "success");
  await drip(`${HEADER}${bind("büro")}`);
  assert.equal(await client.take(), "open");
  await client.next();
  assert.equal((await client.next()).child("bind", NS.bind)?.childText("jid"), "älice@example.org/büro");
});

test("a stanza may be as large as the limit and no larger, and less before the log-in", async (t) => {
  const server = await startServer(t, {
    toml: 'limits = { stanza_size = "20000B", unauthenticated_stanza_size = "10000B" }',
  });
  const alice = await server.online("alice", "desk");
  const message = (bytes: number) => {
    const empty = "<message to='alice@example.org'><body></body></message>";
    return empty.replace("</body>", `${"x".repeat(bytes - empty.length)}</body>`);
  };
  alice.send(message(20_000));
  assert.equal((await alice.next()).name, "message");
  alice.send(message(20_001));
  await alice.endsWith("policy-violation");

  const stranger = await server.connect();
  await stranger.open();
  const auth = `<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-256'>`;
  stranger.send(`${auth}${"A".repeat(10_000 - auth.length - 7)}</auth>`);
  assert.equal((await stranger.next()).name, "failure");
  stranger.send(`${auth}${"A".repeat(10_001 - auth.length - 7)}</auth>`);
  await stranger.endsWith("policy-violation");
});

test("a wrong password is refused, so many times end the stream, and a right one in between is taken", async (t) => {
  const server = await startServer(t, {
    toml: tlsToml(t, "direct", "auth = { scram_iterations = 4096 }\nlimits = { sasl_refusals = 3 }"),
  });
  await server.account("alice");
  const guesser = await secured(server);
  await guesser.open();
  for (const local of ["alice", "nobody", "alice"]) {
    guesser.send(plain(local, "wrong password"));
    assert.equal((await guesser.next()).toXml(NS.sasl), "<failure><not-authorized/></failure>");
  }
  await guesser.endsWith("policy-violation");

  const clumsy = await secured(server);
  await clumsy.open();
  clumsy.send(plain("alice", "wrong password"));
  await clumsy.next();
  clumsy.send(plain("alice"));
  assert.equal((await clumsy.next()).name, "success");
});

const REFUSED_LOGINS = {
  "an unknown mechanism": ["<auth mechanism='X-MAGIC'/>", "invalid-mechanism"],
  "no mechanism": ["<auth/>", "invalid-mechanism"],
  "what is not base64": ["<auth mechanism='PLAIN'>!!!</auth>", "incorrect-encoding"],
  "nonsense in base64": ["<auth mechanism='PLAIN'>eA==</auth>", "malformed-request"],
  "an answer to no question": ["<response/>", "malformed-request"],
  "an abort": ["<abort/>", "aborted"],
  "another's identity": [
    `<auth mechanism='PLAIN'>${Buffer.from(`bob@example.org\0alice\0${PASSWORD}`).toString("base64")}</auth>`,
    "invalid-authzid",
  ],
} as const;

test("every wrong way to log in has its own answer", async (t) => {
  const server = await startServer(t, { toml: tlsToml(t, "direct") });
  await server.account("alice");
  for (const [what, [xml, condition]] of Object.entries(REFUSED_LOGINS)) {
    const client = await secured(server);
    await client.open();
    client.send(xml.replace(/^<(\w+)/, `<$1 xmlns='${NS.sasl}'`));
    const failure = await client.next();
    assert.equal(failure.elements()[0]?.name, condition, what);
    client.socket.destroy();
  }
});

test("without a wish the server makes a resource up; a bad one may be mended", async (t) => {
  const server = await startServer(t);
  await server.account("alice");
  const client = await server.connect();
  await client.open();
  await client.scram("alice");
  await client.open();
  client.send(bind("a\u0007b".replace("\u0007", "&#x2028;")));
  const refused = await client.next();
  assert.equal(refused.attrs.type, "error");
  assert.ok(refused.child("error")?.child("bad-request", NS.stanzaErrors));
  client.send(bind(""));
  assert.match((await client.next()).child("bind", NS.bind)?.childText("jid") ?? "", /^alice@example\.org\/[\w-]{16}$/);
});

test("an account may have so many sessions and no more; each that leaves makes room", async (t) => {
  const server = await startServer(t, { toml: "sessions = { max_per_account = 2 }" });
  const first = await server.login("alice", "a");
  await server.login("alice", "b");
  const third = await server.connect();
  await third.open();
  await third.scram("alice");
  await third.open();
  third.send(bind("c"));
  const refused = await third.next();
  assert.ok(refused.child("error")?.child("resource-constraint", NS.stanzaErrors), refused.toXml());
  await first.leave();
  third.send(bind("c"));
  assert.equal((await third.next()).attrs.type, "result");
});

test("a stopping node says so to every client", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const opening = await server.connect();
  await opening.open();
  const stopped = server.stop();
  await alice.endsWith("system-shutdown");
  await opening.endsWith("system-shutdown");
  await stopped;
});

test("a good-bye is answered, and what was said before it still counts", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const alice = await server.login("alice", "desk");
  alice.send(
    "<message to='bob@example.org' id='1'><body>one</body></message><message to='bob@example.org' id='2'><body>two</body></message></stream:stream>",
  );
  assert.equal(await alice.take(), "close");
  assert.equal((await bob.next()).attrs.id, "1");
  assert.equal((await bob.next()).attrs.id, "2");
});

test("what was said before the connection broke still counts", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const alice = await server.login("alice", "desk");
  alice.send("<message to='bob@example.org' id='1'><body>one</body></message>");
  alice.socket.end();
  assert.equal((await bob.next()).attrs.id, "1");
});
