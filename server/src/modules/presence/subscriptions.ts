/** RFC 6121 3: requests to see an account's presence, and their answers, as they go out and come in. */
import type { AccountDirectory, Envelope, Router, SessionTable } from "../../module/api.ts";
import { seal } from "../../module/envelope.ts";
import { swallow, type Verdict } from "../../module/hooks.ts";
import type { MaybePromise } from "../../util/maybe-promise.ts";
import { StanzaError } from "../../xmpp/errors.ts";
import type { Jid } from "../../xmpp/jid.ts";
import type { SubscriptionType } from "../../xmpp/stanza.ts";
import { inbound, outbound, type SubscriptionState, type Transition } from "../../xmpp/subscription.ts";
import type { RosterApi, RosterChange, RosterItem } from "../roster.ts";
import type { DirectedPresence } from "./directed.ts";
import type { Probes } from "./probes.ts";
import { announcement, farewell } from "./words.ts";

export interface SubscriptionParts {
  readonly router: Router;
  readonly sessions: SessionTable;
  readonly accounts: AccountDirectory;
  readonly contacts: RosterApi;
  readonly probes: Probes;
  readonly directed: DirectedPresence;
  readonly settled: WeakSet<Envelope>;
  /** Bytes of a request, which is kept until it is answered. */
  readonly maxRequestSize: number;
}

export class Subscriptions {
  readonly #parts: SubscriptionParts;

  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
  }

  /** The client asks, allows, or takes back. */
  async send({ stanza, from, to }: Envelope, type: SubscriptionType): Promise<void> {
    const { contacts, router } = this.#parts;
    const account = from.toBare();
    const contact = to.toBare();
    if (stanza.attrs.to === undefined) throw new StanzaError("bad-request", "whose presence?");
    if (account.bare === contact.bare) return;

    const { change, passes } = await this.#move(account, contact, "", (item) => outbound(item, type));
    if (change.before.shared !== undefined) return this.#remind(account, contact, type);
    await contacts.push(account, contact, change);
    if (!passes) return;
    // RFC 6121 3.2.2: while the contact still has its subscription.
    if (type === "unsubscribed" && change.before.from === "yes") await this.#hide(account, contact);
    await router.route(seal(stanza, account, contact));
    if (type === "subscribed") await this.#show(account, contact);
  }

  /** From the other side: a contact asks, allows, or takes back. */
  async receive(envelope: Envelope, type: SubscriptionType): Promise<Verdict> {
    const { accounts, contacts, router, maxRequestSize } = this.#parts;
    const account = envelope.to.toBare();
    const contact = envelope.from.toBare();
    const stanza = envelope.stanza.with({ from: contact.full, to: account.full });
    if (!envelope.to.isBare) {
      // The account as a whole is meant.
      await router.route({ ...envelope, to: account, stanza });
      return swallow;
    }
    if (account.local === "") {
      if (type === "subscribe") await this.#welcome(account, contact);
      return swallow;
    }
    const request = stanza.toXml();
    if (type === "subscribe" && Buffer.byteLength(request) > maxRequestSize) {
      throw new StanzaError("not-acceptable", `a request has at most ${maxRequestSize} bytes`);
    }
    // RFC 6121 8.5.1.
    if (!(await accounts.exists(account))) return swallow;

    const moved = await this.#move(account, contact, request, (item) => inbound(item, type)).catch(ignoreRefusal);
    if (moved === undefined) return swallow;
    const { change, passes, reply } = moved;
    if (change.before.shared !== undefined) {
      if (type === "subscribe") await this.#announce("subscribed", account, contact);
      return swallow;
    }
    // RFC 6121 3.1.3: a request is for every available session.
    if (passes && type === "subscribe") return undefined;
    // RFC 6121 3.1.6, 3.2.3, 3.3.3: an answer is for those that keep the roster, and comes before the roster push.
    if (passes) await this.#tellInterested(account, { ...envelope, stanza });
    await contacts.push(account, contact, change);
    if (type === "unsubscribe" && change.before.from === "yes") await this.#hide(account, contact);
    if (reply !== undefined) await this.#announce(reply, account, contact);
    if (reply === "subscribed") await this.#show(account, contact);
    return swallow;
  }

  /** RFC 6121 2.5.2: the contact has been removed from the roster. */
  async removed(account: Jid, contact: Jid, before: RosterItem): Promise<void> {
    if (before.to !== "none") await this.#announce("unsubscribe", account, contact);
    if (before.from === "yes") await this.#hide(account, contact);
    if (before.from !== "none") await this.#announce("unsubscribed", account, contact);
  }

  /** Every available session of the account sends its presence to the contact. */
  async #show(account: Jid, contact: Jid): Promise<void> {
    for (const { jid, priority } of await this.#parts.sessions.locate(account)) {
      if (priority !== undefined) await this.#parts.probes.ask(jid, contact, "whole");
    }
  }

  /** Every available session of the account becomes unavailable to the contact. */
  async #hide(account: Jid, contact: Jid): Promise<void> {
    const { sessions, router, directed } = this.#parts;
    for (const { jid, priority } of await sessions.locate(account)) {
      if (priority === undefined) continue;
      await router.route(seal(farewell(), jid, contact));
      const session = sessions.at(jid);
      // What was shown directly is taken back by it as well.
      if (session !== undefined) directed.remove(session, contact);
    }
  }

  /** Colleagues see each other, whether they ask or not; a client that would take that back is shown that it stands. */
  async #remind(account: Jid, contact: Jid, type: SubscriptionType): Promise<void> {
    if (type === "subscribe" || type === "subscribed") return;
    const { contacts } = this.#parts;
    await contacts.push(account, contact, await contacts.change(account, contact, (item) => item, true));
  }

  /** A server is there for whoever asks. */
  async #welcome(host: Jid, asker: Jid): Promise<void> {
    await this.#announce("subscribed", host, asker);
    await this.#parts.router.route(seal(announcement("probe"), asker, host));
  }

  async #tellInterested(account: Jid, envelope: Envelope): Promise<void> {
    for (const { jid } of await this.#parts.contacts.interested(account)) {
      const copy = { ...envelope, to: jid };
      this.#parts.settled.add(copy);
      await this.#parts.router.route(copy);
    }
  }

  async #move(
    account: Jid,
    contact: Jid,
    request: string,
    step: (state: SubscriptionState) => Transition,
  ): Promise<Pick<Transition, "passes" | "reply"> & { change: RosterChange }> {
    let passes = false;
    let reply: SubscriptionType | undefined;
    const change = await this.#parts.contacts.change(account, contact, (item) => {
      if (item.shared !== undefined) return item;
      const transition = step(item);
      ({ passes, reply } = transition);
      const { to, from, approved } = transition.state;
      const asked = item.from === "pending" ? item.request : request;
      return {
        ...item,
        to,
        from,
        approved,
        listed: item.listed || approved || to !== "none" || from === "yes",
        request: from === "pending" ? asked : "",
      };
    });
    return { change, passes, reply };
  }

  #announce(type: SubscriptionType, account: Jid, contact: Jid): MaybePromise<void> {
    return this.#parts.router.route(seal(announcement(type), account, contact.toBare()));
  }
}

/** RFC 6121 3.1.3: a stranger does not learn which accounts exist, nor how many people they know. */
function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof StanzaError)) throw error;
}
