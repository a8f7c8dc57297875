import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { TransportError } from "../../src/net/errors.ts";
import { bench, certificates, dial, HandTimers, hear, until } from "./support.ts";

const MEBIBYTE = 1024 * 1024;

test("what is written in one tick arrives in order, and in as few pieces as the socket allows", async () => {
  const { listener, first } = await bench();
  const socket = await dial(listener.address);
  const pieces: string[] = [];
  socket.on("data", (chunk) => pieces.push(String(chunk)));
  const { transport } = await first();
  for (let i = 0; i < 50; i++) transport.write(`<m n='${i}'>ü€😀</m>`);
  const whole = Array.from({ length: 50 }, (_, i) => `<m n='${i}'>ü€😀</m>`).join("");
  assert.equal(transport.backlog, Buffer.byteLength(whole));
  await until(() => pieces.length > 0, "the text");
  assert.deepEqual(pieces, [whole]);
  assert.equal(transport.backlog, 0);
});

test("a peer that writes one byte at a time is understood", async () => {
  const { listener, first } = await bench();
  const socket = await dial(listener.address);
  const { recorder } = await first();
  for (const byte of Buffer.from("<message>ü</message>")) {
    await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
  }
  await until(() => recorder.text === "<message>ü</message>", "the whole message");
});

test("nothing is read before a receiver is attached, nor while it pauses, and nothing is lost", async () => {
  const { listener, first } = await bench({}, (transport, text) => {
    if (text.startsWith("a")) transport.pause();
  });
  const socket = await dial(listener.address);
  const { transport, recorder } = await first();
  const size = 16 * MEBIBYTE;
  socket.write("a");
  await until(() => recorder.text === "a", "the first byte");
  socket.write(Buffer.alloc(size, "b"));
  // The kernel and one buffer of ours take what they hold, and then the peer feels it.
  let left = -1;
  await until(() => {
    const isSettled = socket.writableLength === left && left > 0;
    left = socket.writableLength;
    return isSettled && recorder.text === "a";
  }, "back-pressure");
  assert.equal(recorder.chunks.length, 1);
  transport.resume();
  const received = () => recorder.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  await until(() => received() === size + 1, "the rest");
});

test("a receiver is told of a close that came before it was attached", async () => {
  const { listener, first } = await bench();
  await dial(listener.address);
  const { transport, recorder } = await first();
  transport.destroy();
  await until(() => recorder.closes === 1, "the close");
  assert.throws(() => transport.attach(recorder), /one receiver/);
});

test("destroy closes once and silences the transport", async () => {
  const { listener, first } = await bench();
  const heard = hear(await dial(listener.address));
  const { transport, recorder } = await first();
  transport.write("never sent");
  transport.destroy();
  assert.equal(recorder.closes, 0, "not from inside the call");
  transport.write("too late");
  transport.end();
  transport.destroy();
  await until(() => recorder.closes === 1 && heard.isClosed, "the close");
  assert.equal(recorder.error, undefined);
  assert.equal(heard.text, "");
  assert.equal(transport.backlog, 0);
  await until(() => listener.connections === 0, "the socket to go");
});

test("end sends what is queued, and a peer that closes too ends it without a timer", async () => {
  const timers = new HandTimers();
  const { listener, first } = await bench({ timers });
  const heard = hear(await dial(listener.address));
  const { transport, recorder } = await first();
  transport.write("</stream:stream>");
  transport.end();
  transport.write("too late");
  await until(() => recorder.closes === 1 && heard.isClosed, "the close");
  assert.equal(heard.text, "</stream:stream>");
  assert.equal(recorder.error, undefined);
  assert.equal(timers.pending, 0);
});

test("end waits only so long for a peer that never closes", async () => {
  const timers = new HandTimers();
  const { listener, first } = await bench({ timers, closeTimeoutMs: 5000 });
  const socket = await dial(listener.address, true);
  const heard = hear(socket);
  const { transport, recorder } = await first();
  transport.write("bye");
  transport.end();
  await once(socket, "end");
  socket.write("still here");
  await until(() => recorder.text === "still here", "what the peer says meanwhile");
  timers.wind(4999);
  assert.equal(recorder.closes, 0);
  timers.wind(1);
  await until(() => recorder.closes === 1, "the cut");
  assert.equal(heard.text, "bye");
  await until(() => listener.connections === 0, "the socket to go");
});

test("a peer that hangs up but never reads is waited for only so long", async () => {
  const timers = new HandTimers();
  const { listener, first } = await bench({ timers, closeTimeoutMs: 5000, maxBacklogBytes: 64 * MEBIBYTE });
  const socket = await dial(listener.address, true);
  const { transport, recorder } = await first();
  transport.write("x".repeat(32 * MEBIBYTE));
  socket.pause().end();
  await until(() => timers.pending === 1, "the hang-up");
  timers.wind(4999);
  assert.equal(recorder.closes, 0);
  timers.wind(1);
  await until(() => recorder.closes === 1, "the cut");
});

