import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { WebSocket } from "ws";
import { Tally } from "../../src/net/address.ts";
import { TransportError } from "../../src/net/errors.ts";
import { type HttpListenerOptions, listenHttp } from "../../src/net/http.ts";
import { type WebSocketOptions, type WebSocketTransport, webSocketUpgrade } from "../../src/net/websocket.ts";
import { atEnd, bench, certificates, dial, HandTimers, hear, Recorder, until } from "./support.ts";

const KIBIBYTE = 1024;
const UPGRADE =
  "GET /ws-xmpp HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: xmpp\r\n\r\n";

async function site(
  options: Partial<WebSocketOptions> = {},
  http: Partial<HttpListenerOptions> = {},
  onData: (transport: WebSocketTransport, text: string) => void = () => {},
) {
  const transports: WebSocketTransport[] = [];
  const recorders: Recorder[] = [];
  const upgrade = webSocketUpgrade({
    maxMessageBytes: 64 * KIBIBYTE,
    ...options,
    accept(transport) {
      transports.push(transport);
      recorders.push(new Recorder(transport, (text) => onData(transport, text)));
    },
  });
  const listener = await listenHttp({
    host: "127.0.0.1",
    port: 0,
    routes: new Map([["GET /other", () => ({ status: 200 })]]),
    upgrades: new Map([["/ws-xmpp", upgrade]]),
    ...http,
  });
  atEnd(() => {
    void listener.close();
    for (const transport of transports) transport.destroy();
  });
  return {
    listener,
    transports,
    recorders,
    async first() {
      await until(() => transports.length > 0, "a transport");
      return { transport: transports[0] as WebSocketTransport, recorder: recorders[0] as Recorder };
    },
  };
}

interface Client {
  readonly socket: WebSocket;
  readonly messages: string[];
  code: number | undefined;
}

async function join(
  address: AddressInfo,
  { protocols = ["xmpp"], path = "/ws-xmpp", scheme = "ws", headers = {} as Record<string, string> } = {},
): Promise<Client> {
  const url = `${scheme}://127.0.0.1:${address.port}${path}`;
  const socket = new WebSocket(url, protocols, { headers, rejectUnauthorized: false });
  const client: Client = { socket, messages: [], code: undefined };
  atEnd(() => socket.terminate());
  socket.on("message", (data) => client.messages.push(String(data)));
  socket.on("close", (code) => {
    client.code = code;
  });
  await once(socket, "open");
  socket.on("error", () => {});
  return client;
}

test("each message arrives whole, both ways", async () => {
  const { listener, first } = await site();
  const client = await join(listener.address, { protocols: ["chat", "xmpp"], path: "/ws-xmpp?token=1" });
  assert.equal(client.socket.protocol, "xmpp");
  assert.equal(client.socket.extensions, "", "no compression");
  client.socket.send("<open/>");
  client.socket.send("<auth>ü€😀</auth>");
  const { transport, recorder } = await first();
  await until(() => recorder.chunks.length === 2, "both");
  assert.deepEqual(recorder.chunks.map(String), ["<open/>", "<auth>ü€😀</auth>"]);
  transport.write("<open/>");
  transport.write("<features>ü€😀</features>");
  assert.ok(transport.backlog > 0);
  await until(() => client.messages.length === 2, "the answers");
  assert.deepEqual(client.messages, ["<open/>", "<features>ü€😀</features>"]);
  assert.equal(transport.backlog, 0);
  assert.deepEqual([transport.kind, transport.address, transport.secure], ["websocket", "127.0.0.1", false]);
  assert.throws(() => transport.startTls());
});

test("a message in fragments and one byte at a time is one message", async () => {
  const { listener, recorders, first } = await site();
  const client = await join(listener.address);
  client.socket.send("<mess", { fin: false });
  client.socket.send("age/>", { fin: true });
  const { recorder } = await first();
  await until(() => recorder.chunks.length === 1, "the message");
  assert.equal(recorder.text, "<message/>");

  const raw = await dial(listener.address);
  const heard = hear(raw);
  raw.write(UPGRADE);
  await until(() => heard.text.endsWith("\r\n\r\n"), "the upgrade");
  const frame = Buffer.concat([Buffer.from([0x81, 0x84, 0, 0, 0, 0]), Buffer.from("<a/>")]);
  for (const byte of frame) await new Promise((resolve) => raw.write(Buffer.of(byte), resolve));
  await until(() => recorders[1]?.text === "<a/>", "the message");
  assert.equal(recorders[1]?.chunks.length, 1);
});

