import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { generate } from "selfsigned";
import { Certificates, selfSigned } from "../../src/net/tls.ts";
import { atEnd, bench, certificates, dial, HandTimers, hear, scratch, until } from "./support.ts";

const DAY = 86_400_000;

async function direct(...domains: string[]) {
  return bench({ tls: "direct", certificates: await certificates(...domains) });
}

/** Shakes hands as a client; rejects with the reason when it fails. */
function secure(address: { port: number }, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: address.port, rejectUnauthorized: false, ...options });
    atEnd(() => socket.destroy());
    socket.once("error", reject);
    socket.once("secureConnect", () => resolve(socket));
  });
}

test("direct TLS carries a stream both ways", async () => {
  const { listener, first } = await direct("a.example");
  const socket = await secure(listener.address, { ALPNProtocols: ["xmpp-client"] });
  const heard = hear(socket);
  socket.write("<stream:stream>");
  const { transport, recorder } = await first();
  await until(() => recorder.text === "<stream:stream>", "the stream");
  assert.ok(transport.secure);
  assert.deepEqual([transport.tls?.version, transport.tls?.alpn], ["TLSv1.3", "xmpp-client"]);
  transport.write("<features/>");
  transport.end();
  await until(() => heard.text === "<features/>" && recorder.closes === 1, "the answer");
  await until(() => listener.connections === 0, "the socket to go");
});

test("a client that names no protocol by ALPN is served (XEP-0368)", async () => {
  const { listener, first } = await direct("a.example");
  await secure(listener.address);
  assert.equal((await first()).transport.tls?.alpn, "");
});

test("a client that names xmpp-client among others is served", async () => {
  const { listener, first } = await direct("a.example");
  const socket = await secure(listener.address, { ALPNProtocols: ["h2", "xmpp-client"] });
  assert.equal((await first()).transport.tls?.alpn, "xmpp-client");
  assert.equal(socket.alpnProtocol, "xmpp-client");
});

test("a client that names only other protocols is refused with the alert for it", async () => {
  const { listener, refusals, transports } = await direct("a.example");
  await assert.rejects(secure(listener.address, { ALPNProtocols: ["h2", "http/1.1"] }), /no application protocol/i);
  await until(() => refusals.length === 1, "the refusal");
  assert.equal(refusals[0]?.reason, "tls-failed");
  assert.equal(transports.length, 0);
  await until(() => listener.connections === 0, "the socket to go");
});

