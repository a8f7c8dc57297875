/** A client's bound resource: what it sends goes to the router, what the router has for it goes onto its stream. */
import type { SessionEntry } from "../cluster/cluster.ts";
import type { Envelope } from "../module/api.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import type { Host } from "../router/hosts.ts";
import type { Router } from "../router/router.ts";
import type { LocalSession, Sessions } from "../router/sessions.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { StanzaError, type StreamCondition, StreamError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { checkStanza } from "../xmpp/stanza.ts";
import type { StanzaCounters } from "./counters.ts";

export interface SessionParts {
  readonly host: Host;
  readonly router: Router;
  readonly sessions: Sessions;
  readonly counters: StanzaCounters;
  /** Writes to the stream. */
  send(stanza: Element): void;
  close(error?: StreamError): void;
}

export class ClientSession implements LocalSession {
  readonly jid: Jid;
  readonly id: string;
  readonly marks: Set<string> = new Set();
  readonly #node: string;
  readonly #parts: SessionParts;
  #presence: Element | undefined;
  #priority: number | undefined;
  /** Whether the other nodes know what this session is like now. */
  #described = true;
  /** Settles once everyone who must know has heard that it has ended. */
  #farewell: Promise<void> | undefined;

  constructor(jid: Jid, id: string, node: string, parts: SessionParts) {
    this.jid = jid;
    this.id = id;
    this.#node = node;
    this.#parts = parts;
    this.#presence = undefined;
    this.#priority = undefined;
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
  get entry(): SessionEntry {
    return { jid: this.jid, id: this.id, node: this.#node, priority: this.#priority, marks: [...this.marks].sort() };
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

  /** One stanza from the client. Refusals are answered here; only a StreamError leaves. */
  receive(stanza: Element): MaybePromise<void> {
    const { router, host, counters } = this.#parts;
    if (stanza.xmlns !== NS.client || !counters.received(stanza.name)) throw new StreamError("unsupported-stanza-type");
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

  deliver(envelope: Envelope): MaybePromise<void> {
    const { filters } = this.#parts.host.type.hooks;
    return then(filters.userReceive.fire({ envelope, session: this }), (verdict) => {
      if (verdict === undefined) this.send(envelope.stanza);
      else if (verdict !== swallow) return this.#parts.router.refuse(envelope, verdict);
    });
  }

  send(stanza: Element): void {
    this.#parts.counters.sent(stanza.name);
    this.#parts.send(stanza);
  }

  close(condition?: StreamCondition, text = ""): void {
    this.#parts.close(condition === undefined ? undefined : new StreamError(condition, text));
  }

  replaced(): Promise<void> {
    const farewell = this.#retire();
    this.close("conflict", "Replaced by a new session");
    return farewell;
  }

  /** The stream is over. Settles when others have heard that it is unavailable, and the cluster that it is gone. */
  async ended(): Promise<void> {
    const farewell = this.#retire();
    await this.#parts.sessions.close(this);
    await farewell;
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
      stanza: stanza.with({ from: this.jid.full }),
    };
  }

  #sent(envelope: Envelope, verdict: Verdict): MaybePromise<void> {
    if (verdict === undefined) return this.#parts.router.route(envelope);
    if (verdict !== swallow) return this.#parts.router.refuse(envelope, verdict);
  }
}
