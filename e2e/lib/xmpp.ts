/** `@xmpp/client` as a client of the site: over STARTTLS, direct TLS or WebSocket, certificates checked by the library. */
import { createHash, randomUUID } from "node:crypto";
import { TLSSocket } from "node:tls";
import { type Client, client, type Element, xml } from "@xmpp/client";
import { abortable } from "./eventually.ts";
import { Inbox } from "./inbox.ts";
import { ScramSha256 } from "./scram.ts";
import type { Account, Site } from "./topology.ts";

export type Via = "starttls" | "direct-tls" | "websocket";

export interface LoginOptions {
  readonly via?: Via;
  /** Leads the resource that the server makes; the same each time for the same name (XEP-0386). */
  readonly resource?: string;
  /** The SASL mechanism; SCRAM-SHA-256 where it is offered, else the library's choice, unless told. */
  readonly mechanism?: string;
  /** Ends the attempt, and closes what it has opened. */
  readonly signal?: AbortSignal;
}

/** The address of a door, by the names that are in the certificates. */
export function doorOf(site: Site, domain: string, via: Via): string {
  if (via === "starttls") return `xmpp://${domain}:${site.ports.c2s}`;
  if (via === "direct-tls") return `xmpps://${domain}:${site.ports.c2sTls}`;
  return `wss://${domain}:${site.ports.https}/ws-xmpp`;
}

/** The node that a stream is on: its id begins with the node's. */
export function nodeOf(streamId: string): string {
  const colon = streamId.lastIndexOf(":");
  if (colon < 1) throw new Error(`the stream id "${streamId}" names no node`);
  return streamId.slice(0, colon);
}

/** Logs in and binds a resource; nothing is left open when it fails. */
export async function login(site: Site, account: Account, options: LoginOptions = {}): Promise<XmppClient> {
  const { via = "starttls", resource, mechanism, signal = AbortSignal.timeout(15_000) } = options;
  const { local, domain, password } = account;
  const entity = client({
    service: doorOf(site, domain, via),
    domain,
    ...(resource === undefined ? {} : { resource }),
    credentials: (authenticate, offered) => {
      const choice = mechanism ?? (offered.includes(ScramSha256.mechanism) ? ScramSha256.mechanism : offered[0]);
      const userAgent = xml("user-agent", { id: clientId(`${local}@${domain}`, resource ?? randomUUID()) });
      return authenticate({ username: local, password }, choice as string, userAgent);
    },
    // The signal is the deadline.
    timeout: 15_000,
  });
  hurry(entity);
  entity.saslFactory.use(ScramSha256.mechanism, ScramSha256);
  // A test wants to see a stream that has ended, not the next one.
  entity.reconnect.stop();
  const opened = new XmppClient(entity);
  const started = entity.start();
  // Past the deadline nobody waits for it any more, and it may still fail.
  started.catch(() => {});
  try {
    await abortable(started, signal);
    return opened;
  } catch (error) {
    opened.destroy();
    throw error;
  }
}

/**
 * COMPAT(xmpp.js, 0.14): it begins to wait for the answer to its stream header only once the system has taken the header,
 * and a server that was faster is waited for until the deadline. A failure to write shows as the end of the stream.
 */
function hurry(entity: Client): void {
  const write = entity.write.bind(entity);
  entity.write = async (text) => {
    write(text).catch(() => {});
  };
}

/** By which the server knows a client (XEP-0388): a UUID of version 4, made of the account and the client's name. */
function clientId(account: string, name: string): string {
  const hex = createHash("sha256").update(`${account}/${name}`).digest("hex");
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return parts.join("-");
}

/** One logged-in client and what it has received. */
export class XmppClient {
  readonly inbox = new Inbox<Element>((element) => element.toString());
  readonly entity: Client;
  #streamId = "";
  readonly #ended = Promise.withResolvers<void>();