test("a peer that does not ask for the subprotocol xmpp gets a 400", async () => {
  const { listener, transports } = await site();
  await assert.rejects(join(listener.address, { protocols: [] }), /400/);
  await assert.rejects(join(listener.address, { protocols: ["chat"] }), /400/);
  assert.equal(transports.length, 0);
  await until(() => listener.connections === 0, "the sockets to go");
});

test("only its path is a WebSocket; an ordinary GET there is told so", async () => {
  const { listener } = await site();
  await assert.rejects(join(listener.address, { path: "/ws-xmpp/" }), /404/);
  const url = `http://127.0.0.1:${listener.address.port}/ws-xmpp`;
  assert.equal((await fetch(url)).status, 426);
  const raw = await dial(listener.address);
  const heard = hear(raw);
  raw.write("GET /other HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, close\r\nupgrade: h2c\r\n\r\n");
  await until(() => heard.isClosed, "an answer");
  assert.match(heard.text, /^HTTP\/1\.1 200 /, "an upgrade of no interest is ignored");
});

test("a binary message closes with 1003", async () => {
  const { listener, first } = await site();
  const client = await join(listener.address);
  client.socket.send(Buffer.from("<open/>"));
  client.socket.send("<late/>");
  const { recorder } = await first();
  await until(() => client.code !== undefined && recorder.closes === 1, "the close");
  assert.equal(client.code, 1003);
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "message-not-text");
  assert.equal(recorder.text, "");
});

test("a message of the limit is taken, one byte more closes with 1009", async () => {
  const { listener, first } = await site({ maxMessageBytes: 1000 });
  const client = await join(listener.address);
  client.socket.send("x".repeat(1000));
  const { recorder } = await first();
  await until(() => recorder.text.length === 1000, "the message");
  client.socket.send("x".repeat(1001));
  await until(() => client.code !== undefined && recorder.closes === 1, "the close");
  assert.equal(client.code, 1009);
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "message-too-big");
  assert.equal(recorder.chunks.length, 1);
});

test("the limit holds over fragments, and broken UTF-8 closes with 1007", async () => {
  const { listener, recorders } = await site({ maxMessageBytes: 1000 });
  const big = await join(listener.address);
  for (let i = 0; i < 3; i++) big.socket.send("x".repeat(400), { fin: false });
  await until(() => big.code === 1009, "the close of the big one");
  const broken = await join(listener.address);
  broken.socket.send(Buffer.from([0xc3, 0x28]), { binary: false });
  await until(() => broken.code === 1007 && recorders[1]?.closes === 1, "the close of the broken one");
  const error = recorders[1]?.error;
  assert.ok(error instanceof TransportError && error.fault === "message-malformed");
});

test("nothing is heard while the receiver pauses, not even the rest of a segment, and nothing is lost", async () => {
  const { listener, first } = await site({}, {}, (transport, text) => {
    if (text === "<m n='0'/>") transport.pause();
  });
  const client = await join(listener.address);
  const { transport, recorder } = await first();
  // One segment, so that the messages are out of the socket before the pause.
  const inner = (client.socket as unknown as { _socket: Socket })._socket;
  inner.cork();
  for (let i = 0; i < 5; i++) client.socket.send(`<m n='${i}'/>`);
  client.socket.close(1000);
  inner.uncork();
  await until(() => client.code !== undefined || recorder.chunks.length > 0, "the segment");
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.equal(recorder.text, "<m n='0'/>");
  assert.equal(recorder.closes, 0, "a good-bye comes after what was said before it");
  transport.resume();
  assert.equal(recorder.chunks.length, 1, "not from inside the call");
  await until(() => recorder.closes === 1, "the close");
  assert.equal(recorder.text, [0, 1, 2, 3, 4].map((i) => `<m n='${i}'/>`).join(""));
  assert.equal(recorder.error, undefined);
});

test("a peer above its rate is read again when its debt is waited off", async () => {
  const timers = new HandTimers();
  const { listener, first } = await site({ timers, shaper: { rate: 1000, burst: 100 } });
  const client = await join(listener.address);
  const { transport, recorder } = await first();
  client.socket.send("x".repeat(300));
  client.socket.send("z");
  await until(() => timers.pending === 1, "the debt");
  timers.wind(199);
  transport.write("ping");
  await until(() => client.messages.length === 1, "a round trip");
  assert.equal(recorder.chunks.length, 1);
  timers.wind(1);
  await until(() => recorder.text.endsWith("z"), "the rest");

  timers.wind(100);
  transport.shape(undefined);
  client.socket.send("x".repeat(30_000));
  client.socket.send("!");
  await until(() => recorder.text.endsWith("!"), "all of it at once");
  assert.equal(timers.pending, 0);
});

