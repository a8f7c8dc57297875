import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { request as requestTls } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { HttpError, type HttpHandler, type HttpListenerOptions, listenHttp } from "../../src/net/http.ts";
import { Certificates, selfSigned } from "../../src/net/tls.ts";
import { atEnd, dial, hear, scratch, until } from "./support.ts";

const hello: HttpHandler = ({ query }) => ({ status: 200, body: `hello ${query.get("name") ?? "all"}` });
const echo: HttpHandler = ({ body }) => ({ status: 200, body });
const who: HttpHandler = ({ address, secure }) => ({ status: 200, body: `${address} ${secure}` });

async function site(options: Partial<HttpListenerOptions> = {}) {
  const failures: unknown[] = [];
  const listener = await listenHttp({
    host: "127.0.0.1",
    port: 0,
    routes: new Map([
      ["GET /hello", hello],
      ["POST /echo", echo],
      ["PUT /echo", echo],
      ["GET /who", who],
      ["GET /refused", () => Promise.reject(new HttpError(503, "broken: bus", { "retry-after": "5" }))],
      ["GET /bug", () => assert.fail("a bug")],
      ["GET /.well-known/host-meta.json", () => ({ status: 200, headers: { "content-type": "application/json" } })],
    ]),
    failed: (error) => void failures.push(error),
    ...options,
  });
  atEnd(() => void listener.close());
  return { listener, failures };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(
  address: AddressInfo,
  method: string,
  path: string,
  { body = "", headers = {}, ...more }: { body?: string; headers?: Record<string, string>; agent?: Agent } = {},
  make: typeof request = request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: address.address, port: address.port, method, path, headers, rejectUnauthorized: false };
    const sent = make({ ...options, ...more }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

test("a route answers its path and method, whatever the query", async () => {
  const { listener } = await site();
  const answer = await ask(listener.address, "GET", "/hello?name=Alice%20B");
  assert.deepEqual([answer.status, answer.body], [200, "hello Alice B"]);
  assert.equal(answer.headers["content-type"], "text/plain; charset=utf-8");
  const json = await ask(listener.address, "GET", "/.well-known/host-meta.json");
  assert.equal(json.headers["content-type"], "application/json");
});

test("HEAD is GET without the body", async () => {
  const { listener } = await site();
  const answer = await ask(listener.address, "HEAD", "/hello");
  assert.deepEqual([answer.status, answer.body, answer.headers["content-length"]], [200, "", "9"]);
});

test("a path must match exactly; what does not is 404, a wrong method 405 with the right ones", async () => {
  const { listener } = await site();
  for (const path of ["/", "/hello/", "//hello", "/HELLO", "/a/../hello", "/%68ello"]) {
    assert.equal((await ask(listener.address, "GET", path)).status, 404, path);
  }
  const wrong = await ask(listener.address, "DELETE", "/echo");
  assert.deepEqual([wrong.status, wrong.headers.allow], [405, "POST, PUT"]);
  assert.equal((await ask(listener.address, "POST", "/hello")).headers.allow, "GET, HEAD");
});

test("a refusal is answered as it says, a bug as 500 and told", async () => {
  const { listener, failures } = await site();
  const refused = await ask(listener.address, "GET", "/refused");
  assert.deepEqual([refused.status, refused.body, refused.headers["retry-after"]], [503, "broken: bus\n", "5"]);
  assert.equal(failures.length, 0);
  const bug = await ask(listener.address, "GET", "/bug");
  assert.deepEqual([bug.status, bug.body], [500, "internal server error\n"]);
  assert.equal(failures.length, 1);
});

test("a body of the limit is taken, one byte more is 413, declared or not", async () => {
  const { listener } = await site({ maxBodyBytes: 1000 });
  const put = (length: number, headers: Record<string, string> = {}) =>
    ask(listener.address, "PUT", "/echo", { body: "x".repeat(length), headers });
  assert.equal((await put(1000)).body.length, 1000);
  assert.equal((await put(1001)).status, 413);
  assert.equal((await put(1000, { "transfer-encoding": "chunked" })).status, 200);
  const chunked = await put(1001, { "transfer-encoding": "chunked" });
  assert.equal(chunked.status, 413);
});

test("a header within the limit is taken, a bigger one is 431", async () => {
  const { listener } = await site({ maxHeaderBytes: 2000 });
  const get = (length: number) => ask(listener.address, "GET", "/hello", { headers: { "x-pad": "x".repeat(length) } });
  assert.equal((await get(1500)).status, 200);
  assert.equal((await get(2500)).status, 431);
});

test("a request that does not arrive in time is 408, also while its body drips", async () => {
  const { listener } = await site({ requestTimeoutMs: 100 });
  const slowHeader = await dial(listener.address);
  const header = hear(slowHeader);
  slowHeader.write("GET /hello HTTP/1.1\r\nhost:");
  const slowBody = await dial(listener.address);
  const body = hear(slowBody);
  slowBody.write("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx");
  await until(() => header.isClosed && body.isClosed, "both to be cut");
  assert.match(header.text, /^HTTP\/1\.1 408 /);
  assert.match(body.text, /^HTTP\/1\.1 408 /);
});

test("a client that does not read its response is cut", async () => {
  const big: HttpHandler = () => ({ status: 200, body: Buffer.alloc(32 * 1024 * 1024) });
  const { listener } = await site({ requestTimeoutMs: 25, routes: new Map([["GET /big", big]]) });
  const socket = await dial(listener.address);
  socket.pause().write("GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => listener.connections === 1, "the request");
  await until(() => listener.connections === 0, "the cut");
});

test("garbage is 400, and others are still served", async () => {
  const { listener } = await site();
  const socket = await dial(listener.address);
  const heard = hear(socket);
  socket.write("<stream:stream>\r\n\r\n");
  await until(() => heard.isClosed, "the refusal");
  assert.match(heard.text, /^HTTP\/1\.1 400 /);
  assert.equal((await ask(listener.address, "GET", "/hello")).status, 200);
});

test("connections up to the limit are served, the next is dropped", async () => {
  const { listener } = await site({ maxConnections: 1 });
  const agent = new Agent({ keepAlive: true });
  atEnd(() => agent.destroy());
  assert.equal((await ask(listener.address, "GET", "/hello", { agent })).status, 200);
  assert.equal(listener.connections, 1);
  await assert.rejects(ask(listener.address, "GET", "/hello"), { code: "ECONNRESET" });
  agent.destroy();
  await until(() => listener.connections === 0, "a free place");
  assert.equal((await ask(listener.address, "GET", "/hello")).status, 200);
});

test("X-Forwarded headers are believed from trusted proxies only", async () => {
  const headers = { "x-forwarded-for": "1.2.3.4, 203.0.113.9", "x-forwarded-proto": "https" };
  const behind = await site({ trusted: ["127.0.0.1/32"] });
  assert.equal((await ask(behind.listener.address, "GET", "/who", { headers })).body, "203.0.113.9 true");
  assert.equal((await ask(behind.listener.address, "GET", "/who")).body, "127.0.0.1 false");
  const plain = { ...headers, "x-forwarded-proto": "https, http" };
  assert.equal((await ask(behind.listener.address, "GET", "/who", { headers: plain })).body, "203.0.113.9 false");
  const open = await site({ trusted: ["10.0.0.0/8"] });
  assert.equal((await ask(open.listener.address, "GET", "/who", { headers })).body, "127.0.0.1 false");
});

test("HTTPS shows the certificate of the name asked for, and a reloaded one from then on", async () => {
  const [a, b] = await Promise.all([selfSigned(scratch(), ["a.example"]), selfSigned(scratch(), ["b.example"])]);
  const certificates = new Certificates([a, b]);
  const { listener } = await site({ certificates });
  const shown = (servername: string) =>
    new Promise<string | undefined>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: listener.address.port, path: "/who", rejectUnauthorized: false };
      const agent = false;
      const sent = requestTls({ ...options, servername, agent }, (response) => {
        const socket = response.socket as TLSSocket;
        const { fingerprint256, subjectAltName } = socket.getPeerX509Certificate() ?? {};
        response.resume();
        resolve(`${subjectAltName} ${fingerprint256}`);
      });
      sent.on("error", reject).end();
    });
  const [oldA, oldB] = [await shown(""), await shown("b.example")];
  assert.match(oldA ?? "", /^DNS:a\.example /);
  assert.match(oldB ?? "", /^DNS:b\.example /);
  assert.equal((await ask(listener.address, "GET", "/who", {}, requestTls as typeof request)).body, "127.0.0.1 true");
  const fresh = await selfSigned(scratch(), ["a.example"]);
  copyFileSync(fresh.certificate, a.certificate);
  copyFileSync(fresh.key, a.key);
  certificates.reload();
  assert.notEqual(await shown(""), oldA);
  assert.equal(await shown("b.example"), oldB);
});

