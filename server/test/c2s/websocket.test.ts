/** RFC 7395: the same streams in WebSocket messages. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { NS } from "../../src/xmpp/namespaces.ts";
import { PASSWORD, startServer } from "../support/server.ts";

const OPEN = `<open xmlns='${NS.framing}' to='example.org' version='1.0'/>`;
const PLAIN = `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from(`\0alice\0${PASSWORD}`).toString("base64")}</auth>`;
const BIND = `<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='${NS.bind}'><resource>web</resource></bind></iq>`;

async function connect(t: TestContext): Promise<Client> {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const server = await startServer(t, {
    toml: `node = { id = "n1", data_dir = "${directory}" }\nlisten = [{ kind = "http", port = 0, tls = true }]`,
  });
  await server.account("alice");
  const socket = new WebSocket(`wss://127.0.0.1:${server.port("http")}/ws-xmpp`, ["xmpp"], {
    rejectUnauthorized: false,
  });
  await once(socket, "open");
  return new Client(socket);
}

class Client {
  readonly socket: WebSocket;
  readonly #heard: string[] = [];
  #waiting: ((text: string) => void) | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => this.#hear(String(data)));
    socket.on("close", () => this.#hear("(closed)"));
  }

  send(...messages: string[]): void {
    for (const message of messages) this.socket.send(message);
  }

  async next(): Promise<string> {
    return this.#heard.shift() ?? (await new Promise((resolve) => (this.#waiting = resolve)));
  }

  #hear(text: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#heard.push(text);
    else waiting(text);
  }
}

test("a client logs in, is heard, and says good-bye, a message an element", async (t) => {
  const client = await connect(t);
  client.send(OPEN);
  assert.match(
    await client.next(),
    /^<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='n1:[\w-]{22}' from='example.org' version='1.0' xml:lang='en'\/>$/,
  );
  // RFC 7395 3.3.3: every message declares what it uses.
  assert.match(
    await client.next(),
    /^<stream:features xmlns:stream='http:\/\/etherx.jabber.org\/streams'><mechanisms xmlns=/,
  );
  client.send(PLAIN);
  assert.equal(await client.next(), `<success xmlns='${NS.sasl}'/>`);
  client.send(OPEN);
  assert.match(await client.next(), /^<open /);
  assert.match(await client.next(), /^<stream:features .*<bind xmlns=/);
  client.send(BIND);
  assert.match(await client.next(), /^<iq xmlns='jabber:client' type='result' id='b'>/);
  client.send("<message xmlns='jabber:client' to='alice@example.org/web' id='1'><body>x</body></message>");
  assert.match(
    await client.next(),
    /^<message xmlns='jabber:client' to='alice@example.org\/web' id='1' from='alice@example.org\/web'>/,
  );
  client.send(`<close xmlns='${NS.framing}'/>`);
  assert.equal(await client.next(), `<close xmlns='${NS.framing}'/>`);
  assert.equal(await client.next(), "(closed)");
});

test("messages sent all at once are taken in order", async (t) => {
  const client = await connect(t);
  client.send(
    OPEN,
    PLAIN,
    OPEN,
    BIND,
    "<iq xmlns='jabber:client' type='get' id='p' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
  );
  const heard: string[] = [];
  while (!heard.at(-1)?.includes("id='p'")) heard.push(await client.next());
  assert.deepEqual(
    heard.map((message) => /^<([\w:]+)/.exec(message)?.[1]),
    ["open", "stream:features", "success", "open", "stream:features", "iq", "iq"],
  );
});
