/** XEP-0156: what web clients are told, and that it is told to pages of any origin. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostMeta, type WebSocketPlace } from "../../src/api/host-meta.ts";
import type { HttpRequest, HttpResponse } from "../../src/net/http.ts";
import { Hosts } from "../../src/router/hosts.ts";
import { parseElement } from "../../src/xml/parser.ts";

const WEBSOCKET = "urn:xmpp:alt-connections:websocket";

async function ask(
  path: string,
  host: string | undefined,
  { secure = true, place = { path: "/ws-xmpp", url: undefined } as WebSocketPlace } = {},
): Promise<HttpResponse> {
  const hosts = new Hosts();
  for (const domain of ["example.org", "münchen.example"]) hosts.add(domain, {} as never);
  const handler = hostMeta(hosts, place).get(`GET /.well-known/${path}`);
  assert.ok(handler);
  const request = { method: "GET", path, query: new URLSearchParams(), address: "192.0.2.1", secure };
  return handler({ ...request, headers: host === undefined ? {} : { host }, body: Buffer.of() } as HttpRequest);
}

/** The addresses in both forms, which must be the same. */
async function links(host: string, options?: Parameters<typeof ask>[2]): Promise<string[]> {
  const json = await ask("host-meta.json", host, options);
  const xml = await ask("host-meta", host, options);
  assert.equal(json.headers?.["content-type"], "application/json");
  assert.equal(xml.headers?.["content-type"], "application/xrd+xml");
  for (const { status, headers } of [json, xml]) {
    assert.equal(status, 200);
    assert.equal(headers?.["access-control-allow-origin"], "*");
  }
  const body = String(xml.body);
  assert.ok(body.startsWith("<?xml version='1.0' encoding='utf-8'?>"));
  const root = parseElement(Buffer.from(body.slice(body.indexOf("?>") + 2)));
  assert.deepEqual([root.name, root.xmlns], ["XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0"]);
  const inXml = root.elements().map(({ attrs: { rel, href } }) => ({ rel, href }));
  assert.deepEqual(JSON.parse(String(json.body)), { links: inXml });
  assert.ok(inXml.every(({ rel }) => rel === WEBSOCKET));
  return inXml.map(({ href }) => href ?? "");
}

test("without an address of its own, the one that was asked is told, port and all", async () => {
  assert.deepEqual(await links("example.org"), ["wss://example.org/ws-xmpp"]);
  assert.deepEqual(await links("example.org:5443"), ["wss://example.org:5443/ws-xmpp"]);
});

test("the address that the operator gave is told, with the domain in it", async () => {
  const place = { path: "/ws", url: "wss://{domain}:8443/ws?of={domain}" };
  assert.deepEqual(await links("EXAMPLE.org", { place }), ["wss://example.org:8443/ws?of=example.org"]);
  assert.deepEqual(await links("example.org", { place, secure: false }), ["wss://example.org:8443/ws?of=example.org"]);
});

test("an address without TLS is never told", async () => {
  assert.deepEqual(await links("example.org", { secure: false }), []);
});

test("an internationalised domain is known, and told, by the name that browsers send", async () => {
  const place = { path: "/ws", url: "wss://{domain}/ws" };
  assert.deepEqual(await links("xn--mnchen-3ya.example", { place }), ["wss://xn--mnchen-3ya.example/ws"]);
});

test("a domain that is not served, and a request without one, find nothing, which any page may know", async () => {
  for (const host of ["other.example", "[::1]", undefined]) {
    for (const path of ["host-meta", "host-meta.json"]) {
      const { status, headers } = await ask(path, host);
      assert.equal(status, 404);
      assert.equal(headers?.["access-control-allow-origin"], "*");
    }
  }
});