test("a slow reader beyond the limit is cut by an error that says so", async () => {
  const limit = 256 * KIBIBYTE;
  const { listener, first } = await site({ maxBacklogBytes: limit });
  const client = await join(listener.address);
  client.socket.pause();
  const { transport, recorder } = await first();
  const chunk = "x".repeat(64 * KIBIBYTE);
  let written = 0;
  while (transport.backlog <= limit / 2) {
    transport.write(chunk);
    written++;
    await new Promise(setImmediate);
  }
  assert.equal(recorder.closes, 0);
  client.socket.resume();
  await until(() => client.messages.length === written, "the slow reader");
  client.socket.pause();
  for (let i = 0; i < 4096 && recorder.closes === 0; i++) {
    transport.write(chunk);
    assert.ok(transport.backlog <= limit + chunk.length + 100);
    await new Promise(setImmediate);
  }
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "backlog-exceeded");
});

test("end sends what is queued and closes with 1000", async () => {
  const { listener, first } = await site();
  const client = await join(listener.address);
  const { transport, recorder } = await first();
  transport.write("<close/>");
  transport.end();
  transport.write("too late");
  await until(() => client.code !== undefined && recorder.closes === 1, "the close");
  assert.deepEqual([client.code, client.messages], [1000, ["<close/>"]]);
  assert.equal(recorder.error, undefined);
});

test("a peer that answers no good-bye is waited for only so long", async () => {
  const { listener, first } = await site({ closeTimeoutMs: 30 });
  const raw = await dial(listener.address, true);
  hear(raw);
  raw.write(UPGRADE);
  const { transport, recorder } = await first();
  transport.end();
  await until(() => recorder.closes === 1, "the cut");
  await until(() => listener.connections === 0, "the socket to go");
});

test("a peer that hangs up but never reads is waited for only so long", async () => {
  const timers = new HandTimers();
  const { listener, first } = await site({ timers, maxBacklogBytes: 64 * KIBIBYTE * KIBIBYTE });
  const raw = await dial(listener.address, true);
  raw.pause().write(UPGRADE);
  const { transport, recorder } = await first();
  transport.write("x".repeat(32 * KIBIBYTE * KIBIBYTE));
  raw.end();
  await until(() => timers.pending === 1, "the hang-up");
  timers.wind(4999);
  assert.equal(recorder.closes, 0);
  timers.wind(1);
  await until(() => recorder.closes === 1, "the cut");
});

test("a connection that breaks is told once, and destroy is silent", async () => {
  const { listener, transports, recorders } = await site();
  const client = await join(listener.address);
  await until(() => transports.length === 1, "a transport");
  client.socket.terminate();
  await until(() => recorders[0]?.closes === 1, "the close");
  transports[0]?.write("too late");
  transports[0]?.destroy();
  const other = await join(listener.address);
  await until(() => transports.length === 2, "another");
  transports[1]?.destroy();
  transports[1]?.destroy();
  await until(() => other.code === 1006 && recorders[1]?.closes === 1, "the cut");
  assert.deepEqual([recorders[0]?.closes, recorders[1]?.closes, recorders[1]?.error], [1, 1, undefined]);
});

test("a silent peer is pinged, and cut when it stays silent; one that answers stays", async () => {
  const timers = new HandTimers();
  const { listener, transports, recorders } = await site({ timers, pingIntervalMs: 1000 });
  const lively = await join(listener.address);
  let pings = 0;
  lively.socket.on("ping", () => pings++);
  const raw = await dial(listener.address);
  hear(raw);
  raw.write(UPGRADE);
  await until(() => transports.length === 2, "both");
  timers.wind(1000);
  await until(() => pings === 1, "the ping");
  lively.socket.send("after the pong");
  await until(() => recorders[0]?.chunks.length === 1, "the answer");
  timers.wind(1000);
  await until(() => recorders[1]?.closes === 1, "the cut");
  const error = recorders[1]?.error;
  assert.ok(error instanceof TransportError && error.fault === "peer-silent");
  assert.equal(recorders[0]?.closes, 0);
  transports[0]?.destroy();
  await until(() => recorders[0]?.closes === 1, "the close");
  assert.equal(timers.pending, 0);
});

