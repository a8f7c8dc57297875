/** Logins as a client sees them: what TLS offers to bind to and to rest on, over real sockets. */
import assert from "node:assert/strict";
import { on, once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import type { Element } from "../../src/xml/element.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Authority, dnsName, type Signed, xmppAddr } from "../support/authority.ts";
import {
  attributesOf,
  type Binding,
  endPointOf,
  exporterOf,
  offerHashOf,
  type ScramOptions,
  scramClient,
} from "../support/scram-client.ts";
import { PASSWORD, parse, RawClient, startServer, type TestServer } from "../support/server.ts";

const HASHES = ["sha-1", "sha-256", "sha-512"] as const;
const ALL_HASHES = 'scram_offered = ["sha-512", "sha-256", "sha-1"]';
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A server whose certificate is its own, and one listener with TLS from the first byte. */
async function tlsServer(t: TestContext, { listen = "", more = "" } = {}): Promise<TestServer> {
  const server = await startServer(t, {
    toml: `node = { id = "n1", data_dir = "${scratch(t)}" }
listen = [{ kind = "c2s", port = 0, tls = "direct"${listen} }]
auth = { scram_iterations = 4096, failures_per_address = 0, failures_per_account = 0, ${ALL_HASHES} }
${more}`,
  });
  await server.account("alice");
  return server;
}

async function shakeHands(server: TestServer, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({
    host: "127.0.0.1",
    port: server.port("c2s"),
    servername: "example.org",
    rejectUnauthorized: false,
    ...options,
  });
  await once(socket, "secureConnect");
  return socket;
}

const namesIn = (features: Element, parent: string, xmlns: string) =>
  (features.child(parent, xmlns)?.elements() ?? [])
    .filter(({ name }) => name === "mechanism")
    .map((each) => each.text());
const mechanismsIn = (features: Element) => namesIn(features, "mechanisms", NS.sasl);
const bindingsIn = (features: Element) =>
  (features.child("sasl-channel-binding", NS.channelBinding)?.elements() ?? []).map(({ attrs }) => attrs.type ?? "");

const auth = (mechanism: string, initial: string) =>
  `<auth xmlns='${NS.sasl}' mechanism='${mechanism}'>${initial}</auth>`;

/** Logs in by SCRAM, and returns what the server says to it last. */
async function scram(client: RawClient, options: ScramOptions, mechanism?: string): Promise<Element> {
  const login = scramClient("alice", PASSWORD, options);
  client.send(auth(mechanism ?? login.mechanism, login.first()));
  const challenge = await client.next();
  if (challenge.name !== "challenge") return challenge;
  client.send(`<response xmlns='${NS.sasl}'>${login.final(challenge.text())}</response>`);
  const last = await client.next();
  if (last.name === "success") login.check(last.text());
  return last;
}

function conditionOf(failure: Element): string {
  assert.equal(failure.name, "failure", failure.toXml());
  return failure.elements()[0]?.name ?? "";
}

describe("channel binding", () => {
  for (const version of VERSIONS) {
    test(`what is offered over ${version} is what it can be bound to, strongest first`, async (t) => {
      const server = await tlsServer(t);
      const client = new RawClient(await shakeHands(server, { minVersion: version, maxVersion: version }));
      const features = await client.open();
      const exporter = version === "TLSv1.3" ? ["tls-exporter"] : [];
      assert.deepEqual(bindingsIn(features), [...exporter, "tls-server-end-point"]);
      assert.deepEqual(mechanismsIn(features), [
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
      ]);
    });

    for (const hash of HASHES) {
      test(`SCRAM with ${hash} logs in over ${version}, by each binding and by none`, async (t) => {
        const server = await tlsServer(t);
        const makers: ((socket: TLSSocket) => Binding | undefined)[] = [endPointOf, () => undefined];
        if (version === "TLSv1.3") makers.push(exporterOf);
        for (const bindingOf of makers) {
          const socket = await shakeHands(server, { minVersion: version, maxVersion: version });
          const client = new RawClient(socket);
          await client.open();
          const last = await scram(client, { hash, binding: bindingOf(socket) });
          assert.equal(last.name, "success", last.toXml());
        }
      });
    }
  }

  test("a login bound to another connection, or to another certificate, is refused", async (t) => {
    const server = await tlsServer(t);
    const [socket, other] = [await shakeHands(server), await shakeHands(server)];
    const client = new RawClient(socket);
    await client.open();
    assert.equal(conditionOf(await scram(client, { binding: exporterOf(other) })), "not-authorized");
    const forged = { type: "tls-server-end-point", data: Buffer.alloc(32) };
    assert.equal(conditionOf(await scram(client, { binding: forged })), "not-authorized");
    assert.equal((await scram(client, { binding: exporterOf(socket) })).name, "success");
  });

  test("tls-exporter is refused over TLS 1.2, where it is not announced", async (t) => {
    const server = await tlsServer(t);
    const socket = await shakeHands(server, { maxVersion: "TLSv1.2" });
    const client = new RawClient(socket);
    await client.open();
    assert.equal(conditionOf(await scram(client, { binding: exporterOf(socket) })), "not-authorized");
  });

  test("the failure of a client to which the offer was hidden, golden", async (t) => {
    const server = await tlsServer(t);
    const client = new RawClient(await shakeHands(server));
    await client.open();
    assert.equal(
      (await scram(client, { flag: "y" })).toXml(),
      `<failure xmlns='${NS.sasl}'><not-authorized/><text xml:lang='en'>channel binding was offered, but somebody hid it from the client</text></failure>`,
    );
    assert.equal((await scram(client, { flag: "n" })).name, "success");
  });

  test("where the operator turns it off, nothing is announced, and nobody was lied to", async (t) => {
    const server = await startServer(t, {
      toml: `node = { id = "n1", data_dir = "${scratch(t)}" }
listen = [{ kind = "c2s", port = 0, tls = "direct" }]
auth = { scram_iterations = 4096, channel_binding = false }`,
    });
    await server.account("alice");
    const client = new RawClient(await shakeHands(server));
    const features = await client.open();
    assert.deepEqual(bindingsIn(features), []);
    assert.deepEqual(mechanismsIn(features), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    assert.equal((await scram(client, { flag: "y" })).name, "success");
  });

  test("each stream is bound to the certificate that its own client was shown by SNI", async (t) => {
    const directory = scratch(t);
    const authority = new Authority();
    const files = ["example.org", "other.example"].map((domain) => {
      const signed = authority.sign({ name: domain, altNames: [dnsName(domain)] });
      writeFileSync(join(directory, `${domain}.crt`), signed.cert);
      writeFileSync(join(directory, `${domain}.key`), signed.key);
      return `{ certificate = "${directory}/${domain}.crt", key = "${directory}/${domain}.key" }`;
    });
    const server = await tlsServer(t, { more: `certificates = [${files.join(", ")}]` });
    const shown: string[] = [];
    for (const servername of ["example.org", "other.example"]) {
      const socket = await shakeHands(server, { servername, maxVersion: "TLSv1.2" });
      shown.push(String(socket.getPeerCertificate().subject.CN));
      const client = new RawClient(socket);
      await client.open();
      const last = await scram(client, { binding: endPointOf(socket) });
      assert.equal(last.name, "success", servername);
    }
    assert.deepEqual(shown, ["example.org", "other.example"]);
  });

  test("STARTTLS is as good, and in the clear nothing is bound", async (t) => {
    const server = await startServer(t, {
      toml: `node = { id = "n1", data_dir = "${scratch(t)}" }\nlisten = [{ kind = "c2s", port = 0, tls_required = false }]`,
    });
    await server.account("alice");
    const clear = await server.connect();
    const features = await clear.open();
    assert.deepEqual(mechanismsIn(features), ["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    assert.deepEqual(bindingsIn(features), []);
    assert.equal((await scram(clear, { flag: "y" })).name, "success");
    const client = await server.connect();
    await client.open();
    client.send(auth("PLAIN", Buffer.from(`\0alice\0${PASSWORD}`).toString("base64")));
    assert.equal(conditionOf(await client.next()), "encryption-required");
    client.send(`<starttls xmlns='${NS.tls}'/>`);
    assert.equal((await client.next()).name, "proceed");
    client.socket.removeAllListeners("data");
    const socket = connect({ socket: client.socket, rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const inside = new RawClient(socket);
    assert.deepEqual(bindingsIn(await inside.open()), ["tls-exporter", "tls-server-end-point"]);
    assert.equal((await scram(inside, { binding: exporterOf(socket) })).name, "success");
  });

  test("each first message carries the hash over what this stream was offered (XEP-0474)", async (t) => {
    const server = await tlsServer(t);
    for (const version of VERSIONS) {
      const client = new RawClient(await shakeHands(server, { minVersion: version, maxVersion: version }));
      const features = await client.open();
      for (const [hash, digest] of [
        ["sha-1", "sha1"],
        ["sha-512", "sha512"],
      ] as const) {
        const login = scramClient("alice", PASSWORD, { hash });
        client.send(auth(login.mechanism, login.first()));
        const { h } = attributesOf((await client.next()).text());
        assert.equal(h, offerHashOf(mechanismsIn(features), bindingsIn(features), digest));
      }
    }
  });
});

describe("channel binding over WebSocket", () => {
  /** Opens a stream and hears its features. */
  async function featuresOf(t: TestContext, listen: string): Promise<Element> {
    const server = await startServer(t, {
      toml: `node = { id = "n1", data_dir = "${scratch(t)}" }\nlisten = [{ kind = "http", port = 0, ${listen} }]`,
    });
    await server.account("alice");
    const scheme = listen.includes("tls = true") ? "wss" : "ws";
    const webSocket = new WebSocket(`${scheme}://127.0.0.1:${server.port("http")}/ws-xmpp`, "xmpp", {
      rejectUnauthorized: false,
      headers: { "x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1" },
    });
    t.after(() => webSocket.terminate());
    const heard = on(webSocket, "message");
    await once(webSocket, "open");
    webSocket.send("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>");
    await heard.next();
    const { value } = await heard.next();
    return parse(String(value?.[0]));
  }

  test("is that of TLS, where it ends here", async (t) => {
    const features = await featuresOf(t, "tls = true");
    assert.deepEqual(bindingsIn(features), ["tls-exporter", "tls-server-end-point"]);
    assert.ok(mechanismsIn(features).includes("SCRAM-SHA-256-PLUS"));
  });

  test("is none where the client's TLS ends in a load balancer, even if that speaks TLS too", async (t) => {
    for (const tls of ["false", "true"]) {
      const features = await featuresOf(t, `tls = ${tls}, forwarded_from = ["127.0.0.1/32"]`);
      assert.deepEqual(bindingsIn(features), []);
      assert.deepEqual(mechanismsIn(features), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    }
  });
});

test("who says at the start who it is, and logs in as somebody else, is refused (RFC 6120 6.4.6)", async (t) => {
  const server = await tlsServer(t);
  for (const [from, outcome] of [
    ["Alice@example.org/phone", "success"],
    ["bob@example.org", "failure"],
    ["alice@other.example", "failure"],
  ] as const) {
    const client = new RawClient(await shakeHands(server));
    client.send(
      `<stream:stream from='${from}' to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`,
    );
    assert.equal(await client.take(), "open");
    await client.next();
    assert.equal((await scram(client, {})).name, outcome, from);
  }
});

describe("client certificates", () => {
  const authority = new Authority("ours");
  const certificateOf = (...addresses: string[]) => authority.sign({ altNames: addresses.map(xmppAddr) });

  async function asking(t: TestContext, more = ""): Promise<TestServer> {
    const path = join(scratch(t), "authorities.pem");
    writeFileSync(path, authority.cert);
    const server = await tlsServer(t, { listen: `, client_authorities = "${path}"`, more });
    await server.account("bob");
    return server;
  }

  async function shown(server: TestServer, signed: Signed | undefined, options: ConnectionOptions = {}) {
    const socket = await shakeHands(server, { ...(signed && { cert: signed.cert, key: signed.key }), ...options });
    const client = new RawClient(socket);
    return { client, socket, mechanisms: mechanismsIn(await client.open()) };
  }

  async function external(client: RawClient, authzid: string): Promise<Element> {
    client.send(auth("EXTERNAL", authzid === "" ? "=" : Buffer.from(authzid).toString("base64")));
    return client.next();
  }

  for (const version of VERSIONS) {
    test(`one for an account lets its client in over ${version}, named or not`, async (t) => {
      const server = await asking(t);
      for (const authzid of ["", "alice@example.org", "Alice@EXAMPLE.org"]) {
        const { client, mechanisms } = await shown(server, certificateOf("alice@example.org"), { maxVersion: version });
        assert.equal(mechanisms[0], "EXTERNAL");
        assert.equal((await external(client, authzid)).toXml(), `<success xmlns='${NS.sasl}'/>`);
        await client.open();
        client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`);
        assert.match((await client.next()).child("bind", NS.bind)?.childText("jid") ?? "", /^alice@example\.org\//);
      }
    });

    test(`a session over ${version} that is taken up again shows none, so it is not taken up`, async (t) => {
      const server = await asking(t);
      const first = await shown(server, certificateOf("alice@example.org"), { maxVersion: version });
      const session = first.socket.getSession();
      const again = await shown(server, certificateOf("alice@example.org"), { maxVersion: version, session });
      assert.equal(again.socket.isSessionReused(), false);
      assert.equal((await external(again.client, "")).name, "success");
    });
  }

  test("without one, or with one that nobody trusts, the other mechanisms are there", async (t) => {
    const server = await asking(t);
    const expired = { notBefore: new Date(Date.now() - 2000_000), notAfter: new Date(Date.now() - 1000_000) };
    const altNames = [xmppAddr("alice@example.org")];
    for (const [why, signed] of [
      ["none", undefined],
      ["of another authority", new Authority("theirs").sign({ altNames })],
      ["of another authority by the same name", new Authority("ours").sign({ altNames })],
      ["expired", authority.sign({ altNames, ...expired })],
      ["not yet valid", authority.sign({ altNames, notBefore: new Date(Date.now() + 1000_000) })],
      ["for nobody", authority.sign({ name: "alice@example.org" })],
      ["for somebody elsewhere", certificateOf("alice@other.example", "alice@example.org.evil")],
      ["for a domain", certificateOf("example.org")],
      ["for a resource", certificateOf("alice@example.org/phone")],
      ["for what is no address", certificateOf("alice@example.org\0", "@example.org")],
    ] as const) {
      const { client, mechanisms } = await shown(server, signed);
      assert.ok(!mechanisms.includes("EXTERNAL"), why);
      assert.equal(conditionOf(await external(client, "")), "invalid-mechanism", why);
      assert.equal((await scram(client, {})).name, "success", why);
    }
  });

  test("one that runs out while its client is here ends the stream (RFC 6120 13.7.2.3)", async (t) => {
    const server = await asking(t, 'limits = { keepalive = "1s" }');
    const alice = await shown(server, certificateOf("alice@example.org"));
    assert.equal((await external(alice.client, "")).name, "success");
    await alice.client.open();
    const bob = await shown(server, certificateOf("bob@example.org"));
    assert.equal((await scram(bob.client, {})).name, "success");
    await bob.client.open();
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 2 * 86_400_000 });
    await alice.client.endsWith("reset");
    bob.client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`);
    assert.equal((await bob.client.next()).attrs.id, "b");
  });

  test("one for an account that there is not lets nobody in", async (t) => {
    const server = await asking(t);
    const { client } = await shown(server, certificateOf("eve@example.org"));
    assert.equal(conditionOf(await external(client, "")), "not-authorized");
    assert.equal(conditionOf(await external(client, "alice@example.org")), "invalid-authzid");
  });

  test("one for several accounts wants to be told which (XEP-0178)", async (t) => {
    const server = await asking(t);
    const both = certificateOf("alice@example.org", "bob@example.org", "carol@other.example");
    const { client } = await shown(server, both);
    assert.equal(conditionOf(await external(client, "")), "invalid-authzid");
    assert.equal((await external(client, "bob@example.org")).name, "success");
    // Of these only one has an account.
    const one = await shown(server, certificateOf("nobody@example.org", "bob@example.org"));
    assert.equal((await external(one.client, "")).name, "success");
  });

  test("one for an account lets its client in as nobody else", async (t) => {
    const server = await asking(t);
    for (const authzid of ["bob@example.org", "alice@other.example", "alice", "alice@example.org/phone"]) {
      const { client } = await shown(server, certificateOf("alice@example.org"));
      assert.equal(conditionOf(await external(client, authzid)), "invalid-authzid", authzid);
    }
  });

  test("are not asked for where no authorities are configured", async (t) => {
    const server = await tlsServer(t);
    const { client, mechanisms } = await shown(server, certificateOf("alice@example.org"));
    assert.ok(!mechanisms.includes("EXTERNAL"));
    assert.equal(conditionOf(await external(client, "")), "invalid-mechanism");
  });

  test("of authorities that cannot be read stop the server at its start, and say which file", async (t) => {
    const leaf = join(scratch(t), "leaf.pem");
    writeFileSync(leaf, authority.sign({ name: "leaf" }).cert);
    for (const [path, why] of [
      ["/nowhere/ca.pem", /listen\.0\.client_authorities: TLS: \/nowhere\/ca\.pem: ENOENT.*; mend the file/],
      ["/dev/null", /\/dev\/null: no certificate in PEM/],
      [leaf, /leaf\.pem: CN=leaf is the certificate of no authority/],
    ] as const) {
      await assert.rejects(tlsServer(t, { listen: `, client_authorities = "${path}"` }), why);
    }
  });
});
