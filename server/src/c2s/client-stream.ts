/** A client's stream from its first byte to its last: negotiation, and the session once a resource is bound. */
import { ClusterError } from "../cluster/cluster.ts";
import type { Transport } from "../net/transport.ts";
import type { Host } from "../router/hosts.ts";
import type { Fact, NegotiatingStream, StreamFeature } from "../stream/feature.ts";
import type { StreamHeader } from "../stream/framing.ts";
import { type StreamOwner, XmppStream } from "../stream/stream.ts";
import { randomId } from "../util/ids.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { type StanzaCondition, StanzaError, StreamError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { register, visitorOf } from "./features/register.ts";
import type { StreamLogins } from "./login.ts";
import type { Carrier } from "./outlet.ts";
import type { ClientServices, ListenerPolicy } from "./services.ts";
import { ClientSession } from "./session.ts";
import { readCount, smFailed } from "./stream-management.ts";

/** The stream as its features see it. */
export interface ClientNegotiation extends NegotiatingStream {
  readonly transport: Transport;
  readonly host: Host;
  /** The bare JID that the client said it has, when it opened the stream; nothing proves it yet. */
  readonly from: Jid | undefined;
  /** The logins so far, once there was one. */
  sasl: StreamLogins | undefined;
  /** The mechanism the client chose last. */
  mechanism: string;
  /** Whom SASL found the peer to be; set once. */
  account: Jid | undefined;
  /** When what the client logged in with runs out, milliseconds since 1970. */
  expires: number;
  /** The session, once there is one. */
  readonly session: ClientSession | undefined;
  /** Makes a session. What it is sent waits until negotiation is done. Rejects with a StanzaError. */
  bind(jid: Jid): Promise<void>;
  /** XEP-0198 5: takes up the session that the request names. Rejects with a StreamError for a wrong `h`. */
  resume(request: Element): MaybePromise<Resumption>;
  /** XEP-0198 3, after `bind`: `<enabled/>` or `<failed/>`, from which on stanzas are counted. */
  enable(request: Element): Element;
}

export interface Resumption {
  /** `<resumed/>` or `<failed/>`, to be sent. */
  readonly answer: Element;
  /** If so the stream is bound with that; what the client has missed follows once negotiation is done. */
  readonly isResumed: boolean;
}

export class ClientStream implements StreamOwner<ClientNegotiation>, ClientNegotiation, Carrier {
  readonly transport: Transport;
  from: Jid | undefined = undefined;
  sasl: StreamLogins | undefined = undefined;
  mechanism = "none";
  expires = Number.POSITIVE_INFINITY;
  account: Jid | undefined = undefined;
  readonly #services: ClientServices;
  readonly #policy: ListenerPolicy;
  readonly #stream: XmppStream<ClientNegotiation>;
  readonly #gone = Promise.withResolvers<void>();
  #host: Host | undefined;
  #session: ClientSession | undefined;

  constructor(transport: Transport, services: ClientServices, policy: ListenerPolicy) {
    this.transport = transport;
    this.#services = services;
    this.#policy = policy;
    // The node's name leads, so that whoever reads a log or a trace knows where the stream lives.
    this.#stream = new XmppStream(() => `${services.nodeId}:${randomId()}`, transport, this, policy.limits);
  }