test("close answers what is under way, and then refuses", async () => {
  let release = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow: HttpHandler = async () => {
    await waiting;
    return { status: 200, body: "done" };
  };
  const { listener } = await site({ routes: new Map([["GET /slow", slow]]) });
  const agent = new Agent({ keepAlive: true });
  atEnd(() => agent.destroy());
  const answer = ask(listener.address, "GET", "/slow", { agent });
  await until(() => listener.connections === 1, "the request");
  await new Promise(setImmediate);
  let isClosed = false;
  const closing = listener.close().then(() => {
    isClosed = true;
  });
  await assert.rejects(dial(listener.address), { code: "ECONNREFUSED" });
  assert.equal(isClosed, false);
  release();
  const { body, headers } = await answer;
  assert.deepEqual([body, headers.connection], ["done", "close"]);
  await closing;
  await until(() => listener.connections === 0, "the sockets to go");
});

test("close waits only so long for a request that never ends", async () => {
  const never: HttpHandler = () => new Promise(() => {});
  const { listener } = await site({ routes: new Map([["GET /never", never]]), closeTimeoutMs: 20 });
  const socket = await dial(listener.address);
  const heard = hear(socket);
  socket.write("GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => listener.connections === 1, "the request");
  await listener.close();
  await until(() => heard.isClosed, "the cut");
});
