/** A whole node in this process, with its sockets on free ports and its data in memory, and clients that speak raw XML to it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Accounts } from "../../src/auth/accounts.ts";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import type { Clock } from "../../src/module/api.ts";
import { startNode } from "../../src/node.ts";
import { silentLog } from "../../src/observe/log.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { StorageDriver } from "../../src/storage/specs.ts";
import { Element } from "../../src/xml/element.ts";
import { parseElement, StreamParser } from "../../src/xml/parser.ts";

export const PASSWORD = "correct horse battery";

/** Unless the test says which modules run, mam does not: else each message would come with the id it has in an archive. */
function withoutArchive(config: Config): Config {
  const types = Object.entries(config.host_types).map(([name, type]) => [
    name,
    type.modules === undefined ? { ...type, without: [...type.without, "mam"] } : type,
  ]);
  return { ...config, host_types: Object.fromEntries(types) };
}

/** `toml` is added to a configuration with one c2s listener that needs no TLS, and a cheap password hash. */
export async function startServer(
  t: TestContext,
  {
    toml = "",
    cluster,
    store = memoryDriver(),
    stores = {},
    clock,
  }: {
    toml?: string;
    cluster?: Cluster;
    store?: StorageDriver;
    /** Those besides, which `toml` must name. */
    stores?: Readonly<Record<string, StorageDriver>>;
    clock?: Clock;
  } = {},
): Promise<TestServer> {
  const base = {
    listen: 'listen = [{ kind = "c2s", port = 0, tls = "none" }, { kind = "ops", port = 0 }]',
    hosts: 'hosts = [{ domain = "example.org" }, { domain = "other.example" }]',
    node: 'node = { id = "n1" }',
    storage: 'storage = { main = { driver = "memory" } }',
    auth: "auth = { scram_iterations = 4096, failures_per_address = 0, failures_per_account = 0 }",
  };
  const given = Object.entries(base).filter(([key]) => !new RegExp(`^\\s*\\[*${key}[\\].\\s]`, "m").test(toml));
  const config = withoutArchive(parseConfig(`${given.map(([, line]) => line).join("\n")}\n${toml}`));
  const node = await startNode(config, silentLog, new AbortController().signal, {
    drivers: new Map(Object.entries({ main: store, ...stores })),
    ...(cluster === undefined ? {} : { cluster }),
    ...(clock === undefined ? {} : { clock }),
  });
  let running = true;
  const stop = async () => {
    if (running) await node.stop();
    running = false;
  };
  t.after(stop);
  const port = (kind: string) => node.doors.find((door) => door.kind === kind)?.port as number;
  return new TestServer(port, node.accounts, stop, () => node.reload());
}

export class TestServer {
  readonly port: (kind: string) => number;
  readonly stop: () => Promise<void>;
  /** As SIGHUP does. */
  readonly reload: () => void;
  readonly #accounts: ReadonlyMap<string, Accounts>;

  constructor(
    port: (kind: string) => number,
    accounts: ReadonlyMap<string, Accounts>,
    stop: () => Promise<void>,
    reload: () => void = () => {},
  ) {
    this.port = port;
    this.stop = stop;
    this.reload = reload;
    this.#accounts = accounts;
  }

  async account(local: string, domain = "example.org"): Promise<void> {
    await (this.#accounts.get(domain) as Accounts).create(local, PASSWORD);
  }

  /** A connection on which nothing has been said yet. */
  connect(): Promise<RawClient> {
    return RawClient.connect(this.port("c2s"));
  }

  /** Makes the account if need be, and binds the resource; no presence is sent. */
  async login(local: string, resource: string, domain = "example.org"): Promise<RawClient> {
    await this.account(local, domain);
    const client = await this.connect();
    await client.login(local, resource, domain);
    return client;
  }

  /** Logs in and goes online; what the server says to that is read. */
  async online(local: string, resource: string, presence = "<presence/>"): Promise<RawClient> {
    const client = await this.login(local, resource);
    client.send(presence);
    await client.next();
    return client;
  }
}

type Heard = Element | "open" | "close" | "end";

export class RawClient {
  readonly socket: Socket;
  jid = "";
  header: Element | undefined;
  readonly #heard: Heard[] = [];
  #waiting: ((heard: Heard) => void) | undefined;
  #parser: StreamParser;
  #pings = 0;

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new RawClient(socket);
  }

