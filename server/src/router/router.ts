/** Where every stanza goes; `docs/routing.md` tells its whole way. */
import { ClusterError, type SessionEntry } from "../cluster/cluster.ts";
import type { Envelope, IqMethods, Router as RouterApi } from "../module/api.ts";
import { seal } from "../module/envelope.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import type { Logger } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { StorageError } from "../storage/specs.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import { delayed, errorReply, iqResult, isRequest, mayBounce, messageType } from "../xmpp/stanza.ts";
import { BARE_AVAILABLE, BARE_UNAVAILABLE, type MessageFate, NO_SUCH_RESOURCE } from "./delivery-rules.ts";
import type { Host, Hosts } from "./hosts.ts";
import type { LocalSession, Sessions } from "./sessions.ts";

export class Router implements RouterApi {
  readonly #hosts: Hosts;
  readonly #sessions: Sessions;
  readonly #log: Logger;
  readonly #bounced: { inc(): void };

  constructor(hosts: Hosts, sessions: Sessions, log: Logger, metrics: Metrics) {
    this.#hosts = hosts;
    this.#sessions = sessions;
    this.#log = log;
    this.#bounced = metrics.counter("xmpp_stanzas_bounced_total", "Stanzas answered with an error.");
    sessions.whenMissed((envelope) => {
      void this.#settle(envelope, () => {
        const host = this.#hosts.get(envelope.to.domain);
        if (host !== undefined) return this.#deliver(host, envelope);
      });
    });
  }

  route(envelope: Envelope): MaybePromise<void> {
    return this.#settle(envelope, () => {
      const host = this.#hosts.get(envelope.to.domain);
      if (host === undefined) throw new StanzaError("remote-server-not-found");
      return then(host.type.hooks.filters.localDelivery.fire(envelope), (verdict) =>
        carryOn(verdict, () => this.#deliver(host, envelope)),
      );
    });
  }

  reroute(envelope: Envelope, session: Jid, at: number): MaybePromise<void> {
    return this.#settle(envelope, () => {
      const { stanza, to } = envelope;
      const host = this.#hosts.get(to.domain);
      if (stanza.name === "presence" || host === undefined) return;
      if (stanza.name === "iq") {
        if (isRequest(stanza)) throw new StanzaError("recipient-unavailable");
        return;
      }
      const type = messageType(stanza);
      if (type === "groupchat") throw new StanzaError("recipient-unavailable");
      if (type === "error" || type === "headline") return;
      const late = { ...envelope, stanza: delayed(stanza, host.domain, new Date(at)) };
      return then(this.#sessions.locate(to), (entries) => {
        const same = entries.find(({ jid }) => jid.resource === session.resource);
        return same === undefined ? this.#deliverMessage(host, late, entries) : this.#deliverToEach(late, [same]);
      });
    });
  }

  fanOut(presence: Element, from: Jid, to: readonly Jid[]): MaybePromise<void> {
    const reached: string[] = [];
    const waiting: Promise<void>[] = [];
    for (const each of to) {
      const envelope = seal(presence, from, each);
      const pending = this.#fanOne(envelope, reached);
      if (pending instanceof Promise) waiting.push(pending);
    }
    const tell = () => this.#sessions.fanOut(from, presence, reached);
    return waiting.length === 0 ? tell() : Promise.all(waiting).then(tell);
  }

  /** To the sessions of this node; `reached` gathers the addresses that the other nodes look for as well. */
  #fanOne(envelope: Envelope, reached: string[]): MaybePromise<void> {
    const { to, stanza } = envelope;
    const host = this.#hosts.get(to.domain);
    if (host === undefined || to.local === "") return this.route(envelope);
    return this.#settle(envelope, () =>
      then(host.type.hooks.filters.localDelivery.fire(envelope), (verdict) =>
        carryOn(verdict, () => {
          // Changed for this address alone, it goes by itself.
          if (envelope.stanza !== stanza) return this.#deliver(host, envelope);
          reached.push(to.bare);
          return this.#sessions.deliverHere(envelope);
        }),
      ),
    );
  }

  /** Answers a stanza with an error, if its kind may be answered so. */
  refuse(envelope: Envelope, error: unknown): MaybePromise<void> {
    const told = this.#refusal(envelope, error);
    if (!mayBounce(envelope.stanza)) return;
    this.#bounced.inc();
    const reply = errorReply(envelope.stanza, told, envelope.to.full, envelope.from.full);
    const { origin, from } = envelope;
    // Straight back to the client it came from: its session may not be in the table yet, or no longer.
    if (origin.kind === "client" && origin.session.jid.full === from.full) return origin.session.send(reply);
    return this.route(seal(reply, envelope.to, from));
  }

  /** What the sender is told; whatever is not a refusal is logged. */
  #refusal(envelope: Envelope, error: unknown): StanzaError {
    if (error instanceof StanzaError) return error;
    if (error instanceof ClusterError || error instanceof StorageError) {
      this.#log.warn("stanza.postponed", { to: envelope.to.bare, reason: error.message });
      return new StanzaError("resource-constraint", "a part of the service cannot be reached, try again later");
    }
    this.#log.error("stanza.failed", { to: envelope.to.bare, error });
    return new StanzaError("internal-server-error");
  }

  #settle(envelope: Envelope, run: () => MaybePromise<void>): MaybePromise<void> {
    try {
      const pending = run();
      return pending instanceof Promise ? pending.catch((error: unknown) => this.refuse(envelope, error)) : pending;
    } catch (error) {
      return this.refuse(envelope, error);
    }
  }

  #deliver(host: Host, envelope: Envelope): MaybePromise<void> {
    if (envelope.to.local === "") return this.#deliverToHost(host, envelope);
    if (envelope.to.resource === "") return this.#deliverToAccount(host, envelope);
    return this.#deliverToResource(envelope);
  }

  #deliverToHost(host: Host, envelope: Envelope): MaybePromise<void> {
    const { stanza } = envelope;
    if (stanza.name === "iq") return isRequest(stanza) ? this.#answer(host, "host", envelope) : undefined;
    if (stanza.name === "message" && messageType(stanza) !== "error") throw new StanzaError("service-unavailable");
  }

  /** RFC 6121 8.5.1 and 8.5.2. */
  #deliverToAccount(host: Host, envelope: Envelope): MaybePromise<void> {
    const { stanza, to } = envelope;
    if (stanza.name === "iq") return isRequest(stanza) ? this.#answer(host, "account", envelope) : undefined;
    return then(this.#sessions.locate(to), (entries) => {
      if (stanza.name === "message") return this.#deliverMessage(host, envelope, entries);
      return this.#deliverToEach(envelope, entries.filter(isAvailable));
    });
  }

  /** RFC 6121 8.5.3: whatever its type, a session with just this address gets it. */
  #deliverToResource(envelope: Envelope): MaybePromise<void> {
    const { to } = envelope;
    const session = this.#sessions.at(to);
    if (session !== undefined) return session.deliver(envelope, true);
    return then(this.#sessions.locate(to), (entries) => {
      const entry = entries.find(({ jid }) => jid.resource === to.resource);
      const elsewhere = entry !== undefined && this.#elsewhere(entry);
      return elsewhere ? this.#sessions.forward(entry, envelope, true) : this.#missing(envelope, entries);
    });
  }

  /** RFC 6121 8.5.3.2: no session has the address. */
  #missing(envelope: Envelope, entries: readonly SessionEntry[]): MaybePromise<void> {
    const { stanza, to } = envelope;
    if (stanza.name === "presence") return;
    const opening = this.#sessions.opening(to);
    if (opening !== undefined) return opening.then(() => this.#deliverToResource(envelope));
    if (stanza.name === "iq") {
      if (isRequest(stanza)) throw new StanzaError("service-unavailable");
      return;
    }
    const fate = NO_SUCH_RESOURCE[messageType(stanza)];
    const host = this.#hosts.get(to.domain);
    if (fate === "as-bare" && host !== undefined) return this.#deliverMessage(host, envelope, entries);
    if (fate === "error") throw new StanzaError("service-unavailable");
  }

  #deliverMessage(host: Host, envelope: Envelope, entries: readonly SessionEntry[]): MaybePromise<void> {
    const available = entries.filter(({ priority }) => priority !== undefined && priority >= 0);
    const rules = available.length > 0 ? BARE_AVAILABLE : BARE_UNAVAILABLE;
    const fate: MessageFate = rules[messageType(envelope.stanza)];
    switch (fate) {
      case "most-available": {
        const highest = Math.max(...available.map(({ priority }) => priority ?? 0));
        return this.#deliverToEach(
          envelope,
          available.filter(({ priority }) => priority === highest),
        );
      }
      case "all-available":
        return this.#deliverToEach(envelope, available);
      case "offline":
        return then(host.type.hooks.filters.offlineMessage.fire(envelope), (verdict) =>
          carryOn(verdict, () => {
            throw new StanzaError("service-unavailable");
          }),
        );
      case "error":
        throw new StanzaError("service-unavailable");
      case "ignore":
        return;
    }
  }

  #deliverToEach(envelope: Envelope, entries: readonly SessionEntry[]): MaybePromise<void> {
    const waiting = entries.map((entry) => {
      if (this.#elsewhere(entry)) return this.#sessions.forward(entry, envelope, entries.length === 1);
      return this.#local(entry)?.deliver(envelope, entries.length === 1);
    });
    if (!waiting.some((one) => one instanceof Promise)) return;
    return Promise.allSettled(waiting).then((outcomes) => {
      // One session that has it is enough; when every way failed the sender must hear.
      const failed = outcomes.filter((outcome) => outcome.status === "rejected");
      if (failed.length === outcomes.length) throw new StanzaError("recipient-unavailable");
    });
  }

  #answer(host: Host, addressee: "host" | "account", envelope: Envelope): MaybePromise<void> {
    const { stanza, from, to } = envelope;
    const payload = stanza.elements()[0] as Element;
    const methods: IqMethods | undefined = host.type.hooks.iqHandler(payload)?.[addressee];
    if (methods === undefined) throw new StanzaError("service-unavailable");
    const method = methods[stanza.attrs.type === "get" ? "get" : "set"];
    if (method === undefined) throw new StanzaError("not-allowed");
    const id = stanza.attrs.id ?? "";
    return then(method({ from, to, id, payload, origin: envelope.origin }), (answer) => {
      const reply = iqResult(stanza, to.full, from.full, answer);
      if (envelope.origin.kind === "client") return envelope.origin.session.send(reply);
      return this.route({ from: to, to: from, origin: { kind: "server" }, stanza: reply });
    });
  }

  #elsewhere(entry: SessionEntry): boolean {
    return this.#local(entry) === undefined && entry.node !== this.#sessions.nodeId;
  }

  #local(entry: SessionEntry): LocalSession | undefined {
    return this.#sessions.at(entry.jid);
  }
}

function isAvailable({ priority }: SessionEntry): boolean {
  return priority !== undefined;
}

function carryOn(verdict: Verdict, next: () => MaybePromise<void>): MaybePromise<void> {
  if (verdict === undefined) return next();
  if (verdict !== swallow) throw verdict;
}
