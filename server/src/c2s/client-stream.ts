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
import { StanzaError, StreamError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import type { SaslNegotiation } from "../xmpp/sasl/negotiation.ts";
import type { ClientServices, ListenerPolicy } from "./services.ts";
import { ClientSession } from "./session.ts";

/** The stream as its features see it. */
export interface ClientNegotiation extends NegotiatingStream {
  readonly transport: Transport;
  readonly host: Host;
  /** The SASL negotiation, once it has begun. */
  sasl: SaslNegotiation | undefined;
  /** The mechanism the client chose last. */
  mechanism: string;
  /** Whom SASL found the peer to be; set once. */
  account: Jid | undefined;
  bind(jid: Jid): Promise<void>;
}

export class ClientStream implements StreamOwner<ClientNegotiation>, ClientNegotiation {
  readonly transport: Transport;
  sasl: SaslNegotiation | undefined = undefined;
  mechanism = "none";
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
  get host(): Host {
    if (this.#host === undefined) throw new Error("the stream has no host before it is open");
    return this.#host;
  }

  send(element: Element): void {
    this.#stream.send(element);
  }

  close(error?: StreamError): void {
    this.#stream.close(error);
  }

  keepAlive(): void {
    this.#stream.keepAlive();
  }

  opened(header: StreamHeader): { domain: string; features: readonly StreamFeature<ClientNegotiation>[] } {
    const domain = header.to === undefined ? undefined : parseJid(header.to);
    const host = domain?.full === domain?.domain ? this.#services.hosts.get(domain?.domain ?? "") : undefined;
    // RFC 6120 4.9.3.6; and a restarted stream stays with its host (4.3.3).
    if (host === undefined || (this.#host !== undefined && this.#host !== host)) throw new StreamError("host-unknown");
    this.#host = host;
    const ofModules = [...host.type.hooks.streamFeatures].map(announcement);
    return { domain: host.domain, features: [...this.#policy.features, ...ofModules] };
  }

  async bind(jid: Jid): Promise<void> {
    const { sessions, router, counters, nodeId } = this.#services;
    const session = new ClientSession(jid, randomId(), nodeId, {
      host: this.host,
      router,
      sessions,
      counters,
      send: (stanza) => this.#stream.send(stanza),
      close: (error) => this.#stream.close(error),
    });
    try {
      await sessions.open(session);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.#services.log.warn("session.not_claimed", { jid: jid.full, reason: error.message });
      throw new StanzaError("resource-constraint", "sessions cannot be opened now, try again later");
    }
    this.#session = session;
    if (this.#stream.over) {
      // The client left while its resource was being claimed.
      await session.ended();
      return;
    }
    this.#services.log.info("session.opened", this.#about({ jid: jid.full, session: session.id }));
    void this.host.type.hooks.notices.sessionOpened.tell({ session });
  }

  received(element: Element): MaybePromise<void> {
    return this.#session?.receive(element);
  }

  ended(error: StreamError | undefined): void {
    this.#services.streams.delete(this);
    if (error !== undefined) this.#services.streamErrors(error.condition).inc();
    const session = this.#session;
    if (session === undefined) {
      this.#services.log.debug("stream.closed", this.#about({ condition: error?.condition, text: error?.text }));
      this.#gone.resolve();
      return;
    }
    this.#services.log.info("session.closed", this.#about({ jid: session.jid.full, condition: error?.condition }));
    void this.#release(session);
  }

  async #release(session: ClientSession): Promise<void> {
    try {
      await session.ended();
    } catch (error) {
      this.#services.log.warn("session.not_released", { jid: session.jid.full, error });
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

/** A feature that a module only makes known. */
function announcement(advertise: () => Element): StreamFeature<ClientNegotiation> {
  return {
    xmlns: advertise().xmlns,
    needs: ["authenticated"],
    until: ["bound"],
    takes: () => false,
    advertise,
    negotiate: () => undefined,
  };
}