  /** Settles when the stream has ended and its session is out of the cluster. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }
  get negotiating(): ClientNegotiation {
    return this;
  }
  get facts(): ReadonlySet<Fact> {
    return this.#stream.facts;
  }
  get secure(): boolean {
    return this.facts.has("secure");
  }
  get lang(): string | undefined {
    return this.#stream.lang;
  }
  get domain(): string {
    return this.#services.hosts.first.domain;
  }
  get host(): Host {
    if (this.#host === undefined) throw new Error("the stream has no host before it is open");
    return this.#host;
  }

  get over(): boolean {
    return this.#stream.over;
  }

  send(element: Element): void {
    this.#stream.send(element);
  }

  close(error?: StreamError): void {
    this.#stream.close(error);
  }

  keepAlive(turn: number): void {
    // RFC 6120 13.7.2.3.
    if (Date.now() >= this.expires) this.close(new StreamError("reset", "the certificate of the log-in has run out"));
    else this.#stream.keepAlive(turn);
  }

  opened(header: StreamHeader): { domain: string; features: readonly StreamFeature<ClientNegotiation>[] } {
    const domain = header.to === undefined ? undefined : parseJid(header.to);
    const host = domain?.full === domain?.domain ? this.#services.hosts.get(domain?.domain ?? "") : undefined;
    // RFC 6120 4.9.3.6; and who has logged in stays with the host (4.3.3), while before TLS nothing was sure (5.4.3.3).
    const isElsewhere = this.facts.has("authenticated") && this.#host !== host;
    if (host === undefined || isElsewhere) throw new StreamError("host-unknown");
    this.#host = host;
    this.from = header.from === undefined ? undefined : parseJid(header.from)?.toBare();
    if (!this.facts.has("authenticated")) this.sasl = undefined;
    const ofModules = [...host.type.hooks.streamFeatures].map(announced);
    return { domain: host.domain, features: [...this.#policy.features, ...ofModules, ...this.#registration(host)] };
  }

  /** For some, and where they could also log in. */
  #registration({ type }: Host): readonly StreamFeature<ClientNegotiation>[] {
    const { registrar } = type.hooks;
    if (!registrar?.serves(visitorOf(this))) return [];
    return [register(registrar, this.#policy.features.find(({ xmlns }) => xmlns === NS.sasl)?.needs ?? [])];
  }

  get session(): ClientSession | undefined {
    return this.#session;
  }

  async bind(jid: Jid): Promise<void> {
    const { sessions, sessionParts, log } = this.#services;
    const session = new ClientSession(jid, randomId(), { ...sessionParts, host: this.host });
    try {
      await sessions.open(session);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      log.warn("session.not_claimed", { jid: jid.full, reason: error.message });
      throw new StanzaError("resource-constraint", "sessions cannot be opened now, try again later");
    }
    this.#session = session;
    if (this.#stream.over) {
      // The client left while its resource was being claimed.
      await session.end();
      return;
    }
    log.info("session.opened", this.#about({ jid: jid.full, session: session.id }));
    void this.host.type.hooks.notices.sessionOpened.tell({ session });
  }

  async resume(request: Element): Promise<Resumption> {
    const { resumptions, resumed, log } = this.#services;
    const { previd } = request.attrs;
    const h = readCount(request.attrs.h);
    const fail = (condition: StanzaCondition, known?: number) => {
      resumed("failed").inc();
      return { answer: smFailed(condition, known), isResumed: false };
    };
    if (previd === undefined || h === undefined) return fail("bad-request");
    const account = this.account as Jid;
    const session = resumptions.find(previd, account);
    const answer = await session?.resume(h);
    if (session === undefined || answer === undefined) {
      return fail("item-not-found", resumptions.lastCount(previd, account));
    }
    this.#session = session;
    // The client left meanwhile: the session goes on waiting.
    if (this.#stream.over) await session.left(this, true);
    resumed("resumed").inc();
    log.info("session.resumed", this.#about({ jid: session.jid.full, session: session.id }));
    return { answer, isResumed: true };
  }

  enable(request: Element): Element {
    return this.#session?.enable(request) ?? smFailed("unexpected-request");
  }

  established(): void {
    this.sasl = undefined;
    this.#session?.attach(this);
  }

  ahead(element: Element): boolean {
    return this.#session?.ahead(element) ?? false;
  }

  received(element: Element): MaybePromise<void> {
    return this.#session?.receive(element);
  }

  ended(error: StreamError | undefined, lost: boolean): void {
    this.#services.streams.delete(this);
    if (error !== undefined) this.#services.streamErrors(error.condition).inc();
    const session = this.#session;
    if (session === undefined) {
      this.#services.log.debug("stream.closed", this.#about({ condition: error?.condition, text: error?.text }));
      this.#gone.resolve();
      return;
    }
    void this.#leave(session, lost, error);
  }

  async #leave(session: ClientSession, lost: boolean, error: StreamError | undefined): Promise<void> {
    const { log } = this.#services;
    try {
      const left = session.left(this, lost);
      const event = session.isWaiting ? "session.detached" : "session.closed";
      log.info(event, this.#about({ jid: session.jid.full, condition: error?.condition }));
      await left;
    } catch (error) {
      log.warn("session.not_released", { jid: session.jid.full, error });
    }
    this.#gone.resolve();
  }

  failed(error: unknown): void {
    this.#services.log.error("stream.failed", this.#about({ error }));
  }

  #about(fields: object): object {
    return { stream: this.#stream.id, address: this.transport.address, ...fields };
  }
}

const announcements = new WeakMap<() => Element, StreamFeature<ClientNegotiation>>();

/** The same for every stream. */
function announced(advertise: () => Element): StreamFeature<ClientNegotiation> {
  const known = announcements.get(advertise) ?? announcement(advertise);
  announcements.set(advertise, known);
  return known;
}

/** A feature that a module only makes known: also to a client that binds with its login, and is told features after that. */
function announcement(advertise: () => Element): StreamFeature<ClientNegotiation> {
  return {
    xmlns: advertise().xmlns,
    needs: ["authenticated"],
    until: [],
    takes: () => false,
    advertise,
    negotiate: () => undefined,
  };
}
