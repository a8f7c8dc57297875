/** A bound resource: what its client sends is checked and stamped here, and what it gets leaves from here. */
import type { SessionEntry } from "../cluster/cluster.ts";
import type { Envelope } from "../module/api.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import type { Host } from "../router/hosts.ts";
import type { Router } from "../router/router.ts";
import type { LocalSession, Sessions } from "../router/sessions.ts";
import { unsupported } from "../stream/stream.ts";
import { randomId } from "../util/ids.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError, type StreamCondition, StreamError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { checkStanza } from "../xmpp/stanza.ts";
import type { StanzaCounters } from "./counters.ts";
import { type Carrier, Outlet, type OutletLimits } from "./outlet.ts";
import type { Resumptions } from "./resumptions.ts";
import { isTrue, readCount, StreamManagement, smFailed } from "./stream-management.ts";

export interface SessionLimits extends OutletLimits {
  /** How long a session waits for its client to come back, milliseconds; 0 for not at all. */
  readonly resumeForMs: number;
  /** "host:port" where a client reaches this node again, if there is such a place. */
  readonly resumeLocation: string | undefined;
}

export interface SessionParts {
  readonly nodeId: string;
  readonly host: Host;
  readonly router: Router;
  readonly sessions: Sessions;
  readonly resumptions: Resumptions;
  readonly counters: StanzaCounters;
  readonly limits: SessionLimits;
  /** Told when the session has ended while no stream carried it; not awaited. */
  expired(session: ClientSession): void;
}

export class ClientSession implements LocalSession {
  readonly jid: Jid;
  readonly id: string;
  readonly marks: Set<string> = new Set();
  readonly #parts: SessionParts;
  readonly #outlet: Outlet;
  #presence: Element | undefined = undefined;
  #priority: number | undefined = undefined;
  /** Whether the other nodes know what this session is like now. */
  #described = true;
  /** Settles once everyone who must know has heard that it has ended. */
  #farewell: Promise<void> | undefined = undefined;
  /** Settles once it has ended and all that it could not pass on has gone elsewhere. */
  #over: Promise<void> | undefined = undefined;
  /** Settles once another session has this one's address, if one takes it. */
  #successor: Promise<void> | undefined = undefined;
  /** The stanza that waits for room, or for a filter; those behind it wait for it. */
  #turn: Promise<void> | undefined = undefined;
  #waiting = 0;
  /** What came too late for it, in order; undefined once all that it could not pass on has gone elsewhere. */
  #stranded: { readonly envelope: Envelope; readonly at: number }[] | undefined = [];
  /** Its client has come back on another stream, which does not carry it yet. */
  #isResuming = false;
  #expiry: NodeJS.Timeout | undefined = undefined;

  constructor(jid: Jid, id: string, parts: SessionParts) {
    this.jid = jid;
    this.id = id;
    this.#parts = parts;
    this.#outlet = new Outlet(parts.limits, parts.counters);
  }

