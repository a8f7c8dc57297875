/** What is offered on each kind of stream at each point, as the golden file beside this one has it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import type { Element } from "../../src/xml/element.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { PASSWORD, parse, RawClient, startServer, type TestServer } from "../support/server.ts";

const GOLDEN = join(import.meta.dirname, "offered-features.golden");
const PLAIN = Buffer.from(`\0alice\0${PASSWORD}`).toString("base64");
const OPEN = `<open xmlns='${NS.framing}' to='example.org' version='1.0'/>`;

const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
after(() => rmSync(directory, { recursive: true }));

async function start(t: TestContext, listen: string, toml = ""): Promise<TestServer> {
  const node = `node = { id = "n1", data_dir = "${directory}" }`;
  const server = await startServer(t, { toml: `${node}\nlisten = [{ port = 0, ${listen} }]\n${toml}` });
  await server.account("alice");
  return server;
}

async function secured(server: TestServer): Promise<RawClient> {
  const socket = connectTls({ port: server.port("c2s"), host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return new RawClient(socket);
}

async function upgraded(server: TestServer): Promise<RawClient> {
  const client = await server.connect();
  await client.open();
  client.send(`<starttls xmlns='${NS.tls}'/>`);
  assert.equal((await client.next()).name, "proceed");
  client.socket.removeAllListeners("data");
  const socket = connectTls({ socket: client.socket, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return new RawClient(socket);
}

/** What a WebSocket is told first. */
async function webSocket(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Element> {
  const socket = new WebSocket(url, ["xmpp"], { rejectUnauthorized: false, headers });
  await once(socket, "open");
  const heard: string[] = [];
  const told = new Promise<void>((resolve) => {
    socket.on("message", (data) => void (heard.push(String(data)) === 2 && resolve()));
  });
  socket.send(OPEN);
  await told;
  socket.terminate();
  return parse(heard[1] ?? "");
}

async function saidAfter(client: RawClient, words: string): Promise<Element> {
  client.send(words);
  const success = await client.next();
  assert.equal(success.name, "success", success.toXml());
  return success.xmlns === NS.sasl ? client.open() : client.next();
}

const auth = `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${PLAIN}</auth>`;
const authenticate = (inline = "") =>
  `<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'><initial-response>${PLAIN}</initial-response>${inline}</authenticate>`;

/** An element a line, those within it further in; the hashes of XEP-0115 and XEP-0390 change with every feature there is. */
function drawn(node: Element, around: string, depth = 1): string[] {
  const attrs = Object.entries(node.attrs).map(([key, value]) => ` ${key}='${key === "ver" ? "…" : value}'`);
  const xmlns = node.xmlns === around ? "" : ` xmlns='${node.xmlns}'`;
  const text = node.elements().length > 0 ? "" : node.name === "hash" ? "…" : node.text();
  const line = `${"  ".repeat(depth)}${node.name}${xmlns}${attrs.join("")}${text === "" ? "" : `: ${text}`}`;
  return [line, ...node.elements().flatMap((child) => drawn(child, node.xmlns, depth + 1))];
}

test("what each stream is offered is what the golden file says (UPDATE_GOLDEN=1 rewrites it)", async (t) => {
  const scenes: string[] = [];
  const note = (title: string, features: Element) => {
    scenes.push([title, ...features.elements().flatMap((each) => drawn(each, ""))].join("\n"));
  };
  const withTls = 'kind = "c2s", tls = "direct"';

  const plain = await start(t, 'kind = "c2s", tls = "none"');
  note("TCP, never TLS: before the login", await (await plain.connect()).open());

  const required = await start(t, 'kind = "c2s", tls = "starttls"');
  note("TCP, STARTTLS required: in the clear", await (await required.connect()).open());
  note("TCP, STARTTLS required: within TLS", await (await upgraded(required)).open());

  const optional = await start(t, 'kind = "c2s", tls = "starttls", tls_required = false');
  note("TCP, STARTTLS optional: in the clear", await (await optional.connect()).open());
  note("TCP, STARTTLS optional: within TLS", await (await upgraded(optional)).open());

  const direct = await start(t, withTls);
  const client = async () => {
    const next = await secured(direct);
    await next.open();
    return next;
  };
  note("TCP, TLS from the start: before the login", await (await secured(direct)).open());
  note("TCP, TLS from the start: after RFC 6120's login", await saidAfter(await client(), auth));
  note("TCP, TLS from the start: after XEP-0388's login", await saidAfter(await client(), authenticate()));
  const bound = authenticate(`<bind xmlns='${NS.bind2}'/>`);
  note("TCP, TLS from the start: after XEP-0388's login that binds", await saidAfter(await client(), bound));

  const web = await start(t, 'kind = "http", tls = true');
  note("WebSocket over TLS: before the login", await webSocket(`wss://127.0.0.1:${web.port("http")}/ws-xmpp`));
  const behind = await start(t, 'kind = "http", forwarded_from = ["127.0.0.0/8"]');
  const url = `ws://127.0.0.1:${behind.port("http")}/ws-xmpp`;
  note(
    "WebSocket whose TLS ends in a load balancer: before the login",
    await webSocket(url, { "x-forwarded-proto": "https" }),
  );
  note("WebSocket without TLS: before the login", await webSocket(url));

  for (const [title, toml] of [
    ["no tokens", "[auth]\ntokens_per_account = 0"],
    ["SCRAM-SHA-512 offered", '[auth]\nscram_offered = ["sha-512", "sha-256", "sha-1"]'],
    ["registration open", "[host_types.default.modules.registration]\nopen = true"],
    ["guests only", "[host_types.default]\naccounts = []\nanonymous = {}"],
  ] as const) {
    const node = `node = { id = "n1", data_dir = "${directory}" }`;
    const server = await startServer(t, { toml: `${node}\nlisten = [{ port = 0, ${withTls} }]\n${toml}` });
    note(`With ${title}, TLS from the start: before the login`, await (await secured(server)).open());
  }
  const bare = await start(t, withTls, "[host_types.default]\nmodules = {}");
  const [one, other] = [await secured(bare), await secured(bare)];
  await one.open();
  note("With no modules, TLS from the start: after RFC 6120's login", await saidAfter(one, auth));
  await other.open();
  note("With no modules, TLS from the start: after XEP-0388's login that binds", await saidAfter(other, bound));

  const now = `${scenes.join("\n\n")}\n`;
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(GOLDEN, now);
  assert.equal(readFileSync(GOLDEN, "utf8"), now);
});
