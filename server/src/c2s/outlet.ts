/**
 * The way from a session to its client: over whatever stream carries it now, through what XEP-0352 holds back and what
 * XEP-0198 keeps until it is acknowledged. While no stream carries the session, all that it is given is kept.
 */
import type { Envelope } from "../module/api.ts";
import { type Element, element } from "../xml/element.ts";
import { StreamError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";
import { HeldStanzas } from "./client-state.ts";
import type { StanzaCounters } from "./counters.ts";
import type { StreamManagement } from "./stream-management.ts";

/** The stream that carries a session. */
export interface Carrier {
  send(element: Element): void;
  close(error?: StreamError): void;
  /** Whether it takes nothing any more. */
  readonly over?: boolean;
  readonly secure?: boolean;
  /** Of what comes by it and names none. */
  readonly lang?: string | undefined;
  /** Settles when it has ended, and all that came by it is handled. */
  readonly gone: Promise<void>;
}

export interface OutletLimits {
  /** Unacknowledged stanzas, and bytes of them, beyond which senders wait; at twice as many the client is cut off. */
  readonly unackedStanzas: number;
  readonly unackedBytes: number;
  /** How long a sender waits at most, milliseconds. */
  readonly unackedWaitMs: number;
  /** An acknowledgement is asked for after so many stanzas, and after so many milliseconds. */
  readonly ackEvery: number;
  readonly ackAfterMs: number;
  /** How long the answer may take, milliseconds. */
  readonly ackTimeoutMs: number;
  readonly inactiveStanzas: number;
}

interface Item {
  readonly stanza: Element;
  readonly envelope: Envelope | undefined;
}

const REQUEST = element("r", NS.streamManagement);

export class Outlet {
  readonly #limits: OutletLimits;
  readonly #counters: StanzaCounters;
  #carrier: Carrier | undefined = undefined;
  #management: StreamManagement | undefined = undefined;
  /** What was given while nothing carried it and nothing kept it: before its first stream does, and after its last one. */
  #early: Item[] = [];
  #held: HeldStanzas<Item> | undefined = undefined;
  #unasked = 0;
  #askedAt: number | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #room: PromiseWithResolvers<void> | undefined = undefined;
  #patience: NodeJS.Timeout | undefined = undefined;

  constructor(limits: OutletLimits, counters: StanzaCounters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  get carrier(): Carrier | undefined {
    return this.#carrier;
  }

  get management(): StreamManagement | undefined {
    return this.#management;
  }

  /** From here on, what is sent is kept until it is acknowledged; also what was given early, which will be sent after. */
  manage(management: StreamManagement): void {
    this.#management = management;
    const early = this.#early;
    this.#early = [];
    for (const item of early) this.#write(item);
  }

  /** A stream carries it now: it gets what its client has not acknowledged, and what was given meanwhile. */
  attach(carrier: Carrier): void {
    this.#carrier = carrier;
    for (const { stanza } of this.#management?.unacked ?? []) carrier.send(stanza);
    this.#unasked = this.#management?.unacked.length ?? 0;
    if (this.#full) this.#ask();
    else this.#watch();
    const early = this.#early;
    this.#early = [];
    for (const item of early) this.#write(item);
  }

  /** Nothing carries it any more. */
  detach(): void {
    this.activate();
    this.#carrier = undefined;
    this.#askedAt = undefined;
    this.#unasked = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#makeRoom();
  }

  /** `envelope` is given for a stanza that has to go elsewhere should the client never take it. */
  send(stanza: Element, envelope?: Envelope): void {
    const item = { stanza, envelope };
    if (this.#held !== undefined) {
      if (this.#held.hold(item)) return;
      for (const held of this.#held.release()) this.#write(held);
    }
    this.#write(item);
  }

  /**
   * Undefined when there is room for more; else a promise that there is, or that waiting longer is no use. For a sender
   * that has waited for its turn `since` then, by `performance.now()`, that time counts.
   */
  room(since?: number): Promise<void> | undefined {
    if (!this.#full || this.#carrier === undefined) return undefined;
    const waited = since === undefined ? 0 : performance.now() - since;
    if (waited >= this.#limits.unackedWaitMs) return undefined;
    if (this.#room === undefined) {
      this.#room = Promise.withResolvers();
      this.#patience = setTimeout(() => this.#makeRoom(), this.#limits.unackedWaitMs - waited).unref();
    }
    this.#ask();
    return this.#room.promise;
  }

  /** Whether nothing carries it and it must not keep more. */
  get isOverfull(): boolean {
    return this.#carrier === undefined && this.#full;
  }

  /** Takes away all that the client may not have, in order; `at` is when it was given, milliseconds since 1970. */
  drain(): readonly { readonly envelope: Envelope | undefined; readonly at: number }[] {
    const early = this.#early.map(({ envelope }) => ({ envelope, at: Date.now() }));
    this.#early = [];
    return [...(this.#management?.drain() ?? []), ...early];
  }

  /** False for a count that is behind an earlier one, and says nothing. Throws a StreamError for one that cannot be. */
  acknowledge(h: number): boolean {
    if (this.#management?.acknowledge(h) !== true) return false;
    this.#askedAt = undefined;
    if (!this.#full) this.#makeRoom();
    else this.#ask();
    return true;
  }

  /** The user is not looking (XEP-0352). */
  deactivate(): void {
    if (this.#limits.inactiveStanzas > 0) this.#held ??= new HeldStanzas(this.#limits.inactiveStanzas);
  }

  activate(): void {
    const held = this.#held?.release() ?? [];
    this.#held = undefined;
    for (const item of held) this.#write(item);
  }

  #write({ stanza, envelope }: Item): void {
    const management = this.#management;
    const carrier = this.#carrier;
    if (management === undefined) {
      if (carrier === undefined || carrier.over === true) this.#early.push({ stanza, envelope });
      else this.#give(carrier, stanza);
      return;
    }
    management.sent({ stanza, envelope, at: Date.now(), size: stanza.toXml(NS.client).length });
    if (carrier === undefined) return;
    this.#give(carrier, stanza);
    if (
      management.unacked.length >= 2 * this.#limits.unackedStanzas ||
      management.bytes >= 2 * this.#limits.unackedBytes
    ) {
      carrier.close(new StreamError("connection-timeout", "too much is unacknowledged"));
    } else if (++this.#unasked >= this.#limits.ackEvery) this.#ask();
    else this.#watch();
  }

  #give(carrier: Carrier, stanza: Element): void {
    this.#counters.sent(stanza.name);
    carrier.send(stanza);
  }

  get #full(): boolean {
    const management = this.#management;
    if (management === undefined) return false;
    return management.unacked.length >= this.#limits.unackedStanzas || management.bytes >= this.#limits.unackedBytes;
  }

  #makeRoom(): void {
    clearTimeout(this.#patience);
    this.#room?.resolve();
    this.#room = undefined;
  }

  #ask(): void {
    if (this.#askedAt !== undefined || this.#carrier === undefined) return;
    this.#askedAt = performance.now();
    this.#unasked = 0;
    this.#carrier.send(REQUEST);
    this.#watch();
  }

  /** One timer while something is unacknowledged, not one a stanza. */
  #watch(): void {
    if (this.#timer !== undefined || (this.#management?.unacked.length ?? 0) === 0) return;
    this.#timer = setTimeout(() => this.#look(), this.#limits.ackAfterMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#askedAt !== undefined && performance.now() - this.#askedAt >= this.#limits.ackTimeoutMs) {
      this.#carrier?.close(new StreamError("connection-timeout", "no acknowledgement came"));
      return;
    }
    if (this.#unasked > 0) this.#ask();
    this.#watch();
  }
}
