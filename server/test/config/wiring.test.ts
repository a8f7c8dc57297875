/** That a limit in the configuration is the limit that peers meet; each limit's own tests are with what keeps it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { type Drivers, openAccounts, openDrivers } from "../../src/auth/stores.ts";
import { silentLog } from "../../src/observe/log.ts";
import { json } from "../../src/storage/specs.ts";
import { Jid, parseJid, rememberJids } from "../../src/xmpp/jid.ts";
import { startServer } from "../support/server.ts";
import { read } from "./support.ts";

/** Everything that the server says to this until it hangs up. */
async function answerTo(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const heard: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => heard.push(chunk));
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(heard).toString();
}

const HTTP = 'listen = [{ kind = "http", port = 0 }, { kind = "ops", port = 0 }]';

function request(path: string, { header = "", body = "" }): string {
  const head = `GET ${path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nX-Filler: ${header}\r\n`;
  return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
}

for (const [kind, path] of [
  ["http", "/.well-known/host-meta"],
  ["ops", "/healthz"],
] as const) {
  test(`limits.http_header_size and http_body_size hold on the ${kind} listener`, async (t) => {
    const server = await startServer(t, {
      toml: `${HTTP}\nlimits = { http_header_size = "2KiB", http_body_size = "1KiB" }`,
    });
    const status = async (parts: { header?: string; body?: string }) =>
      (await answerTo(server.port(kind), request(path, parts))).slice(9, 12);
    assert.equal(await status({ header: "x".repeat(1024), body: "x".repeat(1024) }), "200");
    assert.equal(await status({ header: "x".repeat(2048) }), "431");
    assert.equal(await status({ body: "x".repeat(1025) }), "413");
  });
}

test("limits.http_request_timeout ends a request that does not arrive", async (t) => {
  const server = await startServer(t, { toml: `${HTTP}\nlimits = { http_request_timeout = "1s" }` });
  assert.match(await answerTo(server.port("http"), "GET / HTTP/1.1\r\n"), /^HTTP\/1\.1 408 /);
});

test("limits.http_keep_alive ends a connection that has no more requests", async (t) => {
  const server = await startServer(t, { toml: `${HTTP}\nlimits = { http_keep_alive = "100ms" }` });
  const answer = await answerTo(server.port("ops"), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 200 /);
});

const PROXIED = 'listen = [{ kind = "c2s", port = 0, tls = "none", proxy_protocol_from = ["127.0.0.1"] }]';

/** PROXY protocol 2.2: a LOCAL header whose TLVs fill it up to `size` bytes. */
function proxyHeader(size: number): Buffer {
  const header = Buffer.alloc(size);
  header.write("0d0a0d0a000d0a515549540a2000", "hex");
  header.writeUInt16BE(size - 16, 14);
  return header;
}

test("limits.proxy_header_size bounds what a load balancer may put before the stream", async (t) => {
  const server = await startServer(t, { toml: `${PROXIED}\nlimits = { proxy_header_size = "256B" }` });
  const stream = Buffer.from("<?xml version='1.0'?><wrong/>");
  assert.match(await answerTo(server.port("c2s"), Buffer.concat([proxyHeader(256), stream])), /<stream:error>/);
  assert.equal(await answerTo(server.port("c2s"), Buffer.concat([proxyHeader(257), stream])), "");
});

test("limits.proxy_header_timeout ends a connection that says nothing", async (t) => {
  const server = await startServer(t, { toml: `${PROXIED}\nlimits = { proxy_header_timeout = "100ms" }` });
  assert.equal(await answerTo(server.port("c2s"), "PROXY "), "");
});

test("limits.remembered_jids bounds the addresses that the process remembers", async (t) => {
  t.after(() => rememberJids(10_000));
  await startServer(t, { toml: "limits = { remembered_jids = 0 }" });
  assert.notEqual(parseJid("alice@example.org/a"), parseJid("alice@example.org/a"));
  await startServer(t, { toml: "limits = { remembered_jids = 10 }" });
  assert.equal(parseJid("alice@example.org/a"), parseJid("alice@example.org/a"));
});

async function drivers(t: TestContext, toml: string): Promise<{ drivers: Drivers; config: ReturnType<typeof read> }> {
  const config = read(toml);
  const opened = await openDrivers(config, silentLog);
  t.after(async () => {
    for (const driver of opened.values()) await driver.close();
  });
  for (const driver of opened.values()) await driver.migrate();
  return { drivers: opened, config };
}

for (const store of ['driver = "memory"', 'driver = "sqlite"\npath = ":memory:"']) {
  test(`storage.main.value_size bounds a value (${store.split("\n")[0]})`, async (t) => {
    const opened = await drivers(t, `[storage.main]\n${store}\nvalue_size = "1KiB"`);
    const values = opened.drivers.get("main")?.keyValue?.("notes", json<string>());
    const alice = new Jid("alice", "localhost");
    await values?.set(alice, "x".repeat(1022));
    await assert.rejects(async () => values?.set(alice, "x".repeat(1023)), {
      name: "StorageError",
      message: /at most 1024/,
    });
    assert.equal((await values?.get(alice))?.length, 1022);
  });
}

test("storage.main.batch_queue and batch_queue_size bound what waits to be written", async (t) => {
  const push = async (settings: string, count: number, value: string) => {
    const store = `[storage.main]\ndriver = "sqlite"\npath = ":memory:"\nbatch_wait = "1s"\nbatch_rows = 1000\n${settings}`;
    const opened = await drivers(t, store);
    const queue = opened.drivers.get("main")?.queue?.("letters", json<string>());
    const alice = new Jid("alice", "localhost");
    const pushed = Promise.allSettled(Array.from({ length: count }, () => queue?.push(alice, value, 10_000)));
    await opened.drivers.get("main")?.close();
    return (await pushed).filter(({ status }) => status === "fulfilled").length;
  };
  assert.equal(await push("batch_queue = 100", 101, ""), 100);
  assert.equal(await push('batch_queue_size = "1MiB"', 5, "x".repeat(300 * 1024)), 3);
});

test("auth.hashes_running and hashes_waiting bound the passwords that are hashed at once", async (t) => {
  const make = async (waiting: number) => {
    const { drivers: stores, config } = await drivers(
      t,
      `storage.main = { driver = "memory" }\nauth = { scram_iterations = 4096, hashes_running = 1, hashes_waiting = ${waiting} }`,
    );
    const accounts = openAccounts(config, stores).get("localhost");
    // Each new account takes three hashes.
    const made = ["alice", "bob"].map((local) => accounts?.create(local, "correct horse battery"));
    return (await Promise.allSettled(made)).map(({ status }) => status);
  };
  assert.deepEqual(await make(5), ["fulfilled", "fulfilled"]);
  assert.deepEqual(await make(2), ["fulfilled", "rejected"]);
});

test("auth.failures_remembered bounds the accounts whose failures are remembered", async (t) => {
  const outcome = async (remembered: number) => {
    const { drivers: stores, config } = await drivers(
      t,
      `storage.main = { driver = "memory" }
       auth = { scram_iterations = 4096, failures_per_account = 1, failures_per_address = 0, failures_remembered = ${remembered} }`,
    );
    const credentials = openAccounts(config, stores).get("localhost")?.saslContext("192.0.2.1").credentials;
    await credentials?.verify("alice", "wrong");
    await credentials?.verify("bob", "wrong");
    return Promise.resolve(credentials?.verify("alice", "wrong")).then(
      () => "asked",
      (error: { condition: string }) => error.condition,
    );
  };
  assert.equal(await outcome(2), "temporary-auth-failure");
  assert.equal(await outcome(1), "asked");
});
