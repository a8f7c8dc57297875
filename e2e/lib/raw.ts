/** A client that can say anything: bytes on a socket, TLS with the certificate checked, and no opinion about XML. */
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { Account, Site } from "./topology.ts";

export const FEATURES = /<stream:features(?:\s[^>]*)?>[\s\S]*<\/stream:features>|<stream:features\/>/;
export const SASL_SUCCESS = /<success[^>]*xmlns=['"]urn:ietf:params:xml:ns:xmpp-sasl['"]/;

/** RFC 6120 4.2: what opens a stream. */
export function header(domain: string): string {
  return `<?xml version='1.0'?><stream:stream to='${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`;
}

/** RFC 4616: the first and only message of PLAIN. */
export function plainAuth({ local, password }: Pick<Account, "local" | "password">): string {
  const message = Buffer.from(`\0${local}\0${password}`).toString("base64");
  return `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${message}</auth>`;
}

export class RawClient implements AsyncDisposable {
  #socket: Socket;
  #text = "";
  #over = false;
  readonly #listeners = new Set<() => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  /** Connects to the STARTTLS door. */
  static async tcp(site: Site): Promise<RawClient> {
    const socket = connectTcp({ host: site.domain, port: site.ports.c2s });
    await settled(socket, "connect");
    return new RawClient(socket);
  }

  /** Connects to the direct-TLS door; rejects when the handshake fails. */
  static async directTls(site: Site, options: ConnectionOptions = {}): Promise<RawClient> {
    const port = site.ports.c2sTls;
    const socket = connectTls({
      host: site.domain,
      port,
      servername: site.domain,
      ALPNProtocols: ["xmpp-client"],
      ...options,
    });
    await settled(socket, "secureConnect");
    return new RawClient(socket);
  }

  /** Connects, negotiates STARTTLS and reads the features that come after it. */
  static async secured(site: Site, domain = site.domain): Promise<RawClient> {
    const client = await RawClient.tcp(site);
    client.send(header(domain));
    await client.until(FEATURES);
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await client.until(/<proceed[^>]*\/>/);
    await client.upgrade(site);
    client.send(header(domain));
    await client.until(FEATURES);
    return client;
  }

  /** Connects and logs in as far as a bound resource. */
  static async online(site: Site, account: Account): Promise<RawClient> {
    const client = await RawClient.secured(site, account.domain);
    client.send(plainAuth(account));
    await client.until(SASL_SUCCESS);
    client.send(header(account.domain));
    await client.until(FEATURES);
    client.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    await client.until(/<iq [^>]*type=['"]result['"][\s\S]*<\/iq>/);
    return client;
  }

  /** The TLS handshake that follows `<proceed/>`. */
  async upgrade(site: Site): Promise<void> {
    this.#socket.removeAllListeners("data");
    const secure = connectTls({ socket: this.#socket, servername: site.domain });
    await settled(secure, "secureConnect");
    this.#socket = secure;
    this.#listen(secure);
  }

  get alpn(): string | false | null {
    return (this.#socket as TLSSocket).alpnProtocol;
  }

  send(data: string | Uint8Array): void {
    this.#socket.write(data);
  }

  /** Sends each byte in a packet of its own. */
  async drip(text: string): Promise<void> {
    this.#socket.setNoDelay(true);
    for (const byte of Buffer.from(text)) {
      await new Promise<void>((resolve) => this.#socket.write(Buffer.of(byte), () => resolve()));
    }
  }

  /** Takes what has come up to and with the pattern, waiting for it; an end of the connection before it rejects. */
  async until(pattern: RegExp, withinMs = 10_000): Promise<string> {
    await this.#when(() => pattern.test(this.#text) || this.#over, `${pattern}`, withinMs);
    const match = pattern.exec(this.#text);
    if (match === null) throw new Error(`the connection ended before ${pattern}; there came: ${this.#text}`);
    const end = match.index + match[0].length;
    const taken = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return taken;
  }

  /** Everything until the other side has ended. */
  async rest(withinMs = 10_000): Promise<string> {
    await this.#when(() => this.#over, "the end of the connection", withinMs);
    return this.#text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    const changed = () => {
      for (const listener of this.#listeners) listener();
    };
    const over = () => {
      this.#over = true;
      changed();
    };
    socket.on("data", (bytes: Buffer) => {
      this.#text += bytes.toString("utf8");
      changed();
    });
    // A reset is an end as well; what was said before it is what counts.
    socket.on("end", over).on("close", over).on("error", over);
  }

  #when(isSo: () => boolean, what: string, withinMs: number): Promise<void> {
    if (isSo()) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const listener = () => isSo() && resolve();
    this.#listeners.add(listener);
    const timer = setTimeout(
      () => reject(new Error(`${what} not within ${withinMs} ms; there came: ${this.#text}`)),
      withinMs,
    );
    return promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    });
  }
}

function settled(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error?: Error) => {
      socket.destroy();
      reject(error ?? new Error("the connection was closed"));
    };
    const closed = () => failed();
    socket.once("error", failed).once("close", closed);
    socket.once(event, () => {
      socket.off("error", failed).off("close", closed);
      resolve();
    });
  });
}
