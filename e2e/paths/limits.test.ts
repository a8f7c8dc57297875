/** The load balancer's limits for one source address, from both sides: the real image with small limits, and nobody behind it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { eventually } from "../lib/eventually.ts";

process.env.TESTCONTAINERS_RYUK_DISABLED = "true";
const SECRETS = process.env.SECRETS_DIR ?? ".secrets";
const LIMIT = 5;

let haproxy: StartedTestContainer;
before(async () => {
  const secret = (name: string, target: string) => ({
    content: readFileSync(`${SECRETS}/${name}`),
    target,
    mode: 0o444,
  });
  haproxy = await new GenericContainer(`meerkat/haproxy:${process.env.MEERKAT_TAG ?? "dev"}`)
    .withEnvironment({
      OPS_NETWORK: "0.0.0.0/0",
      TCP_CONNECTION_RATE: String(LIMIT),
      TCP_CONNECTIONS: "100",
      HTTP_CONNECTION_RATE: "100",
      HTTP_REQUEST_RATE: String(2 * LIMIT),
      ADMIN_FAILURES: String(LIMIT - 3),
    })
    .withCopyContentToContainer([
      secret("tls/edge.pem", "/run/secrets/edge_tls"),
      secret("admin_password", "/run/secrets/admin_password"),
    ])
    .withTmpFs({ "/run/haproxy": "mode=0700,uid=10015,gid=10015" })
    .withUlimits({ nofile: { soft: 20_000, hard: 20_000 } })
    .withExposedPorts(5222, 443, 8443, 8405)
    .withWaitStrategy(Wait.forHttp("/healthz", 8405))
    .start();
});
after(() => haproxy.stop({ timeout: 0 }));

/** The counter of refused connections of a frontend. */
async function denied(frontend: string): Promise<number> {
  const response = await fetch(`http://${haproxy.getHost()}:${haproxy.getMappedPort(8405)}/metrics`);
  const line = new RegExp(`^haproxy_frontend_denied_connections_total\\{proxy="${frontend}"\\} (\\d+)$`, "m");
  return Number(line.exec(await response.text())?.[1] ?? Number.NaN);
}

/** Connects, and waits until the other side has had enough: nobody is behind it. */
function visit(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp(haproxy.getMappedPort(5222), haproxy.getHost());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => socket.end("<"));
  });
}

test("so many TCP connections in ten seconds are let in, and one more is not", async () => {
  for (let i = 0; i < LIMIT; i++) await visit();
  assert.equal(await denied("c2s"), 0);
  await visit();
  await eventually(async () => (await denied("c2s")) === 1, { withinMs: 5000, what: "one refused connection" });
});

/** Sends requests one after the other on one connection; returns the statuses of the answers. */
async function statuses(port: number, requests: readonly string[]): Promise<string[]> {
  const socket = connectTls({
    port: haproxy.getMappedPort(port),
    host: haproxy.getHost(),
    servername: "meerkat.localhost",
    ca: readFileSync(`${SECRETS}/tls/ca.pem`),
    ALPNProtocols: ["http/1.1"],
  });
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += String(chunk);
  });
  const heard = () => [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status as string);
  for (const [i, request] of requests.entries()) {
    socket.write(request);
    await eventually(async () => heard().length > i, { withinMs: 5000, what: "an answer" });
  }
  socket.destroy();
  return heard();
}

test("so many HTTP requests in ten seconds are answered, and one more hears that it is too many", async () => {
  const request = "GET /nothing HTTP/1.1\r\nHost: meerkat.localhost\r\n\r\n";
  const heard = await statuses(443, Array<string>(2 * LIMIT + 1).fill(request));
  assert.deepEqual(heard, [...Array<string>(2 * LIMIT).fill("404"), "429"]);
});

test("after so many wrong passwords the admin pages do not tell any more whether one is right", async () => {
  const request = (password: string) =>
    `GET / HTTP/1.1\r\nHost: ops.meerkat.localhost\r\nAuthorization: Basic ${Buffer.from(`admin:${password}`).toString("base64")}\r\n\r\n`;
  const right = request(readFileSync(`${SECRETS}/admin_password`, "utf8"));
  const wrong = request("wrong");
  assert.deepEqual(await statuses(8443, [right, wrong, wrong, right]), ["200", "401", "401", "200"]);
  assert.deepEqual(await statuses(8443, [wrong]), ["401"]);
  assert.deepEqual(await statuses(8443, [right]), ["429"]);
});
