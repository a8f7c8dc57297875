import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readProxyHeader } from "../../src/net/proxy-protocol.ts";
import { bench, dial, HandTimers, until } from "./support.ts";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

function v2(command: number, family: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt8(command, 0);
  head.writeUInt8(family, 1);
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([SIGNATURE, head, payload]);
}

const PORTS = Buffer.from([0xc0, 0, 0x14, 0x66]);
const V4 = Buffer.concat([Buffer.from([203, 0, 113, 9, 10, 0, 0, 1]), PORTS]);
const V6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000009", "hex"),
  Buffer.from("20010db8000000000000000000000001", "hex"),
  PORTS,
]);
const MAPPED = Buffer.concat([
  Buffer.from("00000000000000000000ffffcb007109", "hex"),
  Buffer.from("00000000000000000000ffff0a000001", "hex"),
  PORTS,
]);
const TLV = Buffer.from([0x04, 0, 3, 1, 2, 3]);

const GOOD: readonly (readonly [string, Buffer, string | undefined])[] = [
  ["v1 TCP4", Buffer.from("PROXY TCP4 203.0.113.9 10.0.0.1 49152 5222\r\n"), "203.0.113.9"],
  ["v1 TCP6", Buffer.from("PROXY TCP6 2001:DB8::9 2001:db8::1 0 65535\r\n"), "2001:db8::9"],
  ["v1 UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["v1 UNKNOWN with words", Buffer.from(`PROXY UNKNOWN ${"f".repeat(91)}\r\n`), undefined],
  ["v2 TCP4", v2(0x21, 0x11, V4), "203.0.113.9"],
  ["v2 TCP4 with TLVs", v2(0x21, 0x11, Buffer.concat([V4, TLV])), "203.0.113.9"],
  ["v2 TCP6", v2(0x21, 0x21, V6), "2001:db8::9"],
  ["v2 TCP6 that is IPv4", v2(0x21, 0x21, MAPPED), "203.0.113.9"],
  ["v2 UDP4", v2(0x21, 0x12, V4), undefined],
  ["v2 UNIX", v2(0x21, 0x31, Buffer.alloc(216)), undefined],
  ["v2 UNSPEC", v2(0x21, 0x00, Buffer.alloc(0)), undefined],
  ["v2 UNSPEC with TLVs", v2(0x21, 0x00, TLV), undefined],
  ["v2 LOCAL", v2(0x20, 0x00, Buffer.alloc(0)), undefined],
  ["v2 LOCAL with a family to be ignored", v2(0x20, 0xff, TLV), undefined],
  ["v2 LOCAL with addresses to be ignored", v2(0x20, 0x11, V4), undefined],
];

const BAD: readonly (readonly [string, Buffer])[] = [
  ["a stream without a header", Buffer.from("<?xml version='1.0'?><stream:stream")],
  ["TLS without a header", Buffer.from([0x16, 0x03, 0x01])],
  ["a lower-case v1", Buffer.from("proxy TCP4 ")],
  ["v1 with an unknown family", Buffer.from("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n")],
  ["v1 with an IPv6 address as TCP4", Buffer.from("PROXY TCP4 ::1 ::1 1 2\r\n")],
  ["v1 with no address", Buffer.from("PROXY TCP4\r\n")],
  ["v1 with a host name", Buffer.from("PROXY TCP4 a.example b.example 1 2\r\n")],
  ["v1 with two spaces", Buffer.from("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n")],
  ["v1 with a port too high", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n")],
  ["v1 with a port that starts with 0", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n")],
  ["v1 with one port", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n")],
  ["v1 with three ports", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n")],
  ["a v1 line of 108 bytes", Buffer.from(`PROXY UNKNOWN ${"f".repeat(92)}\r\n`)],
  ["a v1 line without an end", Buffer.from(`PROXY TCP4 ${"1".repeat(200)}`)],
  ["v2 of another version", v2(0x11, 0x11, V4)],
  ["v2 with an unknown command", v2(0x22, 0x11, V4)],
  ["v2 with an unknown family", v2(0x21, 0x41, V4)],
  ["v2 with an unknown protocol", v2(0x21, 0x13, V4)],
  ["v2 with IPv4 cut short", v2(0x21, 0x11, V4.subarray(1))],
  ["v2 with IPv6 cut short", v2(0x21, 0x21, V4)],
  ["v2 of 1025 bytes", v2(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(1025 - 28)]))],
];

for (const [name, header, source] of GOOD) {
  test(`${name} is read`, () => {
    assert.deepEqual(readProxyHeader(header), { kind: "header", length: header.length, source });
  });
}

for (const [name, bytes] of BAD) {
  test(`${name} is refused`, () => assert.equal(readProxyHeader(bytes).kind, "bad"));
}

test("a v2 header of exactly the limit is read", () => {
  const header = v2(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(1024 - 28)]));
  assert.equal(readProxyHeader(header).kind, "header");
  assert.equal(readProxyHeader(header, 1023).kind, "bad");
});

test("any beginning of a header is partial, and what follows a header does not matter", () => {
  const seed = 20261124;
  const anyHeader = fc.constantFrom(...GOOD.map(([, header]) => header));
  fc.assert(
    fc.property(anyHeader, fc.nat(), fc.uint8Array({ maxLength: 64 }), (header, cut, rest) => {
      assert.equal(readProxyHeader(header.subarray(0, cut % header.length)).kind, "partial");
      assert.deepEqual(readProxyHeader(Buffer.concat([header, rest])), readProxyHeader(header));
    }),
    { seed, numRuns: 2000 },
  );
});

test("any IPv4 and IPv6 source comes through both versions", () => {
  const seed = 20261124;
  fc.assert(
    fc.property(fc.ipV4(), fc.uint8Array({ minLength: 16, maxLength: 16 }), (four, six) => {
      const one = readProxyHeader(Buffer.from(`PROXY TCP4 ${four} ${four} 1 2\r\n`));
      assert.equal(one.kind === "header" && one.source, four);
      const two = readProxyHeader(v2(0x21, 0x21, Buffer.concat([six, six, PORTS])));
      const groups = Buffer.from(six).toString("hex").match(/.{4}/g)?.join(":");
      const same = readProxyHeader(Buffer.from(`PROXY TCP6 ${groups} ${groups} 1 2\r\n`));
      assert.equal(two.kind === "header" && two.source, same.kind === "header" && same.source);
      assert.ok(two.kind === "header" && two.source !== undefined);
    }),
    { seed },
  );
});

test("no bytes at all make the reader throw", () => {
  const seed = 20261124;
  const tail = fc.uint8Array({ maxLength: 300 });
  const bytes = fc.oneof(
    tail,
    tail.map((rest) => Buffer.concat([SIGNATURE, rest])),
    tail.map((rest) => Buffer.concat([Buffer.from("PROXY "), rest])),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      const header = readProxyHeader(Buffer.from(input));
      assert.ok(header.kind !== "header" || header.length <= input.length);
    }),
    { seed, numRuns: 2000 },
  );
});