  constructor(entity: Client) {
    this.entity = entity;
    // An error ends the stream; `disconnect` tells.
    let cause: Error | undefined;
    entity.on("error", (error: Error) => {
      cause = error;
    });
    entity.on("open", (header: Element) => {
      this.#streamId = header.attrs.id ?? "";
    });
    entity.on("stanza", (stanza: Element) => this.inbox.push(stanza));
    entity.on("disconnect", () => {
      this.inbox.end(cause ?? new Error("the stream has ended"));
      this.#ended.resolve();
    });
  }

  get jid(): string {
    return this.entity.jid?.toString() ?? "";
  }

  get bare(): string {
    return this.jid.split("/")[0] as string;
  }

  get node(): string {
    return nodeOf(this.#streamId);
  }

  /** When the server's certificate ends; undefined where the library hides the socket (WebSocket). */
  get certificateEnd(): Date | undefined {
    const socket = this.entity.socket?.socket;
    return socket instanceof TLSSocket ? new Date(socket.getPeerCertificate().valid_to) : undefined;
  }

  /** Settles when the stream is over, by whomever. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  send(element: Element): Promise<void> {
    return this.entity.send(element);
  }

  /** Sends a chat message and gives its id. */
  async say(to: string, text: string, id: string = randomUUID()): Promise<string> {
    await this.send(xml("message", { to, id, type: "chat" }, xml("body", {}, text)));
    return id;
  }

  /** Sends an iq and gives the result; an error answer rejects, with the condition in `condition`. */
  async iq(type: "get" | "set", child: Element, to?: string): Promise<Element> {
    // What @xmpp/client answers itself leaves the inbox alone, what it was asked for arrives there too.
    const id = randomUUID();
    const answer = await this.entity.iqCaller.request(xml("iq", { type, id, to }, child), 10_000);
    this.inbox.takeAll((stanza) => stanza.name === "iq" && stanza.attrs.id === id);
    return answer;
  }

  /** The message with this id. */
  message(id: string, withinMs = 10_000): Promise<Element> {
    return this.inbox.next((stanza) => stanza.name === "message" && stanza.attrs.id === id, {
      withinMs,
      what: `message with id ${id}`,
    });
  }

  /** The next presence from a JID, of a type; undefined is available presence. */
  presence(from: string, type?: string): Promise<Element> {
    return this.inbox.next(
      (stanza) => stanza.name === "presence" && stanza.attrs.from === from && stanza.attrs.type === type,
      { what: `presence of type ${type ?? "available"} from ${from}` },
    );
  }

  /** Says good-bye and waits until the server has, too. */
  async close(): Promise<void> {
    try {
      if (this.entity.status === "online") await this.entity.stop();
    } finally {
      this.destroy();
    }
  }

  /** Drops the connection, as a client does that loses its network. */
  destroy(): void {
    const socket = this.entity.socket?.socket as { destroy?(): void; close?(): void } | null | undefined;
    if (socket?.destroy) socket.destroy();
    else socket?.close?.();
  }
}

/**
 * Two clients on two different nodes. A load balancer gives each new connection to the node with the fewest, so the
 * second client logs in again, keeping the streams it has, until it is elsewhere; the surplus is closed.
 */
export async function onDifferentNodes(
  first: () => Promise<XmppClient>,
  second: () => Promise<XmppClient>,
  attempts = 6,
): Promise<{ first: XmppClient; second: XmppClient; apart: boolean }> {
  const one = await first();
  const tried: XmppClient[] = [];
  try {
    while (tried.length < attempts) {
      const other = await second();
      tried.push(other);
      if (other.node !== one.node) break;
    }
  } catch (error) {
    for (const each of [one, ...tried]) each.destroy();
    throw error;
  }
  const last = tried.pop() as XmppClient;
  await Promise.all(tried.map((each) => each.close().catch(() => {})));
  return { first: one, second: last, apart: last.node !== one.node };
}