test("TLS 1.2 is spoken, with forward secrecy only", async () => {
  const { listener, first } = await direct("a.example");
  await secure(listener.address, { maxVersion: "TLSv1.2" });
  const { transport } = await first();
  assert.equal(transport.tls?.version, "TLSv1.2");
  assert.match(transport.tls?.cipher ?? "", /^TLS_ECDHE_.*(GCM|POLY1305)/);
  await assert.rejects(secure(listener.address, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-SHA" }));
});

test("TLS 1.1 is refused", async () => {
  const { listener, refusals } = await direct("a.example");
  const old: ConnectionOptions = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
  await assert.rejects(secure(listener.address, old), /protocol version/);
  await until(() => refusals.length === 1, "the refusal");
  assert.match(refusals[0]?.detail ?? "", /protocol/i);
});

test("no handshake at all, garbage or silence, is one quiet refusal each", async () => {
  const timers = new HandTimers();
  const { listener, refusals } = await bench({
    tls: "direct",
    certificates: await certificates("a.example"),
    timers,
    handshakeTimeoutMs: 1000,
  });
  const garbage = await dial(listener.address);
  garbage.resume().write("<?xml version='1.0'?>");
  await until(() => garbage.destroyed, "the refusal of garbage");
  const silent = await dial(listener.address);
  silent.resume();
  await until(() => timers.pending === 1, "the timer");
  timers.wind(1000);
  await until(() => silent.destroyed, "the refusal of silence");
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["tls-failed", "tls-timeout"],
  );
});

test("direct TLS follows a PROXY header, in one segment or by the byte", async () => {
  const { listener, transports, recorders } = await bench({
    tls: "direct",
    certificates: await certificates("a.example"),
    proxyProtocol: { from: ["127.0.0.1"] },
  });
  // The hello of a client, caught on its way.
  const raw = await dial(listener.address);
  raw.write("PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n");
  const socket = connect({ socket: raw, rejectUnauthorized: false });
  socket.write("<stream:stream>");
  await until(() => recorders[0]?.text === "<stream:stream>", "the stream");
  assert.equal(transports[0]?.address, "203.0.113.9");

  const corked = await dial(listener.address);
  corked.cork();
  corked.write("PROXY TCP4 203.0.113.10 10.0.0.1 1 2\r\n");
  const other = connect({ socket: corked, rejectUnauthorized: false });
  other.write("<stream:stream>");
  setImmediate(() => corked.uncork());
  await until(() => recorders[1]?.text === "<stream:stream>", "the stream");
  assert.equal(transports[1]?.address, "203.0.113.10");
});

test("the name that the client asks for picks the certificate", async () => {
  const { listener } = await direct("a.example", "b.example", "*.c.example");
  const shown = async (servername?: string) =>
    (
      await secure(listener.address, {
        ALPNProtocols: ["xmpp-client"],
        ...(servername === undefined ? {} : { servername }),
      })
    ).getPeerX509Certificate()?.subjectAltName;
  assert.equal(await shown("a.example"), "DNS:a.example");
  assert.equal(await shown("B.example"), "DNS:b.example");
  assert.equal(await shown("chat.c.example"), "DNS:*.c.example");
  assert.equal(await shown("deep.chat.c.example"), "DNS:a.example", "a wildcard is one label");
  assert.equal(await shown("unknown.example"), "DNS:a.example");
  assert.equal(await shown(), "DNS:a.example");
});

test("a reload counts from the next handshake on, and open streams live on", async () => {
  const [directory, spare] = [scratch(), scratch()];
  const files = await selfSigned(directory, ["a.example"]);
  const other = await selfSigned(spare, ["a.example"]);
  const loaded = new Certificates([files]);
  const { listener, recorders } = await bench({ tls: "direct", certificates: loaded });
  const before = await secure(listener.address);
  const old = before.getPeerX509Certificate()?.fingerprint256;

  copyFileSync(other.certificate, files.certificate);
  assert.throws(() => loaded.reload(), /tls\.key is not the key of .*tls\.crt/);
  assert.equal((await secure(listener.address)).getPeerX509Certificate()?.fingerprint256, old, "all or nothing");

  copyFileSync(other.key, files.key);
  loaded.reload();
  const after = (await secure(listener.address)).getPeerX509Certificate()?.fingerprint256;
  assert.equal(after, new X509Certificate(readFileSync(other.certificate)).fingerprint256);
  assert.notEqual(after, old);
  before.write("still here");
  await until(() => recorders[0]?.text === "still here", "the old stream");
});

test("a wrong file is named", async () => {
  const directory = scratch();
  const files = await selfSigned(directory, ["a.example"]);
  assert.throws(() => new Certificates([{ ...files, key: "/nowhere/tls.key" }]), /\/nowhere\/tls\.key: ENOENT/);
  writeFileSync(join(directory, "bad.crt"), "not a certificate");
  assert.throws(() => new Certificates([{ ...files, certificate: join(directory, "bad.crt") }]), /bad\.crt/);
  assert.throws(() => new Certificates([]), /at least one/);
  await assert.rejects(bench({ tls: "direct" }), /tls = "direct" needs a certificate/);
});

test("configured domains win over the names in the certificate", async () => {
  const [a, b] = await Promise.all([selfSigned(scratch(), ["a.example"]), selfSigned(scratch(), ["b.example"])]);
  const loaded = new Certificates([a, { ...b, domains: ["Other.example"] }]);
  assert.notEqual(loaded.contextFor("other.example"), loaded.contextFor("b.example"));
  assert.equal(loaded.contextFor("b.example"), loaded.contextFor("a.example"));
});

test("the self-signed certificate is made once, is private, and names all domains", async () => {
  const directory = join(scratch(), "data");
  const files = await selfSigned(directory, ["a.example", "b.example"]);
  const made = new X509Certificate(readFileSync(files.certificate));
  assert.equal(made.subjectAltName, "DNS:a.example, DNS:b.example");
  assert.equal(statSync(files.key).mode & 0o777, 0o600);
  assert.ok(new Date(made.validTo).getTime() > Date.now() + 800 * DAY);
  await selfSigned(directory, ["b.example"]);
  assert.equal(new X509Certificate(readFileSync(files.certificate)).fingerprint256, made.fingerprint256, "kept");
  await selfSigned(directory, ["b.example", "c.example"]);
  const again = new X509Certificate(readFileSync(files.certificate));
  assert.equal(again.subjectAltName, "DNS:b.example, DNS:c.example", "made anew for a new domain");
  assert.equal(new Certificates([files]).expires.getTime(), new Date(again.validTo).getTime());
});

test("a self-signed certificate about to run out, or without its key, is made anew", async () => {
  const directory = scratch();
  const soon = await generate([{ name: "commonName", value: "a.example" }], {
    keyType: "ec",
    algorithm: "sha256",
    notAfterDate: new Date(Date.now() + 29 * DAY),
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "a.example" }] }],
  });
  writeFileSync(join(directory, "tls.crt"), soon.cert);
  writeFileSync(join(directory, "tls.key"), soon.private);
  const files = await selfSigned(directory, ["a.example"]);
  assert.ok(new Certificates([files]).expires.getTime() > Date.now() + 800 * DAY);
  writeFileSync(files.key, soon.private);
  await selfSigned(directory, ["a.example"]);
  assert.ok(new Certificates([files]));
});