  constructor(socket: Socket) {
    this.socket = socket;
    // Else the second of two small writes waits for the server to acknowledge the first.
    socket.setNoDelay(true);
    this.#parser = this.#newParser();
    socket.on("data", (chunk: Buffer) => this.#parser.write(chunk));
    socket.on("error", () => {});
    socket.on("close", () => this.#hear("end"));
  }

  send(xml: string): void {
    this.socket.write(xml);
  }

  /** Opens or reopens the stream, and returns what features are offered. */
  async open(to = "example.org"): Promise<Element> {
    this.#parser = this.#newParser();
    this.send(
      `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`,
    );
    assert.equal(await this.#take(), "open");
    return this.next();
  }

  async login(local: string, resource: string, domain = "example.org"): Promise<void> {
    // The test's listener has no TLS, so PLAIN is not offered: SCRAM would be, but costs the tests time.
    await this.open(domain);
    await this.scram(local);
    await this.open(domain);
    this.send(
      `<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    );
    const bound = (await this.next()).child("bind", "urn:ietf:params:xml:ns:xmpp-bind");
    assert.ok(bound, "the resource is bound");
    this.jid = bound.childText("jid");
  }

  async scram(local: string, password = PASSWORD): Promise<void> {
    const { scramClient } = await import("./scram-client.ts");
    const client = scramClient(local, password);
    this.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>${client.first()}</auth>`);
    const challenge = await this.next();
    assert.equal(challenge.name, "challenge");
    this.send(`<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${client.final(challenge.text())}</response>`);
    const success = await this.next();
    assert.equal(success.name, "success", success.toXml());
    client.check(success.text());
  }

  /** The next thing the server says, which must be an element. */
  async next(): Promise<Element> {
    const heard = await this.#take();
    assert.ok(heard instanceof Element, `an element was expected, and came: ${String(heard)}`);
    return heard;
  }

  /** The next element is this one, in whatever order its attributes stand. */
  async receives(xml: string): Promise<void> {
    assert.equal(normal(await this.next()), normal(parse(xml)));
  }

  /** Whatever order they come in, the next elements are these. */
  async receivesAll(...xmls: string[]): Promise<void> {
    const heard: string[] = [];
    while (heard.length < xmls.length) heard.push(normal(await this.next()));
    assert.deepEqual(heard.sort(), xmls.map((xml) => normal(parse(xml))).sort());
  }

  /** Asks the server something; whatever was sent to this client before has come by the time it answers. */
  async receivesNothing(): Promise<void> {
    const id = `quiet-${++this.#pings}`;
    this.send(`<iq type='get' id='${id}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>`);
    assert.equal(
      normal(await this.next()),
      normal(parse(`<iq xmlns='jabber:client' type='result' id='${id}' from='example.org' to='${this.jid}'/>`)),
    );
  }

  /** The server ends the stream with this error, and the connection after it. */
  async endsWith(condition: string): Promise<Element> {
    const error = await this.next();
    assert.equal(error.name, "error", error.toXml());
    assert.equal(error.elements()[0]?.name, condition, error.toXml());
    assert.equal(await this.#take(), "close");
    assert.equal(await this.#take(), "end");
    return error;
  }

  async leave(): Promise<void> {
    this.send("</stream:stream>");
    for (;;) if ((await this.#take()) === "close") break;
  }

  /** What comes next: an element, "open" and "close" of the stream, "end" of the connection. */
  take(): Promise<Heard> {
    return this.#take();
  }

  #newParser(): StreamParser {
    const sink = {
      open: (root: Element) => {
        this.header = root;
        this.#hear("open");
      },
      element: (element: Element) => {
        // From here on the server speaks in a new document (RFC 6120 6.4.6); in XEP-0388 it does not.
        if (element.name === "success" && element.xmlns === "urn:ietf:params:xml:ns:xmpp-sasl") parser.restart();
        this.#hear(element);
      },
      close: () => {
        parser.halt();
        this.#hear("close");
        // Else the server would give the connection some more time.
        this.socket.end();
      },
    };
    // What is escaped anew may be larger than what a client may send.
    const parser = new StreamParser(sink, { maxTagBytes: 1 << 20, maxStanzaBytes: 1 << 22 });
    return parser;
  }

  #hear(heard: Heard): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#heard.push(heard);
    else waiting(heard);
  }

  #take(): Promise<Heard> {
    const heard = this.#heard.shift();
    if (heard !== undefined) return Promise.resolve(heard);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`nothing came to ${this.jid || "the client"} within 10 s`)),
        10_000,
      );
      this.#waiting = (next) => {
        clearTimeout(timer);
        resolve(next);
      };
    });
  }
}

/** XML as the tests write it: in the client namespace unless it says otherwise. */
export function parse(xml: string): Element {
  return parseElement(Buffer.from(xml.replace(/^<(message|presence|iq)(?![^>]*xmlns=)/, "<$1 xmlns='jabber:client'")));
}

/** The same element with its attributes in order, so that equal elements read equal. */
export function normal(element: Element): string {
  const sorted = (node: Element): Element =>
    new Element(
      node.name,
      node.xmlns,
      Object.fromEntries(Object.entries(node.attrs).sort(([a], [b]) => (a < b ? -1 : 1))),
      node.children.map((child) => (typeof child === "string" ? child : sorted(child))),
    );
  return sorted(element).toXml();
}