test("a slow reader within the limit is served, beyond it is cut by an error that says so", async () => {
  const { listener, first } = await bench({ maxBacklogBytes: MEBIBYTE });
  const socket = await dial(listener.address);
  socket.pause();
  const { transport, recorder } = await first();
  // Fill what the kernel takes, until something stays behind.
  const chunk = "x".repeat(64 * 1024);
  let written = 0;
  while (transport.backlog <= MEBIBYTE - chunk.length) {
    transport.write(chunk);
    written += chunk.length;
    await new Promise(setImmediate);
  }
  assert.ok(transport.backlog > 0 && transport.backlog <= MEBIBYTE);
  assert.equal(recorder.closes, 0);
  let received = 0;
  const count = (bytes: Buffer) => {
    received += bytes.length;
  };
  socket.on("data", count).resume();
  await until(() => received === written, "the slow reader");
  assert.equal(transport.backlog, 0);

  socket.off("data", count).pause();
  while (recorder.closes === 0 && written < 256 * MEBIBYTE) {
    transport.write(chunk);
    written += chunk.length;
    assert.ok(transport.backlog <= MEBIBYTE + chunk.length);
    await new Promise(setImmediate);
  }
  assert.ok(recorder.error instanceof TransportError);
  assert.equal(recorder.error.fault, "backlog-exceeded");
});

test("a reset by the peer is told as an error, and thrown nowhere", async () => {
  const { listener, first } = await bench();
  const socket = await dial(listener.address);
  const { transport, recorder } = await first();
  socket.resetAndDestroy();
  await until(() => recorder.closes === 1, "the reset");
  assert.match(String(recorder.error), /ECONNRESET/);
  transport.write("too late");
});

test("a peer above its rate is read again when its debt is waited off", async () => {
  const timers = new HandTimers();
  const { listener, first } = await bench({ timers, shaper: { rate: 1000, burst: 100 } });
  const socket = await dial(listener.address);
  const { transport, recorder } = await first();
  socket.write("x".repeat(100));
  await until(() => recorder.text.length === 100, "the burst");
  assert.equal(timers.pending, 0);
  socket.write("y".repeat(200));
  await until(() => timers.pending === 1, "the debt");
  socket.write("z");
  transport.pause();
  transport.resume();
  timers.wind(199);
  // A round trip to the peer and back: had it been read, it would be here.
  transport.write("ping");
  await once(socket, "data");
  assert.equal(recorder.text.length, 300);
  timers.wind(1);
  await until(() => recorder.text.endsWith("z"), "the rest");

  timers.wind(100);
  transport.shape({ rate: 10_000, burst: 1000 });
  socket.write("a".repeat(1000));
  await until(() => recorder.text.endsWith("a".repeat(1000)), "the burst at another rate");
  assert.equal(timers.pending, 0);
  transport.shape(undefined);
  socket.write(`${"b".repeat(30_000)}!`);
  await until(() => recorder.text.endsWith("!"), "any number");
  assert.equal(timers.pending, 0);
});

const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/** Does on the wire what a stream does: answers the request with `<proceed/>` and goes on under TLS. */
async function starttlsBench(options: Parameters<typeof bench>[0] = {}) {
  return bench({ tls: "starttls", certificates: await certificates("a.example"), ...options }, (transport, text) => {
    if (!text.startsWith(STARTTLS)) return;
    transport.write("<proceed/>");
    transport.startTls();
  });
}

test("STARTTLS secures the stream in place, both ways", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  assert.equal(String((await once(socket, "data"))[0]), "<proceed/>");
  socket.removeAllListeners("data");
  const { transport, recorder } = await first();
  assert.equal(transport.secure, false);
  const secure = connectTls({ socket, rejectUnauthorized: false, servername: "a.example" });
  const heard = hear(secure);
  secure.write("<stream:stream>");
  await until(() => recorder.text === `${STARTTLS}<stream:stream>`, "the restart");
  assert.ok(recorder.isSecured && transport.secure);
  assert.match(transport.tls?.version ?? "", /^TLSv1\.3$/);
  assert.match(transport.tls?.cipher ?? "", /^TLS_AES/);
  assert.equal(transport.tls?.alpn, "");
  transport.write("<features/>");
  await until(() => heard.text === "<features/>", "the answer");
  assert.throws(() => transport.startTls(), /cannot/);
  transport.end();
  await until(() => recorder.closes === 1 && heard.isClosed, "the close");
  assert.equal(recorder.error, undefined);
  await until(() => listener.connections === 0, "the socket to go");
});

test("words sent in clear after <starttls/> never reach the secured stream", async () => {
  const { listener, first } = await starttlsBench({ shaper: { rate: 1e9, burst: 1e9 } });
  const socket = await dial(listener.address);
  // In one segment with the request, so that it reaches the receiver before TLS begins and never after.
  socket.write(`${STARTTLS}<injected/>`);
  const { transport, recorder } = await first();
  await until(() => recorder.text.includes("injected"), "the segment, which is the parser's to cut");
  assert.equal(String((await once(socket, "data"))[0]), "<proceed/>");
  socket.removeAllListeners("data");
  const secure = connectTls({ socket, rejectUnauthorized: false });
  secure.write("<stream:stream>");
  await until(() => recorder.isSecured && recorder.chunks.length > 1, "the restart");
  assert.equal(Buffer.concat(recorder.chunks.slice(1)).toString(), "<stream:stream>");
  transport.destroy();
});

