/** How an XML stream lies on a transport: one long document on TCP (RFC 6120), one document a message on WebSocket (RFC 7395). */
import { type Attrs, type Element, escapeXml } from "../xml/element.ts";
import { parseElement, StreamParser, type XmlLimits } from "../xml/parser.ts";
import { StreamError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

export interface StreamHeader {
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly version: string | undefined;
  readonly lang: string | undefined;
}

export interface FramingSink {
  /** The peer opened the stream, for the first time or again. A StreamError thrown here ends it. */
  open(header: StreamHeader): void;
  element(element: Element): void;
  /** The peer closed the stream. */
  close(): void;
}

export interface Framing {
  /** Throws XmlError or StreamError. */
  data(chunk: Uint8Array): void;
  /** Hands nothing on until `resume`; may be called from within the sink. */
  suspend(): void;
  resume(): void;
  /** The peer will open the stream anew; what it has sent already counts. */
  restart(): void;
  /** The same, but all that it has sent so far is thrown away: nobody knows who wrote it (RFC 6120 5.4.3.3). */
  renew(): void;
  /** Takes nothing more, ever. */
  halt(): void;
  limit(limits: Partial<XmlLimits>): void;
  header(attrs: Attrs): string;
  readonly footer: string;
  /** An element of the stream itself: `features` or `error`. */
  streamElement(name: string, children: readonly Element[]): string;
  element(element: Element): string;
}

const LESS_THAN = 0x3c;

export class TcpFraming implements Framing {
  readonly footer = "</stream:stream>";
  readonly #sink: FramingSink;
  #limits: Partial<XmlLimits>;
  #parser: StreamParser;

  constructor(sink: FramingSink, limits: Partial<XmlLimits>) {
    this.#sink = sink;
    this.#limits = limits;
    this.#parser = this.#newParser();
  }

  data(chunk: Uint8Array): void {
    this.#parser.write(chunk);
  }
  suspend(): void {
    this.#parser.suspend();
  }
  resume(): void {
    this.#parser.resume();
  }
  restart(): void {
    this.#parser.restart();
  }
  renew(): void {
    this.#parser.halt();
    this.#parser = this.#newParser();
  }
  halt(): void {
    this.#parser.halt();
  }
  limit(limits: Partial<XmlLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
    this.#parser.setLimits(limits);
  }

  header(attrs: Attrs): string {
    return `<?xml version='1.0'?><stream:stream xmlns='${NS.client}' xmlns:stream='${NS.stream}'${written(attrs)}>`;
  }
  streamElement(name: string, children: readonly Element[]): string {
    return `<stream:${name}>${children.map((child) => child.toXml(NS.client)).join("")}</stream:${name}>`;
  }
  element(element: Element): string {
    return element.toXml(NS.client);
  }

  #newParser(): StreamParser {
    return new StreamParser(
      {
        open: (root, declared) => {
          // RFC 6120 4.8.1, 4.8.3: the root is in the stream namespace; where there is a default for its content, it is
          // that of a client. 4.8.2: without, each element names its own.
          const content = declared.get("") ?? "";
          const isContent = content === NS.client || content === NS.stream || content === "";
          if (root.name !== "stream" || root.xmlns !== NS.stream || !isContent) {
            throw new StreamError("invalid-namespace");
          }
          this.#sink.open(headerOf(root));
        },
        element: (element) => this.#sink.element(element),
        close: () => this.#sink.close(),
      },
      this.#limits,
    );
  }
}

export class WebSocketFraming implements Framing {
  readonly footer = `<close xmlns='${NS.framing}'/>`;
  readonly #sink: FramingSink;
  #limits: Partial<XmlLimits>;
  #open = false;
  #halted = false;
  #suspended = false;
  #kept: Uint8Array[] = [];

  constructor(sink: FramingSink, limits: Partial<XmlLimits>) {
    this.#sink = sink;
    this.#limits = limits;
  }

  data(message: Uint8Array): void {
    if (this.#halted) return;
    if (this.#suspended) {
      this.#kept.push(message);
      return;
    }
    // RFC 7395 3.3.3; so that white space is no keepalive here either (3.8).
    if (message[0] !== LESS_THAN) throw new StreamError("bad-format", "a message begins with <");
    const element = parseElement(message, this.#limits);
    if (element.xmlns === NS.framing) this.#frame(element);
    // RFC 7395 3.3.2, 3.4: nothing precedes <open/>, and neither that nor <close/> is of another namespace.
    else if (!this.#open || element.name === "open" || element.name === "close")
      throw new StreamError("invalid-namespace");
    else this.#sink.element(element);
  }

  #frame(element: Element): void {
    if (element.name === "close") {
      this.#sink.close();
    } else if (element.name === "open" && !this.#open) {
      this.#open = true;
      this.#sink.open(headerOf(element));
    } else {
      throw new StreamError("bad-format");
    }
  }

  suspend(): void {
    this.#suspended = true;
  }
  resume(): void {
    this.#suspended = false;
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) this.data(message);
  }
  restart(): void {
    this.#open = false;
  }
  renew(): void {
    this.#kept = [];
    this.restart();
  }
  halt(): void {
    this.#halted = true;
    this.#kept = [];
  }
  limit(limits: Partial<XmlLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  header(attrs: Attrs): string {
    return `<open xmlns='${NS.framing}'${written(attrs)}/>`;
  }
  // RFC 7395 3.3.3: each message stands alone, so the prefix is declared in every one that uses it.
  streamElement(name: string, children: readonly Element[]): string {
    const inner = children.map((child) => child.toXml()).join("");
    return `<stream:${name} xmlns:stream='${NS.stream}'>${inner}</stream:${name}>`;
  }
  element(element: Element): string {
    return element.toXml();
  }
}

function headerOf({ attrs }: Element): StreamHeader {
  return { to: attrs.to, from: attrs.from, version: attrs.version, lang: attrs["xml:lang"] };
}

function written(attrs: Attrs): string {
  return Object.entries(attrs)
    .map(([key, value]) => ` ${key}='${escapeXml(value)}'`)
    .join("");
}
