import assert from "node:assert/strict";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { RawClient } from "../lib/raw.ts";
import { site } from "../lib/story.ts";

/** What health and metrics answer with, wherever they come from. */
const OPS = /^ready$|^ok$|# HELP|process_cpu|xmpp_/m;

/** One HTTP/1.1 request with the path exactly as it is, which an HTTP client would tidy up first. */
async function raw(port: number, path: string, headers = ""): Promise<string> {
  const socket = connectTls({ host: site.domain, port, servername: site.domain, ALPNProtocols: ["http/1.1"] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
  socket.once("close", () => resolve(text)).once("error", reject);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${site.domain}\r\nConnection: close\r\n${headers}\r\n`);
  return promise.finally(() => socket.destroy());
}

const TRICKS = ["/healthz", "/readyz", "/metrics"].flatMap((path) => [
  path,
  path.toUpperCase(),
  `/${path}`,
  `${path}/`,
  `${path}?x=/ws-xmpp`,
  `/ws-xmpp/..${path}`,
  `/ws-xmpp/%2e%2e${path}`,
  `/.well-known/host-meta/../..${path}`,
  `/.${path}`,
  path.replace("z", "%7a").replace("m", "%6d"),
  `${path};.json`,
  `https://${site.domain}${path}`,
  `${path}%00`,
  `/ws-xmpp#${path}`,
]);

for (const [name, port] of [
  ["HTTPS", site.ports.https],
  ["the admin port", site.ports.ops],
] as const) {
  test(`health and metrics are not to be had on ${name}, whatever the path looks like`, async () => {
    for (const path of TRICKS) {
      for (const headers of ["", "X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n"]) {
        const answer = await raw(port, path, headers);
        const [head = "", body = ""] = answer.split("\r\n\r\n");
        assert.match(head, /^HTTP\/1\.1 (400|401|404|426) /, `${path}: ${head.split("\r\n")[0]}`);
        assert.doesNotMatch(body, OPS, path);
      }
    }
  });
}

test("an HTTP request at the XMPP ports is answered by no page", async () => {
  const request = `GET /metrics HTTP/1.1\r\nHost: ${site.domain}\r\n\r\n`;
  await using tcp = await RawClient.tcp(site);
  tcp.send(request);
  assert.doesNotMatch(await tcp.rest(), /HTTP\/|# HELP/);
  await using tls = await RawClient.directTls(site);
  tls.send(request);
  assert.doesNotMatch(await tls.rest(), /HTTP\/|# HELP/);
});

test("what the edge does answer is there: the checks above have reached the load balancer", async () => {
  assert.match(await raw(site.ports.https, "/.well-known/host-meta"), /^HTTP\/1\.1 200 /);
  assert.match(await raw(site.ports.ops, "/prometheus/"), /^HTTP\/1\.1 401 /);
});