  get priority(): number | undefined {
    return this.#priority;
  }
  get presence(): Element | undefined {
    return this.#presence;
  }
  get available(): boolean {
    return this.#priority !== undefined;
  }
  get secure(): boolean {
    return this.#outlet.carrier?.secure ?? false;
  }
  get entry(): SessionEntry {
    const { nodeId } = this.#parts;
    return { jid: this.jid, id: this.id, node: nodeId, priority: this.#priority, marks: [...this.marks].sort() };
  }

  /** Whether it waits for its client to come back, and has not ended. */
  get isWaiting(): boolean {
    return this.isDetached && this.#over === undefined;
  }
  /** Whether no stream carries it now. */
  get isDetached(): boolean {
    return this.#outlet.carrier === undefined;
  }

  /** Whether stream management is enabled. */
  get isManaged(): boolean {
    return this.#outlet.management !== undefined;
  }

  announce(presence: Element | undefined, priority: number | undefined): MaybePromise<void> {
    // What a client said before it was cut off is still handled, but it cannot come back to life by it.
    if (this.#farewell !== undefined) return;
    const same = priority === this.#priority && this.#described;
    this.#presence = presence;
    this.#priority = priority;
    return same ? undefined : this.#describe();
  }

  mark(name: string): MaybePromise<void> {
    if (this.#farewell !== undefined || (this.marks.has(name) && this.#described)) return;
    this.marks.add(name);
    return this.#describe();
  }

  /** What need not wait for the stanzas before it: an acknowledgement, which is what others may be waiting for. */
  ahead(element: Element): boolean {
    if (element.xmlns !== NS.streamManagement || element.name !== "a") return false;
    const h = readCount(element.attrs.h);
    if (h === undefined) throw new StreamError("policy-violation", "an acknowledgement has a number");
    this.#outlet.acknowledge(h);
    return true;
  }

  /** One element from the client. Refusals of stanzas are answered here; only a StreamError leaves. */
  receive(element: Element): MaybePromise<void> {
    if (element.xmlns !== NS.client) return this.#receiveNonza(element);
    const pending = this.#receiveStanza(element);
    const { management } = this.#outlet;
    if (management === undefined) return pending;
    return then(pending, () => management.handled());
  }

  /** XEP-0198 3; returns `<enabled/>` or `<failed/>`. */
  enable(request: Element): Element {
    const { limits, resumptions, nodeId } = this.#parts;
    if (this.#outlet.management !== undefined) return smFailed("unexpected-request");
    const wanted = request.attrs.max;
    const maxMs = wanted !== undefined && /^\d{1,9}$/.test(wanted) ? Number(wanted) * 1000 : limits.resumeForMs;
    const resumeForMs = Math.min(maxMs, limits.resumeForMs);
    if (!isTrue(request.attrs.resume) || resumeForMs === 0) {
      this.#outlet.manage(new StreamManagement("", 0));
      return element("enabled", NS.streamManagement);
    }
    const management = new StreamManagement(`${nodeId}:${randomId()}`, resumeForMs);
    this.#outlet.manage(management);
    resumptions.add(management.id, this);
    const attrs: Record<string, string> = {
      id: management.id,
      resume: "true",
      max: `${Math.ceil(resumeForMs / 1000)}`,
    };
    if (limits.resumeLocation !== undefined) attrs.location = limits.resumeLocation;
    return element("enabled", NS.streamManagement, attrs);
  }

  /**
   * The client has come back on another stream and has `h` stanzas. A stream that still carries the session is closed;
   * all that came by it is handled when this settles, with `<resumed/>`, or undefined when the session has ended.
   * Rejects with a StreamError for a wrong `h`.
   */
  async resume(h: number): Promise<Element | undefined> {
    const { management, carrier } = this.#outlet;
    if (management === undefined || this.#over !== undefined || this.#isResuming) return undefined;
    this.#isResuming = true;
    clearTimeout(this.#expiry);
    if (carrier !== undefined) {
      // XEP-0198 5.
      carrier.close(new StreamError("conflict", "resumed on another stream"));
      await carrier.gone;
    }
    if (this.#farewell !== undefined) {
      // Replaced meanwhile; no stream is left to end it.
      if (this.#over === undefined) this.#expire();
      return undefined;
    }
    try {
      if (!this.#outlet.acknowledge(h)) {
        // The client has gone back behind what it said it has, and that is kept no longer.
        this.#expire();
        return undefined;
      }
    } catch (error) {
      this.#wait(management.resumeForMs);
      throw error;
    }
    return element("resumed", NS.streamManagement, { previd: management.id, h: `${management.h}` });
  }

  /** A stream carries it from here on. */
  attach(carrier: Carrier): void {
    const isBack = this.#isResuming;
    this.#isResuming = false;
    if (this.#farewell !== undefined) {
      // It has ended while nothing carried it.
      const wasReplaced = this.#successor !== undefined;
      carrier.close(new StreamError(wasReplaced ? "conflict" : "reset", "the session has ended"));
      return;
    }
    this.#outlet.attach(carrier);
    if (isBack) void this.#parts.host.type.hooks.notices.sessionResumed.tell({ session: this });
  }

  /** The stream that was to carry it, or did, is over; `lost` when its client may come back. Settles when it has ended, or waits. */
  async left(carrier: Carrier, lost: boolean): Promise<void> {
    const present = this.#outlet.carrier;
    if (present !== undefined && present !== carrier) return;
    this.#outlet.detach();
    if (present === carrier && this.#isResuming) return;
    const { management } = this.#outlet;
    if (!lost || management?.resumable !== true || this.#farewell !== undefined) return this.end();
    this.#wait(management.resumeForMs);
    void this.#parts.host.type.hooks.notices.sessionDetached.tell({ session: this });
  }

  /** Never rejects. `alone` says that nobody else gets the stanza. */
  deliver(envelope: Envelope, alone: boolean): MaybePromise<void> {
    const passed = this.#passInTurn(envelope, alone);
    if (passed === undefined && this.#over === undefined) return;
    return then(passed, () => this.#afterwards(envelope, alone));
  }

  #passInTurn(envelope: Envelope, alone: boolean): MaybePromise<void> {
    const turn = this.#turn;
    const pending = turn === undefined ? this.#pass(envelope, alone) : this.#passAfter(turn, envelope, alone);
    return pending instanceof Promise ? this.#follow(pending) : undefined;
  }

  /** What comes after waits for it. */
  #follow(pending: Promise<void>): Promise<void> {
    this.#waiting++;
    // A node at the other end of the bus cannot be held up: what waits has a bound.
    if (this.#waiting > 2 * this.#parts.limits.unackedStanzas) this.#cut();
    const done = pending.finally(() => {
      this.#waiting--;
      if (this.#turn === done) this.#turn = undefined;
    });
    this.#turn = done;
    return done;
  }

  send(stanza: Element): void {
    const turn = this.#turn;
    if (turn === undefined) this.#outlet.send(stanza);
    // An answer comes after what was said before it.
    else void this.#follow(turn.then(() => this.#outlet.send(stanza)));
  }

  clientActive(): void {
    this.#outlet.activate();
  }

  clientInactive(): void {
    this.#outlet.deactivate();
  }

  close(condition?: StreamCondition, text = ""): void {
    const { carrier } = this.#outlet;
    if (carrier === undefined) this.#expire();
    else carrier.close(condition === undefined ? undefined : new StreamError(condition, text));
  }

  replaced(successor: Promise<void>): Promise<void> {
    this.#successor = successor;
    const farewell = this.#retire();
    this.close("conflict", "Replaced by a new session");
    return farewell;
  }

  end(): Promise<void> {
    this.#over ??= this.#finish();
    return this.#over;
  }

  /** Others hear that it is unavailable, the cluster that it is gone, and what it could not pass on goes elsewhere. */
  async #finish(): Promise<void> {
    clearTimeout(this.#expiry);
    const farewell = this.#retire();
    const { sessions, resumptions, router } = this.#parts;
    const { management } = this.#outlet;
    if (management?.resumable) resumptions.remove(management.id, this, management.h);
    this.#outlet.detach();
    try {
      await sessions.close(this);
    } finally {
      await farewell;
      await this.#successor;
      const stranded = this.#stranded ?? [];
      for (const { envelope, at } of this.#outlet.drain()) {
        if (envelope !== undefined) await router.reroute(envelope, this.jid, at);
      }
      // While this goes on there may come more.
      for (const { envelope, at } of stranded) await router.reroute(envelope, this.jid, at);
      this.#stranded = undefined;
    }
  }

  #wait(ms: number): void {
    this.#isResuming = false;
    this.#expiry = setTimeout(() => this.#expire(), ms).unref();
  }

  #expire(): void {
    this.#parts.expired(this);
  }

  #cut(): void {
    const { carrier } = this.#outlet;
    if (carrier === undefined) this.#expire();
    else carrier.close(new StreamError("connection-timeout", "too many stanzas wait for this client"));
  }

  #retire(): Promise<void> {
    if (this.#farewell !== undefined) return this.#farewell;
    const lastPresence = this.available ? this.#presence : undefined;
    this.#presence = undefined;
    this.#priority = undefined;
    this.#farewell = this.#parts.host.type.hooks.notices.sessionClosed.tell({ session: this, lastPresence });
    return this.#farewell;
  }

  /** Should the cluster not hear of it, the next presence tries again. */
  #describe(): MaybePromise<void> {
    this.#described = false;
    return then(this.#parts.sessions.describe(this), () => {
      this.#described = true;
    });
  }

  #receiveStanza(stanza: Element): MaybePromise<void> {
    const { router, host, counters } = this.#parts;
    if (!counters.received(stanza.name)) throw new StreamError("unsupported-stanza-type");
    const envelope = this.#seal(stanza);
    try {
      if (envelope.to === undefined) throw new StanzaError("jid-malformed");
      checkStanza(stanza);
    } catch (error) {
      return router.refuse({ ...envelope, to: this.jid.toBare() }, error);
    }
    const whole = envelope as Envelope;
    return then(host.type.hooks.filters.userSend.fire(whole), (verdict) => this.#sent(whole, verdict));
  }

  /** Elements of the stream that are no stanzas, and are not counted as such. */
  #receiveNonza(request: Element): void {
    const { carrier, management } = this.#outlet;
    switch (`${request.xmlns} ${request.name}`) {
      case `${NS.clientState} active`:
        this.clientActive();
        return;
      case `${NS.clientState} inactive`:
        this.clientInactive();
        return;
      case `${NS.streamManagement} r`:
        if (management === undefined) throw new StreamError("policy-violation", "stream management is not enabled");
        carrier?.send(element("a", NS.streamManagement, { h: `${management.h}` }));
        return;
      case `${NS.streamManagement} enable`: {
        const isFirst = management === undefined;
        carrier?.send(this.enable(request));
        // XEP-0198 3: at most one attempt.
        if (!isFirst) throw new StreamError("policy-violation", "stream management is enabled already");
        return;
      }
      case `${NS.streamManagement} resume`:
        carrier?.send(smFailed("unexpected-request"));
        return;
      default:
        throw unsupported(request);
    }
  }

  #passAfter(turn: Promise<void>, envelope: Envelope, alone: boolean): Promise<void> {
    const since = performance.now();
    return turn.then(() => this.#pass(envelope, alone, since));
  }

  #pass(envelope: Envelope, alone: boolean, since?: number): MaybePromise<void> {
    const { filters } = this.#parts.host.type.hooks;
    return then(filters.userReceive.fire({ envelope, session: this }), (verdict) => {
      if (verdict === undefined) return this.#hand(envelope, alone, since);
      if (verdict !== swallow) return this.#parts.router.refuse(envelope, verdict);
    });
  }

  #hand(envelope: Envelope, alone: boolean, since: number | undefined): MaybePromise<void> {
    const room = this.#outlet.room(since);
    if (room !== undefined) return room.then(() => this.#give(envelope, alone));
    return this.#give(envelope, alone);
  }

  #give(envelope: Envelope, alone: boolean): MaybePromise<void> {
    if (this.#outlet.isOverfull) this.#expire();
    if (this.#over === undefined) {
      const isKept = alone && envelope.stanza.name !== "presence";
      this.#outlet.send(envelope.stanza, isKept ? envelope : undefined);
      return;
    }
    if (!alone) return;
    // What came before goes elsewhere first. Those behind do not wait: the good-byes that the end waits for may be there.
    if (this.#stranded === undefined) return this.#parts.router.reroute(envelope, this.jid, Date.now());
    this.#stranded.push({ envelope, at: Date.now() });
  }

  /** Whoever writes to a session that ends goes on when all has gone elsewhere, or what it says next would overtake that. */
  #afterwards({ stanza }: Envelope, alone: boolean): MaybePromise<void> {
    if (alone && stanza.name !== "presence") return this.#over?.catch(() => {});
  }

  /** RFC 6120 8.1.2.1: the sender is the session, whatever it wrote, and what it wrote must not contradict that. */
  #seal(stanza: Element): Omit<Envelope, "to"> & { readonly to: Jid | undefined } {
    const written = stanza.attrs.from;
    if (written !== undefined && written !== this.jid.full && written !== this.jid.bare) {
      const from = parseJid(written);
      if (from?.full !== this.jid.full && from?.full !== this.jid.bare) throw new StreamError("invalid-from");
    }
    const address = stanza.attrs.to;
    return {
      from: this.jid,
      to: address === undefined ? this.jid.toBare() : parseJid(address),
      origin: { kind: "client", session: this },
      stanza: stanza.with(this.#stamp(stanza)),
    };
  }

  /** RFC 6120 4.7.4, 8.1.5: who gets the stanza does not see in which language its stream was opened. */
  #stamp(stanza: Element): Readonly<Record<string, string>> {
    const lang = this.#outlet.carrier?.lang;
    if (lang === undefined || stanza.attrs["xml:lang"] !== undefined) return { from: this.jid.full };
    return { from: this.jid.full, "xml:lang": lang };
  }

  #sent(envelope: Envelope, verdict: Verdict): MaybePromise<void> {
    if (verdict === undefined) return this.#parts.router.route(envelope);
    if (verdict !== swallow) return this.#parts.router.refuse(envelope, verdict);
  }
}
