/** Whatever way a stream ends, nothing of it stays: no timer, no socket, no place of its address. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { until } from "../net/support.ts";
import { startServer } from "../support/server.ts";
import { GOODBYE, LISTEN, OPEN, reach, TCP_HEADER, WIRES } from "../support/wires.ts";

const STREAMS = 2000;
const AT_ONCE = 50;

const server = await startServer({ after } as TestContext, {
  toml: `${LISTEN}\nlimits = { max_connections_per_address = ${2 * AT_ONCE}, websocket_ping = "1h" }`,
});
await server.account("alice");

async function tcp(words: string, end: "half" | "cut" | "wait"): Promise<void> {
  const socket = connect(server.port("c2s"), "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  socket.resume().write(words);
  if (end === "half") socket.end();
  if (end === "cut") socket.destroy();
  if (!socket.closed) await once(socket, "close");
}

async function webSocket(words: string, end: "close" | "cut" | "wait"): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port("http")}/ws-xmpp`, ["xmpp"]).on("error", () => {});
  socket.on("message", (data) => {
    if (String(data) === GOODBYE) socket.send(GOODBYE);
  });
  await once(socket, "open");
  socket.send(words);
  const closed = once(socket, "close");
  if (end === "close") socket.close();
  if (end === "cut") socket.terminate();
  await closed;
}

const ENDINGS: readonly (() => Promise<void>)[] = [
  () => tcp(TCP_HEADER, "half"),
  () => tcp(TCP_HEADER, "cut"),
  () => tcp(`${TCP_HEADER}</stream:stream>`, "wait"),
  () => tcp(`${TCP_HEADER}<message/>`, "wait"),
  () => tcp("<", "cut"),
  () => tcp("not xml", "wait"),
  () => webSocket(OPEN, "close"),
  () => webSocket(OPEN, "cut"),
  () => webSocket(GOODBYE, "wait"),
  () => webSocket("not xml", "wait"),
];

/** What keeps the process alive, by kind. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

test(`of ${STREAMS} streams that ended in every way nothing stays`, async (t) => {
  const session = await WIRES.tcp(t, server);
  await reach(session, "bound");
  const before = held();
  let begun = 0;
  const worker = async () => {
    while (begun < STREAMS) await ENDINGS[begun++ % ENDINGS.length]?.();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const isAsBefore = () => {
    const now = held();
    return ["Timeout", "TCPSocketWrap", "Immediate"].every((kind) => (now[kind] ?? 0) <= (before[kind] ?? 0));
  };
  await until(isAsBefore, "all of them to go").catch(() => assert.deepEqual(held(), before));
  session.send("<message to='alice@example.org/desk' id='still'/>");
  assert.match(await session.until(/<message [^>]*>/), /id='still'/);
});
