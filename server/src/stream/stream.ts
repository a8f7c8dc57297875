/** One XML stream over one transport: how it opens, what it negotiates, and every way it can end (RFC 6120 4). */
import type { ShaperOptions } from "../net/shaper.ts";
import type { Transport } from "../net/transport.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type Element, element } from "../xml/element.ts";
import { XmlError, type XmlLimits } from "../xml/parser.ts";
import { StreamError } from "../xmpp/errors.ts";
import { parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { type Fact, type NegotiatingStream, type Outcome, offered, type StreamFeature } from "./feature.ts";
import { type Framing, type StreamHeader, TcpFraming, WebSocketFraming } from "./framing.ts";
import { Inbox } from "./inbox.ts";

export interface StreamLimits {
  /** From the first byte to a bound resource, milliseconds. */
  readonly negotiationTimeoutMs: number;
  /** For the peer's answer to a good-bye, milliseconds. */
  readonly closeTimeoutMs: number;
  /** How fast a peer is read that has authenticated; undefined for any speed. */
  readonly shaper: ShaperOptions | undefined;
  readonly xml: XmlLimits;
  /** The largest element taken from a peer that has not authenticated, bytes. */
  readonly maxUnauthenticatedBytes: number;
  /** Stanzas of one stream that wait for a slow one before the socket is paused. */
  readonly maxInbox: number;
}

/** Whoever a stream belongs to. */
export interface StreamOwner<S extends NegotiatingStream> {
  /** The stream as features see it. */
  readonly negotiating: S;
  /** Whom the stream speaks for while its peer has named no domain that is served (RFC 6120 4.9.1.3). */
  readonly domain: string;
  /** Checks the peer's header and returns the domain to answer for; a StreamError thrown refuses it. */
  opened(header: StreamHeader): { readonly domain: string; readonly features: readonly StreamFeature<S>[] };
  /** Negotiation is done: what the owner sends from here on comes after all that features have sent. */
  established(): void;
  /** Takes an element that need not wait for those before it; false for one that must. Throws a StreamError at most. */
  ahead(element: Element): boolean;
  /** Elements after negotiation, in order. Must not fail: throws a StreamError at most. */
  received(element: Element): MaybePromise<void>;
  /**
   * The stream is over; once. `error` is what this side ended it with, if it did; `lost` says that the peer may not
   * know: the connection broke without a good-bye, or the peer no longer answered.
   */
  ended(error: StreamError | undefined, lost: boolean): void;
  /** A failure that nobody foresaw; the stream is closed with internal-server-error. */
  failed(error: unknown): void;
}

/** Of XMPP, the only one there is. */
const VERSION = "1.0";

/** How many groups the streams are in that get white space at different moments. */
export const KEEPALIVE_TURNS = 16;

type Life = "opening" | "negotiating" | "established" | "closing" | "closed";

/** Stands in the inbox behind the last element: the stream ends once all that came before is handled. */
const END: unique symbol = Symbol("end");
/** Stands there when the peer has said good-bye: what it asked before is answered first. */
const CLOSE: unique symbol = Symbol("close");

export class XmppStream<S extends NegotiatingStream> {
  readonly transport: Transport;
  readonly facts: Set<Fact> = new Set();
  readonly #makeId: () => string;
  readonly #owner: StreamOwner<S>;
  readonly #framing: Framing;
  readonly #limits: StreamLimits;
  readonly #inbox: Inbox<Element | typeof CLOSE | typeof END>;
  #deadline: NodeJS.Timeout | undefined;
  #life: Life = "opening";
  #id = "";
  #domain = "";
  #peer: string | undefined;
  #version: string | undefined = VERSION;
  #lang: string | undefined;
  #features: readonly StreamFeature<S>[] = [];
  #headerSent = false;
  #error: StreamError | undefined;
  #lost = false;
  /** An element broke the stream: nothing behind it counts. */
  #broken = false;
  #peerClosed = false;
  #leaving: NodeJS.Timeout | undefined;

  /** `makeId` gives each opening of the stream an id that nobody can guess (RFC 6120 4.7.3). */
  constructor(makeId: () => string, transport: Transport, owner: StreamOwner<S>, limits: StreamLimits) {
    this.#makeId = makeId;
    this.transport = transport;
    this.#owner = owner;
    this.#limits = limits;
    if (transport.secure) this.facts.add("secure");
    const xml = { ...limits.xml, maxStanzaBytes: Math.min(limits.xml.maxStanzaBytes, limits.maxUnauthenticatedBytes) };
    const sink = {
      open: (header: StreamHeader) => this.#opened(header),
      element: (element: Element) => this.#received(element),
      close: () => this.#closedByPeer(),
    };
    this.#framing = transport.kind === "tcp" ? new TcpFraming(sink, xml) : new WebSocketFraming(sink, xml);
    this.#inbox = new Inbox((item) => this.#handOn(item), transport, limits.maxInbox);
    this.#deadline = setTimeout(() => this.close(new StreamError("connection-timeout")), limits.negotiationTimeoutMs);
    transport.attach({
      data: (chunk) => this.#guard(() => this.#framing.data(chunk)),
      secured: () => {},
      closed: () => this.#finish(),
    });
  }

  /** The id last sent to the peer; "" before the stream is open. */
  get id(): string {
    return this.#id;
  }

  /** The language of what the peer sends, where a stanza names none (RFC 6120 4.7.4). */
  get lang(): string | undefined {
    return this.#lang;
  }

  /** Whether it is closed, or closing. */
  get over(): boolean {
    return this.#life === "closing" || this.#life === "closed";
  }

  send(element: Element): void {
    if (this.over) return;
    this.transport.write(this.#framing.element(element));
  }

  /**
   * RFC 6120 4.6.1: white space between stanzas says nothing, but has to be delivered. A WebSocket has its own pings. To be
   * called with each of the `KEEPALIVE_TURNS` in turn; which of them is this stream's follows from its id.
   */
  keepAlive(turn: number): void {
    if (this.#life !== "established" || this.transport.kind !== "tcp") return;
    if (this.#id.charCodeAt(this.#id.length - 2) % KEEPALIVE_TURNS === turn) this.transport.write(" ");
  }

  /**
   * Says why, if there is a reason, and good-bye (RFC 6120 4.4, 4.9). What comes after is not read; what came before is
   * still handled, and only then does the owner hear that the stream has ended. A peer's good-bye is answered the same way.
   */
  close(error?: StreamError): void {
    if (this.over) return;
    this.#error = error;
    this.#lost = error?.condition === "connection-timeout";
    this.#sendHeader();
    if (error !== undefined) this.transport.write(this.#framing.streamElement("error", errorChildren(error)));
    this.transport.write(this.#framing.footer);
    this.#life = "closing";
    clearTimeout(this.#deadline);
    clearTimeout(this.#leaving);
    this.#leave();
    this.#inbox.push(END);
  }

  #leave(): void {
    // On TCP our side is shut and the peer's stays open until it has said good-bye too. A WebSocket that is shut takes
    // nothing more from either side, so the peer's <close/> is waited for before (RFC 7395 3.6), unless we are in a hurry.
    const isHurried = this.#error?.condition === "system-shutdown";
    if (this.transport.kind === "tcp" || this.#peerClosed || isHurried) {
      this.#framing.halt();
      this.transport.end();
    } else {
      this.#leaving = setTimeout(() => this.transport.end(), this.#limits.closeTimeoutMs);
      this.#framing.resume();
    }
    // Or the good-bye would not be heard.
    this.transport.resume();
  }

  #closedByPeer(): void {
    this.#peerClosed = true;
    if (this.over) this.transport.end();
    else if (this.#life !== "established") this.close();
    else {
      this.#leaving = setTimeout(() => this.close(), this.#limits.closeTimeoutMs);
      this.#inbox.push(CLOSE);
    }
  }

  #opened(header: StreamHeader): void {
    if (this.over) return;
    this.#version = answerTo(header.version);
    this.#lang = languageOf(header.lang);
    // RFC 6120 4.7.2: the answer is to the bare JID, whatever the peer named.
    const from = header.from === undefined ? undefined : parseJid(header.from);
    this.#peer = from?.bare;
    const { domain, features } = this.#owner.opened(header);
    this.#domain = domain;
    this.#features = features;
    // RFC 6120 4.7.5: version 1.0 or higher; a peer without one cannot negotiate TLS or SASL.
    if (this.#version !== VERSION) throw new StreamError("unsupported-version");
    if (header.from !== undefined && from === undefined) throw new StreamError("invalid-from");
    this.#life = "negotiating";
    this.#sendHeader();
    this.#advertise();
  }

  #received(element: Element): void {
    if (this.over) return;
    // RFC 6120 4.9.1.1: who is told of an error says good-bye.
    if (element.xmlns === NS.stream && element.name === "error") this.close();
    else if (this.#life !== "established") this.#step(element);
    else if (!this.#owner.ahead(element)) this.#inbox.push(element);
  }

  /** One element of the negotiation; those behind it wait. */
  #step(element: Element): void {
    this.#framing.suspend();
    const result = this.#negotiate(element);
    if (!(result instanceof Promise)) {
      this.#apply(result);
      return;
    }
    this.transport.pause();
    void result.then(
      (outcome) => {
        if (this.over) return;
        this.transport.resume();
        this.#guard(() => this.#apply(outcome));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #handOn(item: Element | typeof CLOSE | typeof END): MaybePromise<void> {
    if (item === CLOSE) return this.close();
    if (item === END) {
      this.#owner.ended(this.#error, this.#lost);
      return;
    }
    if (this.#broken) return;
    try {
      const pending = this.#owner.received(item);
      return pending instanceof Promise ? pending.catch((error: unknown) => this.#break(error)) : undefined;
    } catch (error) {
      this.#break(error);
    }
  }

  #break(error: unknown): void {
    this.#broken = true;
    this.#fail(error);
  }

  #negotiate(element: Element): MaybePromise<Outcome | undefined> {
    const feature = offered(this.#features, this.facts).find((candidate) => candidate.takes(element));
    if (feature !== undefined) return feature.negotiate(element, this.#owner.negotiating);
    // RFC 6120 4.9.3.12: data before the stream allows it; 7.1 for stanzas before a resource is bound.
    const stanza = element.xmlns === NS.client && ["message", "presence", "iq"].includes(element.name);
    if (stanza) throw new StreamError("not-authorized");
    const known = this.#features.find((candidate) => candidate.takes(element));
    if (known === undefined) throw unsupported(element);
    if (known.refusal === undefined) throw new StreamError("policy-violation", "not offered");
    this.send(known.refusal);
    this.close();
  }

  #apply(outcome: Outcome | undefined): void {
    if (this.over) return;
    for (const fact of outcome?.gained ?? []) this.facts.add(fact);
    if (outcome?.gained.includes("authenticated")) {
      this.#framing.limit({ maxStanzaBytes: this.#limits.xml.maxStanzaBytes });
      this.transport.shape(this.#limits.shaper);
    }
    if (outcome?.restart) {
      this.#headerSent = false;
      this.#life = "opening";
      if (outcome.gained.includes("secure")) this.#forget();
      else this.#framing.restart();
    } else if (outcome !== undefined) {
      if (outcome.features) this.#advertise();
      if (this.facts.has("bound")) {
        this.#life = "established";
        // What was for the negotiation would be kept for as long as the session lasts.
        clearTimeout(this.#deadline);
        this.#deadline = undefined;
        this.#features = [];
        this.#owner.established();
      }
    }
    this.#framing.resume();
  }

  /** RFC 6120 5.4.3.3: nobody knows who said what came before TLS. */
  #forget(): void {
    this.#framing.renew();
    this.#domain = "";
    this.#peer = undefined;
    this.#lang = undefined;
    this.#version = VERSION;
  }

  #sendHeader(): void {
    if (this.#headerSent) return;
    this.#headerSent = true;
    this.#id = this.#makeId();
    const attrs: Record<string, string> = { id: this.#id, from: this.#domain || this.#owner.domain };
    if (this.#peer !== undefined) attrs.to = this.#peer;
    if (this.#version !== undefined) attrs.version = this.#version;
    attrs["xml:lang"] = "en";
    this.transport.write(this.#framing.header(attrs));
  }

  #advertise(): void {
    const told = offered(this.#features, this.facts).map((feature) => feature.advertise(this.#owner.negotiating));
    const features = told.filter((each) => each !== undefined);
    this.transport.write(this.#framing.streamElement("features", features));
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const isForeseen = error instanceof StreamError || error instanceof XmlError;
    if (!isForeseen) this.#owner.failed(error);
    // What should be the answer to our good-bye is none.
    if (this.over) this.transport.end();
    else if (!isForeseen) this.close(new StreamError("internal-server-error"));
    else this.close(error instanceof StreamError ? error : new StreamError(error.condition, error.message));
  }

  #finish(): void {
    const ending = this.over;
    if (!ending) this.#lost = !this.#peerClosed;
    this.#life = "closed";
    clearTimeout(this.#deadline);
    clearTimeout(this.#leaving);
    this.#framing.halt();
    if (!ending) this.#inbox.push(END);
  }
}

/** RFC 6120 4.9.3.24, and 4.8.3 for stanzas of servers among themselves. */
export function unsupported({ xmlns }: Element): StreamError {
  return new StreamError(xmlns === NS.server || xmlns === "" ? "invalid-namespace" : "unsupported-stanza-type");
}

/** RFC 6120 4.7.5: the lower of the peer's version and ours; none for a peer that names none. */
function answerTo(version: string | undefined): string | undefined {
  const [, major, minor] = /^0*(\d{1,9})\.0*(\d{1,9})$/.exec(version ?? "") ?? [];
  if (version === undefined || major !== "0") return version === undefined || major === undefined ? undefined : VERSION;
  return `0.${minor}`;
}

/** RFC 5646 2.1, as far as RFC 6120 4.7.4 needs it. */
function languageOf(lang: string | undefined): string | undefined {
  return lang !== undefined && lang.length <= 35 && /^[a-z]{1,8}(-[a-z\d]{1,8})*$/i.test(lang) ? lang : undefined;
}

function errorChildren(error: StreamError): Element[] {
  const children = [element(error.condition, NS.streamErrors)];
  if (error.text !== "") children.push(element("text", NS.streamErrors, { "xml:lang": "en" }, error.text));
  if (error.detail !== undefined) children.push(error.detail);
  return children;
}
