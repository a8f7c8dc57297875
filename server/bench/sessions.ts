/**
 * What an idle session costs: opens so many on one node, over plain TCP and over TLS, and divides the memory by them.
 * `node --expose-gc bench/sessions.ts [sessions] [tcp|tls…]`. The clients are another process.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { writeHeapSnapshot } from "node:v8";
import { parseConfig } from "../src/config/load.ts";
import { startNode } from "../src/node.ts";
import { silentLog } from "../src/observe/log.ts";

const ACCOUNTS = 200;
const HEADER =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";

if (process.send === undefined) await serve(Number(process.argv[2] ?? 2000), process.argv.slice(3));
else await dial();

async function serve(sessions: number, kinds: readonly string[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-bench-"));
  const config = parseConfig(`
    node = { id = "n1", data_dir = "${directory}" }
    hosts = [{ domain = "example.org" }]
    storage = { main = { driver = "memory" } }
    auth = { scram_iterations = 4096 }
    sessions = { max_per_account = 10000 }
    limits = { max_connections = 100000, max_connections_per_address = 100000 }
    listen = [
      { kind = "c2s", port = 0, tls = "starttls", tls_required = false },
      { kind = "c2s", port = 0, tls = "direct" },
    ]`);
  const node = await startNode(config, silentLog, new AbortController().signal);
  for (let i = 0; i < ACCOUNTS; i++) await node.accounts.get("example.org")?.create(`u${i}`, "password");
  const ports = node.doors.map(({ port }) => port);
  for (const kind of kinds.length === 0 ? ["tcp", "tls"] : kinds) {
    // Once to warm up: what is made once is nobody's.
    await hold(ports, kind, 100);
    const before = await measured();
    const { child } = await held(ports, kind, sessions);
    const after = await measured();
    const each = (key: keyof NodeJS.MemoryUsage) => ((after[key] - before[key]) / sessions / 1024).toFixed(1);
    console.log(
      `${kind}: ${sessions} sessions, KiB each: ${each("rss")} resident, ${each("heapUsed")} heap, ${each("external")} external, ${each("arrayBuffers")} of it buffers`,
    );
    if (process.env.SNAPSHOT !== undefined)
      console.log(writeHeapSnapshot(`${process.env.SNAPSHOT}-${kind}.heapsnapshot`));
    child.kill();
    await once(child, "exit");
    await delay(1000);
  }
  await node.stop();
  rmSync(directory, { recursive: true });
  process.exit(0);
}

async function hold(ports: readonly number[], kind: string, sessions: number): Promise<void> {
  const { child } = await held(ports, kind, sessions);
  child.kill();
  await once(child, "exit");
  await delay(500);
}

async function held(ports: readonly number[], kind: string, sessions: number) {
  const child = fork(import.meta.filename, [kind, String(ports[kind === "tls" ? 1 : 0]), String(sessions)]);
  const [message] = await once(child, "message");
  if (message !== "open") throw new Error(String(message));
  return { child };
}

async function measured(): Promise<NodeJS.MemoryUsage> {
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.();
    await delay(200);
  }
  return process.memoryUsage();
}

/** In the child: binds so many sessions, and holds them. */
async function dial(): Promise<void> {
  const [kind = "tcp", port = "0", sessions = "0"] = process.argv.slice(2);
  const { scramClient } = await import("../test/support/scram-client.ts");
  const sockets: Socket[] = [];
  const one = async (number: number): Promise<void> => {
    const options = { port: Number(port), host: "127.0.0.1" };
    const socket = kind === "tls" ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options);
    sockets.push(socket);
    let heard = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      heard += text;
    });
    const until = async (pattern: RegExp): Promise<string> => {
      for (;;) {
        const match = pattern.exec(heard);
        if (match !== null) {
          heard = heard.slice(match.index + match[0].length);
          return match[1] ?? "";
        }
        await once(socket, "data");
      }
    };
    await once(socket, kind === "tls" ? "secureConnect" : "connect");
    const scram = scramClient(`u${number % ACCOUNTS}`, "password");
    const sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    socket.write(`${HEADER}<auth ${sasl} mechanism='SCRAM-SHA-256'>${scram.first()}</auth>`);
    const challenge = await until(/<challenge[^>]*>([^<]*)</);
    socket.write(`<response ${sasl}>${scram.final(challenge)}</response>`);
    await until(/<success/);
    socket.write(
      `${HEADER}<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r${number}</resource></bind></iq>`,
    );
    await until(/<\/iq>/);
  };
  let next = 0;
  const worker = async () => {
    while (next < Number(sessions)) await one(next++);
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  process.send?.("open");
  await new Promise(() => setInterval(() => {}, 1 << 30));
}