const FROM_LOOPBACK = { proxyProtocol: { from: ["127.0.0.0/8"] } };

for (const [name, header, source] of GOOD) {
  test(`${name} before a stream: the stream's bytes follow, the address is the client's`, async () => {
    const { listener, first } = await bench(FROM_LOOPBACK);
    const socket = await dial(listener.address);
    socket.write(Buffer.concat([header, Buffer.from("<stream>")]));
    const { transport, recorder } = await first();
    await until(() => recorder.text === "<stream>", "the stream");
    assert.equal(transport.address, source ?? "127.0.0.1");
  });
}

test("a header that comes one byte at a time is read", async () => {
  const { listener, first } = await bench(FROM_LOOPBACK);
  const socket = await dial(listener.address);
  for (const byte of Buffer.concat([v2(0x21, 0x11, V4), Buffer.from("<a/>")])) {
    await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
  }
  const { transport, recorder } = await first();
  await until(() => recorder.text === "<a/>", "the stream");
  assert.equal(transport.address, "203.0.113.9");
});

test("a missing or bad header is one quiet refusal, and others are still served", async () => {
  const { listener, refusals, transports } = await bench(FROM_LOOPBACK);
  for (const [, bytes] of BAD) {
    const socket = await dial(listener.address);
    socket.resume().write(bytes);
    await until(() => socket.destroyed, "the refusal");
  }
  assert.equal(refusals.length, BAD.length);
  assert.ok(refusals.every(({ reason, address }) => reason === "proxy-header" && address === "127.0.0.1"));
  assert.equal(transports.length, 0);
  const socket = await dial(listener.address);
  socket.write("PROXY UNKNOWN\r\n");
  await until(() => transports.length === 1, "a good one");
});

test("a connection that closes before its header is one quiet refusal", async () => {
  const { listener, refusals } = await bench(FROM_LOOPBACK);
  (await dial(listener.address)).end();
  await until(() => refusals.length === 1, "the refusal");
  assert.equal(refusals[0]?.reason, "proxy-header");
  await until(() => listener.connections === 0, "the socket to go");
});

test("a header from elsewhere than the load balancers is not even read", async () => {
  const { listener, refusals, transports } = await bench({ proxyProtocol: { from: ["192.0.2.0/24"] } });
  const socket = await dial(listener.address);
  socket.resume().write("PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n");
  await until(() => socket.destroyed, "the refusal");
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["proxy-untrusted"],
  );
  assert.equal(transports.length, 0);
});

test("a header that does not come in time is refused, one that does is not", async () => {
  const timers = new HandTimers();
  const { listener, refusals, transports } = await bench({
    proxyProtocol: { from: ["127.0.0.1"], timeoutMs: 1000 },
    timers,
  });
  const [slow, quick] = [await dial(listener.address), await dial(listener.address)];
  slow.resume().write("PROXY ");
  quick.write("PROXY UNK");
  await until(() => timers.pending === 2, "both");
  timers.wind(999);
  quick.write("NOWN\r\n");
  await until(() => transports.length === 1, "the quick one");
  assert.equal(refusals.length, 0);
  timers.wind(1);
  await until(() => slow.destroyed, "the slow one");
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["proxy-timeout"],
  );
});
