/** RFC 6121 3 and 4: who sees whom, and the broadcasts, probes and subscriptions by which they do. */
import { z } from "zod";
import { defineModule, type Envelope, type Session } from "../module/api.ts";
import { seal } from "../module/envelope.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import { map } from "../storage/specs.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { CHECKED_BEFORE } from "../xml/limits.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { isSubscription, presencePriority, presenceType } from "../xmpp/stanza.ts";
import { DirectedPresence, type KeptDirected } from "./presence/directed.ts";
import { LEFT, Probes } from "./presence/probes.ts";
import { Subscriptions } from "./presence/subscriptions.ts";
import { farewell } from "./presence/words.ts";
import { type RosterItem, roster } from "./roster.ts";

const config = z.strictObject({
  /** Directed presences that one session may have out; beyond it the oldest is forgotten (it hears no good-bye). */
  max_directed: z.int().min(1).max(10_000).default(1000),
  /** Whether they are kept in the store, so that the good-byes of a dead node's sessions are said by another node. */
  keep_directed: z.boolean().default(true),
  /** Bytes of a request to subscribe, which is kept until it is answered. */
  max_request_size: z.int().min(256).max(262_144).default(16_384),
});

export const presence = defineModule({
  name: "presence",
  implements: [{ rfc: 6121 }],
  config,
  stores: { directed: map<KeptDirected>("directed_presence"), lastSeen: map<number>("last_presence") },
  requires: [roster],

  start({ config: limits, stores, sessions, accounts, router, clock, log, filter, on, use }) {
    const contacts = use(roster);
    /** On its way to one session, all that the account as a whole had to do with it being done. */
    const settled = new WeakSet<Envelope>();
    const directed = new DirectedPresence(limits.keep_directed ? stores.directed : undefined, limits.max_directed, log);
    const shared = { router, sessions, accounts, contacts, directed, settled };
    const serves = (domain: string) => accounts.serves(domain);
    const probes = new Probes({ ...shared, serves, lastSeen: stores.lastSeen });
    const subscriptions = new Subscriptions({ ...shared, probes, maxRequestSize: limits.max_request_size });

    filter("userSend", "record", (envelope) => {
      const { stanza, origin } = envelope;
      if (stanza.name !== "presence" || origin.kind !== "client") return;
      const type = presenceType(stanza);
      if (type === undefined) return new StanzaError("bad-request", "there is no such type of presence");
      if (isSubscription(type)) return silently(subscriptions.send(envelope, type));
      const isBroadcast = stanza.attrs.to === undefined;
      if (type === "available") return isBroadcast ? silently(available(origin.session, stanza)) : direct(envelope);
      if (type === "unavailable") return isBroadcast ? silently(unavailable(origin.session, stanza)) : direct(envelope);
      return isBroadcast ? swallow : undefined;
    });

    filter("localDelivery", "record", (envelope) => {
      if (envelope.stanza.name !== "presence" || settled.has(envelope)) return;
      const type = presenceType(envelope.stanza);
      if (isSubscription(type)) return subscriptions.receive(envelope, type);
      if (type === "probe") return probes.isQuestion(envelope) ? undefined : probes.answer(envelope);
      return;
    });

    filter("userReceive", "record", ({ envelope, session }) => {
      if (envelope.stanza.name !== "presence") return;
      const type = presenceType(envelope.stanza);
      if (type === "probe") return probes.reply(envelope, session);
      if (type === "available") probes.heard(session, envelope.from);
      // RFC 6121 4.6.1: who has gone needs no good-bye, nor does who cannot be reached.
      if (type === "unavailable" || type === "error") directed.remove(session, envelope.from);
      return;
    });

    on("sessionClosed", ({ session, lastPresence }) =>
      depart(session, farewell(), lastPresence !== undefined, directed.take(session)),
    );

    on("sessionLost", async ({ jid, available }) => {
      const lost = await directed.takeLost(jid.toBare(), await sessions.locate(jid), jid.resource);
      await depart({ jid, id: "" }, farewell(), available, lost.get(jid.resource) ?? []);
    });

    contacts.whenRemoved((account, contact, before) => subscriptions.removed(account, contact, before));

    /** RFC 6121 4.2 and 4.4. */
    async function available(session: Session, stanza: Element): Promise<void> {
      const priority = presencePriority(stanza);
      if (priority === undefined) throw new StanzaError("bad-request", "a priority is an integer from -128 to 127");
      const isFirst = !session.available;
      await session.announce(stanza, priority);
      const items = await contacts.list(session.jid);
      // Replaced meanwhile: others have heard, or will, that it is gone.
      if (!session.available) return;
      await broadcast(session.jid, stanza, items);
      if (isFirst) await greet(session, items);
    }

    /** What a client is told once it has come online: presence of its other sessions and its contacts, open requests. */
    async function greet(session: Session, items: ReadonlyMap<string, RosterItem>): Promise<void> {
      for (const { jid, priority } of await sessions.locate(session.jid)) {
        if (priority !== undefined && jid.full !== session.jid.full) await probes.ask(jid, session.jid, "whole");
      }
      await probes.gather(session, contactsOf(items, "to"));
      for (const { from, request } of items.values()) {
        // RFC 6121 3.1.3: until it is answered, with whatever it carried.
        if (from === "pending" && request !== "") session.send(parseElement(Buffer.from(request), CHECKED_BEFORE));
      }
    }

    /** RFC 6121 4.5. */
    async function unavailable(session: Session, stanza: Element): Promise<void> {
      const wasAvailable = session.available;
      // First of all, so that no contact who comes online just now is still shown the old presence.
      await session.announce(undefined, undefined);
      if (wasAvailable) await router.route(seal(stanza, session.jid, session.jid));
      await depart(session, stanza, wasAvailable, directed.take(session));
    }

    /** Others hear that a session is gone: those who see the account if it was available, and whom it showed itself to. */
    async function depart(
      { jid, id }: Pick<Session, "jid" | "id">,
      stanza: Element,
      wasAvailable: boolean,
      shownTo: readonly Jid[],
    ): Promise<void> {
      const told = new Set<string>();
      if (wasAvailable) {
        const items = await contacts.list(jid);
        const others = (await sessions.locate(jid)).filter((each) => each.id !== id && each.priority !== undefined);
        // If another has taken its address and spoken, the word would be wrong.
        const isBack = others.some((each) => each.jid.full === jid.full);
        // A session may outlive its account by a moment, and whoever has the name next must find nothing.
        if (others.length === 0 && (await accounts.exists(jid))) await stores.lastSeen.set(jid, LEFT, clock.seconds());
        if (!isBack) await broadcast(jid, stanza, items);
        told.add(jid.bare);
        for (const contact of contactsOf(items, "from")) told.add(contact.bare);
      }
      await Promise.all(shownTo.filter(({ bare }) => !told.has(bare)).map((to) => router.route(seal(stanza, jid, to))));
    }

    /** Says the good-byes that sessions of this account owe from a day when the last node died. */
    async function settleOld(account: Jid): Promise<void> {
      for (const [resource, shownTo] of await directed.takeLost(account, await sessions.locate(account))) {
        await depart({ jid: account.withResource(resource), id: "" }, farewell(), false, shownTo);
      }
    }

    async function broadcast(from: Jid, stanza: Element, items: ReadonlyMap<string, RosterItem>): Promise<void> {
      await router.fanOut(stanza, from, [from.toBare(), ...contactsOf(items, "from")]);
    }

    /** RFC 6121 4.6.3: it goes its way like any stanza, and is remembered for the day the session ends. */
    function direct({ stanza, to, origin }: Envelope): MaybePromise<Verdict> {
      if (origin.kind !== "client") return;
      if (presenceType(stanza) !== "available") directed.remove(origin.session, to);
      // What nobody was left to settle is settled when the account next shows itself to someone.
      else if (directed.add(origin.session, to)) void settleOld(origin.session.jid.toBare()).catch(failed);
    }

    function failed(error: unknown): void {
      log.warn("directed_presence.not_settled", { error });
    }
  },
});

/** The contacts who see the account ("from"), or whom it sees ("to"). */
function contactsOf(items: ReadonlyMap<string, RosterItem>, half: "to" | "from"): Jid[] {
  const contacts: Jid[] = [];
  for (const [bare, item] of items) {
    const contact = item[half] === "yes" ? parseJid(bare) : undefined;
    if (contact !== undefined) contacts.push(contact);
  }
  return contacts;
}

/** The filter has done all there is to do. */
function silently(done: MaybePromise<void>): MaybePromise<Verdict> {
  return done instanceof Promise ? done.then(() => swallow) : swallow;
}