test("connections up to the limits are served, in all and by address, the next is refused", async () => {
  const { listener, transports } = await site(
    { maxConnections: 3, perAddress: new Tally(2) },
    { trusted: ["::1", "127.0.0.0/8"] },
  );
  const from = (address: string) => join(listener.address, { headers: { "x-forwarded-for": address } });
  const one = await from("203.0.113.1");
  await from("203.0.113.1");
  await assert.rejects(from("203.0.113.1"), /429/);
  await from("203.0.113.2");
  await assert.rejects(from("203.0.113.3"), /503/);
  one.socket.close();
  await until(() => listener.connections === 2, "a free place");
  await from("203.0.113.1");
  assert.equal(transports.length, 4);
});

test("what an address holds on TCP and on WebSockets counts together", async () => {
  const perAddress = new Tally(2);
  const overTcp = await bench({ perAddress });
  const { listener } = await site({ perAddress });
  const held = await dial(overTcp.listener.address);
  await until(() => overTcp.transports.length === 1, "the stream over TCP");
  await join(listener.address);
  await assert.rejects(join(listener.address), /429/);
  const third = await dial(overTcp.listener.address);
  await until(() => third.destroyed || overTcp.refusals.length === 1, "the refusal over TCP");
  held.destroy();
  await until(() => overTcp.listener.connections === 0, "a free place");
  await join(listener.address);
});

test("a message may be in so many fragments, and in one more it closes with 1008", async () => {
  const { listener, first } = await site({ maxFragments: 3 });
  const client = await join(listener.address);
  const say = (text: string) => {
    for (let i = 0; i < text.length; i++) client.socket.send(text.slice(i, i + 1), { fin: i === text.length - 1 });
  };
  const { recorder } = await first();
  say("abc");
  await until(() => recorder.text === "abc", "the message");
  say("abcd");
  await until(() => client.code !== undefined, "the close");
  assert.equal(client.code, 1008);
  assert.equal(recorder.text, "abc");
});

test("a message may come in so many segments, and in many more it closes with 1008", async () => {
  const { listener, recorders, transports } = await site({ maxChunks: 16 });
  const frame = (bytes: number) =>
    Buffer.concat([Buffer.from([0x81, 0x80 | bytes, 0, 0, 0, 0]), Buffer.alloc(bytes, "x")]);
  const raw = await dial(listener.address);
  const heard = hear(raw);
  raw.write(UPGRADE);
  await until(() => transports.length === 1, "the upgrade");
  raw.write(frame(100));
  await until(() => recorders[0]?.text.length === 100, "the message");
  for (const byte of frame(100)) {
    if (heard.isClosed) break;
    await new Promise((resolve) => raw.write(Buffer.of(byte), resolve));
    await new Promise(setImmediate);
  }
  await until(() => recorders[0]?.closes === 1, "the close");
  assert.equal(recorders[0]?.text.length, 100);
});

test("the client behind a trusted proxy is who the transport names, and HTTPS there makes it secure", async () => {
  const headers = { "x-forwarded-for": "1.2.3.4, 203.0.113.9", "x-forwarded-proto": "https" };
  const behind = await site({}, { trusted: ["127.0.0.1"] });
  await join(behind.listener.address, { headers });
  const trusted = (await behind.first()).transport;
  assert.deepEqual([trusted.address, trusted.secure, trusted.tls], ["203.0.113.9", true, undefined]);
  const open = await site();
  await join(open.listener.address, { headers });
  const plain = (await open.first()).transport;
  assert.deepEqual([plain.address, plain.secure], ["127.0.0.1", false]);
});

test("over HTTPS the transport is secure and knows its TLS", async () => {
  const { listener, first } = await site({}, { certificates: await certificates("a.example") });
  const client = await join(listener.address, { scheme: "wss" });
  client.socket.send("<open/>");
  const { transport, recorder } = await first();
  await until(() => recorder.text === "<open/>", "the message");
  assert.equal(transport.secure, true);
  assert.equal(transport.tls?.version, "TLSv1.3");
});

test("closing the listener leaves open streams alone and refuses new ones", async () => {
  const { listener, first } = await site();
  const client = await join(listener.address);
  const { recorder } = await first();
  await listener.close();
  await assert.rejects(join(listener.address), /ECONNREFUSED/);
  client.socket.send("still here");
  await until(() => recorder.text === "still here", "the message");
});
