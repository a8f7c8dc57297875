/** Clients that write what they like, over TCP and WebSocket, and hear every byte of the answer. */
import { once } from "node:events";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { NS } from "../../src/xmpp/namespaces.ts";
import { PASSWORD, type TestServer } from "./server.ts";

/** For `startServer`; a WebSocket passes for a secure one by what it says in its headers. */
export const LISTEN = `listen = [
  { kind = "c2s", port = 0, tls = "none" },
  { kind = "http", port = 0, forwarded_from = ["127.0.0.0/8"] },
]`;

export const TCP_HEADER = `<stream:stream xmlns='jabber:client' xmlns:stream='${NS.stream}' to='example.org' version='1.0'>`;
export const OPEN = `<open xmlns='${NS.framing}' to='example.org' version='1.0'/>`;
export const GOODBYE = `<close xmlns='${NS.framing}'/>`;

/** A client that writes what it likes, and writes down what it hears. */
export interface Wire {
  readonly kind: "tcp" | "websocket";
  /** A string is one write, or one message. */
  send(text: string | Buffer): void;
  /** `attrs` are added to the usual ones. */
  open(attrs?: string): void;
  /** Says no more: on TCP this side is shut, a WebSocket begins to close. */
  hangUp(): void;
  /** All that came since the last call, once it matches. */
  until(pattern: RegExp): Promise<string>;
  /** All that came since the last call, until the connection has ended. The client answers a good-bye. */
  rest(): Promise<string>;
  /** Of the WebSocket. */
  readonly code: number | undefined;
}

class Heard {
  text = "";
  isOver = false;
  #changed = Promise.withResolvers<void>();

  add(text: string): void {
    this.text += text;
    this.#wake();
  }
  end(): void {
    this.isOver = true;
    this.#wake();
  }
  /** Up to the end of the match, or all when there is no more to come. */
  async take(pattern?: RegExp): Promise<string> {
    for (;;) {
      const match = pattern?.exec(this.text);
      if (!match && !this.isOver) {
        await this.#changed.promise;
        continue;
      }
      const end = match ? match.index + match[0].length : this.text.length;
      const text = this.text.slice(0, end);
      this.text = this.text.slice(end);
      return text;
    }
  }
  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
  }
}

async function tcp(t: TestContext, server: TestServer): Promise<Wire> {
  const socket = connect(server.port("c2s"), "127.0.0.1");
  t.after(() => socket.destroy());
  const heard = new Heard();
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    heard.add(String(chunk));
    if (heard.text.includes("</stream:stream>")) socket.end("</stream:stream>");
  });
  socket.on("close", () => heard.end());
  await once(socket, "connect");
  return {
    kind: "tcp",
    code: undefined,
    send: (text) => void socket.write(text),
    open: (attrs = "") => void socket.write(TCP_HEADER.replace(">", ` ${attrs}>`)),
    hangUp: () => void socket.end(),
    until: (pattern) => heard.take(pattern),
    rest: () => heard.take(),
  };
}

async function websocket(t: TestContext, server: TestServer, { isMute = false } = {}): Promise<Wire> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port("http")}/ws-xmpp`, ["xmpp"], {
    headers: { "x-forwarded-proto": "https" },
  });
  t.after(() => socket.terminate());
  const heard = new Heard();
  let closed: number | undefined;
  socket.on("message", (data) => {
    heard.add(`${data}\n`);
    if (String(data) === GOODBYE && !isMute) socket.send(GOODBYE);
  });
  socket.on("close", (code) => {
    closed = code;
    heard.end();
  });
  await once(socket, "open");
  return {
    kind: "websocket",
    get code() {
      return closed;
    },
    send: (text) => socket.send(text),
    open: (attrs = "") => socket.send(OPEN.replace("/>", ` ${attrs}/>`)),
    hangUp: () => socket.close(1000),
    until: (pattern) => heard.take(pattern),
    rest: () => heard.take(),
  };
}

export const WIRES = { tcp, websocket } as const;

/** How far the stream has come when the client goes wrong. */
export type Stage = "unopened" | "opened" | "authenticated" | "bound";

export async function reach(wire: Wire, stage: Stage, attrs = "", resource = "desk"): Promise<void> {
  if (stage === "unopened") return;
  wire.open(attrs);
  await wire.until(/<\/stream:features>\n?/);
  if (stage === "opened") return;
  await logIn(wire);
  wire.open(attrs);
  await wire.until(/<\/stream:features>\n?/);
  if (stage === "authenticated") return;
  bind(wire, resource);
  await wire.until(/<\/iq>\n?/);
}

export async function logIn(wire: Wire): Promise<void> {
  if (wire.kind === "tcp") {
    const { scramClient } = await import("../support/scram-client.ts");
    const scram = scramClient("alice", PASSWORD);
    wire.send(`<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-256'>${scram.first()}</auth>`);
    const [, challenge = ""] = />([\w+/=]+)<\/challenge>/.exec(await wire.until(/<\/challenge>/)) ?? [];
    wire.send(`<response xmlns='${NS.sasl}'>${scram.final(challenge)}</response>`);
  } else {
    const login = Buffer.from(`\0alice\0${PASSWORD}`).toString("base64");
    wire.send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${login}</auth>`);
  }
  await wire.until(/<success(.*<\/success|[^>]*\/)>\n?/);
}

export function bind(wire: Wire, resource: string): void {
  wire.send(
    `<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='${NS.bind}'><resource>${resource}</resource></bind></iq>`,
  );
}
