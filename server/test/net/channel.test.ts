import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { Certificates } from "../../src/net/tls.ts";
import { Authority, dnsName, xmppAddr } from "../support/authority.ts";
import { endPointOf, exporterOf } from "../support/scram-client.ts";
import { atEnd, bench, scratch, until } from "./support.ts";

const authority = new Authority();

function write(directory: string, name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** Files of a certificate for a.example; made anew each time. */
function renewed(directory: string) {
  const { cert, key } = authority.sign({ name: "a.example", altNames: [dnsName("a.example")] });
  return { certificate: write(directory, "tls.crt", cert), key: write(directory, "tls.key", key) };
}

async function shakeHands(address: { port: number }, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({
    host: "127.0.0.1",
    port: address.port,
    servername: "a.example",
    rejectUnauthorized: false,
    ...options,
  });
  atEnd(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

test("both ends of a connection have the same to bind to, and know it until it is closed", async () => {
  const { listener, first } = await bench({ tls: "direct", certificates: new Certificates([renewed(scratch())]) });
  const socket = await shakeHands(listener.address);
  const { transport, recorder } = await first();
  const channel = transport.tls?.channel;
  assert.deepEqual(channel?.types, ["tls-exporter", "tls-server-end-point"]);
  for (const { type, data } of [exporterOf(socket), endPointOf(socket)]) {
    assert.deepEqual(Buffer.from(channel?.data(type) ?? []), Buffer.from(data), type);
  }
  assert.equal(channel?.data("tls-unique"), undefined);
  transport.destroy();
  await until(() => recorder.closes === 1, "the end");
  assert.equal(channel?.data("tls-exporter"), undefined);
});

test("a certificate whose signature has no hash of its own can be bound to by TLS 1.3 alone", async () => {
  const directory = scratch();
  const ed25519 = new Authority("ed", "ed25519").sign({ name: "a.example" });
  const files = {
    certificate: write(directory, "tls.crt", ed25519.cert),
    key: write(directory, "tls.key", ed25519.key),
  };
  const { listener, transports } = await bench({ tls: "direct", certificates: new Certificates([files]) });
  for (const [version, types] of [
    ["TLSv1.3", ["tls-exporter"]],
    ["TLSv1.2", []],
  ] as const) {
    await shakeHands(listener.address, { maxVersion: version });
    await until(() => transports.at(-1)?.tls?.version === version, "the transport");
    assert.deepEqual(transports.at(-1)?.tls?.channel.types, types);
  }
});

test("a session does not outlive the certificate that was shown", async () => {
  const directory = scratch();
  const certificates = new Certificates([renewed(directory)]);
  const { listener } = await bench({ tls: "direct", certificates });
  const sessionOf = async () => (await shakeHands(listener.address, { maxVersion: "TLSv1.2" })).getSession();
  const isReused = async (session: Buffer | undefined) =>
    (await shakeHands(listener.address, { maxVersion: "TLSv1.2", ...(session && { session }) })).isSessionReused();
  const session = await sessionOf();
  assert.equal(await isReused(session), true);
  renewed(directory);
  certificates.reload();
  assert.equal(await isReused(session), false);
  assert.equal(await isReused(await sessionOf()), true);
});

test("authorities are read again with the certificates, all of them or none", async () => {
  const directory = scratch();
  const path = write(directory, "clients.pem", authority.cert);
  const certificates = new Certificates([renewed(directory)]);
  const { listener, transports } = await bench({ tls: "direct", certificates: certificates.asking(path) });
  const others = new Authority("others");
  const altNames = [xmppAddr("alice@a.example")];
  const [ours, theirs] = [authority.sign({ altNames }), others.sign({ altNames })];
  const isCertified = async ({ cert, key }: { cert: string; key: string }) => {
    const count = transports.length;
    await shakeHands(listener.address, { cert, key });
    await until(() => transports.length > count, "the transport");
    return transports.at(-1)?.tls?.certified.length === 1;
  };
  assert.deepEqual([await isCertified(ours), await isCertified(theirs)], [true, false]);
  write(directory, "clients.pem", `${authority.cert}${others.cert}`);
  certificates.reload();
  assert.deepEqual([await isCertified(ours), await isCertified(theirs)], [true, true]);
  write(directory, "clients.pem", "nothing");
  assert.throws(() => certificates.reload(), /clients\.pem: no certificate in PEM/);
  assert.deepEqual([await isCertified(ours), await isCertified(theirs)], [true, true]);
  write(directory, "clients.pem", others.cert);
  certificates.reload();
  assert.deepEqual([await isCertified(ours), await isCertified(theirs)], [false, true]);
});

test("a certificate that an authority below the one that is trusted has signed is good with that one's beside it", async () => {
  const directory = scratch();
  const below = authority.below("below", new Date(Date.now() + 3_600_000));
  const path = write(directory, "clients.pem", authority.cert);
  const certificates = new Certificates([renewed(directory)]).asking(path);
  const { listener, transports } = await bench({ tls: "direct", certificates });
  const { cert, key } = below.sign({ altNames: [xmppAddr("alice@a.example")] });
  for (const [chain, count] of [
    [cert, 0],
    [`${cert}${below.cert}`, 1],
  ] as const) {
    const before = transports.length;
    await shakeHands(listener.address, { cert: chain, key });
    await until(() => transports.length > before, "the transport");
    assert.equal(transports.at(-1)?.tls?.certified.length, count);
    const end = transports.at(-1)?.tls?.certifiedUntil ?? 0;
    assert.ok(count === 0 ? end === 0 : end > Date.now() && end <= Date.now() + 3_600_000);
  }
});