/** Shakes hands, waits for a ticket, and hangs up. */
async function ticketOf(address: { port: number }, options: ConnectionOptions): Promise<Buffer> {
  const socket = await secure(address, options);
  // TLS 1.3 sends tickets after the handshake, TLS 1.2 within it.
  const session = options.maxVersion === "TLSv1.2" ? socket.getSession() : (await once(socket, "session"))[0];
  socket.destroy();
  return session as Buffer;
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`a session by ${version} goes on at another node of the same secret, until the key's period is over`, async () => {
    const directory = scratch();
    const files = [await selfSigned(directory, ["a.example"])];
    let now = 0;
    const node = async (secret?: string) =>
      bench({
        tls: "direct",
        certificates: new Certificates(files, { secret, periodMs: 1000, now: () => now }),
      });
    const [first, second, stranger] = [await node("s"), await node("s"), await node()];
    const options = { servername: "a.example", maxVersion: version };
    const session = await ticketOf(first.listener.address, options);
    const isReused = async ({ listener }: typeof first) =>
      (await secure(listener.address, { ...options, session })).isSessionReused();
    assert.ok(await isReused(first));
    assert.ok(await isReused(second));
    assert.ok(!(await isReused(stranger)));
    now = 999;
    assert.ok(await isReused(second));
    now = 1000;
    assert.ok(!(await isReused(second)));
    assert.ok(!(await isReused(first)));
  });
}

test("sessions live through a reload", async () => {
  const files = await selfSigned(scratch(), ["a.example"]);
  const loaded = new Certificates([files]);
  const { listener } = await bench({ tls: "direct", certificates: loaded });
  const session = await ticketOf(listener.address, { servername: "a.example" });
  loaded.reload();
  assert.ok((await secure(listener.address, { servername: "a.example", session })).isSessionReused());
});

test("a second handshake within the first is refused", async () => {
  const { listener } = await direct("a.example");
  const socket = await secure(listener.address, { maxVersion: "TLSv1.2" });
  const failed = once(socket, "error");
  socket.renegotiate({ rejectUnauthorized: false }, () => {});
  await failed;
});

test("without a name by SNI, STARTTLS shows the certificate of the domain that the stream named", async () => {
  const { listener, transports } = await bench({
    tls: "starttls",
    certificates: await certificates("a.example", "b.example"),
  });
  const names: unknown[] = [];
  for (const [domain, servername] of [
    ["b.example", undefined],
    ["b.example", "a.example"],
    ["elsewhere.example", undefined],
  ] as const) {
    const clear = await dial(listener.address);
    await until(() => transports.length === names.length + 1, "the transport");
    transports.at(-1)?.startTls(domain);
    const socket = connect({ socket: clear, rejectUnauthorized: false, ...(servername && { servername }) });
    await once(socket, "secureConnect");
    names.push(socket.getPeerCertificate().subject.CN);
    socket.destroy();
  }
  assert.deepEqual(names, ["b.example", "a.example", "a.example"]);
});