test("words that wait in the buffer when the handshake begins are dropped", async () => {
  const { listener, first } = await bench({ tls: "starttls", certificates: await certificates("a.example") });
  const socket = await dial(listener.address);
  const { transport, recorder } = await first();
  transport.pause();
  socket.write("<injected/>".repeat(1000));
  // A paused socket still takes a buffer's worth; the loopback needs no more than a turn or two for it.
  await until(() => socket.writableLength === 0, "the injection");
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  transport.write("<proceed/>");
  transport.startTls();
  transport.resume();
  assert.equal(String((await once(socket, "data"))[0]), "<proceed/>");
  socket.removeAllListeners("data");
  const secure = connectTls({ socket, rejectUnauthorized: false });
  secure.write("<stream:stream>");
  await until(() => recorder.chunks.length > 0, "the restart");
  assert.equal(recorder.text, "<stream:stream>");
});

test("words sent in clear between <starttls/> and the hello break the handshake, not the stream", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.write("<injected/>");
  const { recorder } = await first();
  await until(() => recorder.closes === 1, "the failure");
  assert.equal(recorder.text, STARTTLS);
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "tls-failed");
  assert.equal(recorder.isSecured, false);
});

test("what was written before STARTTLS leaves in clear, however slowly the peer reads it", async () => {
  const { listener, first } = await bench({
    tls: "starttls",
    certificates: await certificates("a.example"),
    maxBacklogBytes: 64 * MEBIBYTE,
  });
  const socket = await dial(listener.address);
  socket.pause();
  const { transport, recorder } = await first();
  const flood = "x".repeat(16 * MEBIBYTE);
  transport.write(flood);
  transport.write("<proceed/>");
  transport.startTls();
  assert.ok(transport.backlog > 0);
  const heard = hear(socket.resume());
  await until(() => heard.text.endsWith("<proceed/>"), "all of it");
  assert.equal(heard.text.length, flood.length + 10);
  socket.removeAllListeners("data");
  connectTls({ socket, rejectUnauthorized: false }).write("<stream:stream>");
  await until(() => recorder.text === "<stream:stream>", "the restart");
  assert.ok(transport.secure);
});

test("words written during the handshake wait for it", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.removeAllListeners("data");
  const { transport } = await first();
  transport.write("<early/>");
  assert.equal(transport.backlog, 8);
  const heard = hear(connectTls({ socket, rejectUnauthorized: false }));
  await until(() => heard.text === "<early/>", "the words");
});

test("a handshake that does not end in time is cut, also for a peer that drips it", async () => {
  const timers = new HandTimers();
  const { listener, first } = await starttlsBench({ timers, handshakeTimeoutMs: 1000 });
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.write(Buffer.from([0x16, 0x03, 0x01]));
  const { recorder } = await first();
  timers.wind(999);
  assert.equal(recorder.closes, 0);
  timers.wind(1);
  await until(() => recorder.closes === 1, "the cut");
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "tls-timeout");
  assert.equal(timers.pending, 0);
});

test("a peer that leaves during the handshake is told as a failed one", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.end();
  const { recorder } = await first();
  await until(() => recorder.closes === 1, "the close");
  assert.ok(recorder.error instanceof TransportError && recorder.error.fault === "tls-failed");
});

test("garbage on a secured socket closes it with an error", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.removeAllListeners("data");
  const secure = connectTls({ socket, rejectUnauthorized: false });
  secure.on("error", () => {});
  const { recorder } = await first();
  await until(() => recorder.isSecured, "TLS");
  socket.write("garbage under the TLS layer");
  await until(() => recorder.closes === 1, "the close");
  assert.ok(recorder.error !== undefined);
  await until(() => listener.connections === 0, "the socket to go");
});

test("a receiver that pauses before the handshake is not called until it resumes", async () => {
  const { listener, first } = await starttlsBench();
  const socket = await dial(listener.address);
  socket.write(STARTTLS);
  await once(socket, "data");
  socket.removeAllListeners("data");
  const { transport, recorder } = await first();
  transport.pause();
  const secure = connectTls({ socket, rejectUnauthorized: false });
  const heard = hear(secure);
  secure.write("<stream:stream>");
  await until(() => recorder.isSecured, "TLS");
  transport.write("ping");
  await until(() => heard.text === "ping", "a round trip");
  assert.equal(recorder.text, STARTTLS);
  transport.resume();
  await until(() => recorder.text.endsWith("<stream:stream>"), "the rest");
});

test("a transport without certificates cannot start TLS", async () => {
  const { listener, first } = await bench();
  await dial(listener.address);
  const { transport } = await first();
  assert.throws(() => transport.startTls(), /cannot/);
  assert.ok(!transport.secure);
});
