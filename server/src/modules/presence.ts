/** RFC 6121 3 and 4: who sees whom, and the broadcasts, probes and subscriptions by which they do. */
import { z } from "zod";
import { defineModule, type Envelope, type Session } from "../module/api.ts";
import { seal } from "../module/envelope.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type Element, element } from "../xml/element.ts";
import { CHECKED_BEFORE } from "../xml/limits.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { isSubscription, presencePriority, presenceType, type SubscriptionType } from "../xmpp/stanza.ts";
import { inbound, outbound, type SubscriptionState, type Transition } from "../xmpp/subscription.ts";
import { type RosterChange, type RosterItem, roster } from "./roster.ts";

const config = z.strictObject({
  /** Directed presences that one session may have out; beyond it the oldest is forgotten (it hears no good-bye). */
  max_directed: z.int().min(1).max(100_000).default(1000),
  /** Bytes of a request to subscribe, which is kept until it is answered. */
  max_request_size: z.int().min(256).max(262_144).default(16_384),
});

export const presence = defineModule({
  name: "presence",
  implements: [{ rfc: 6121 }],
  config,
  requires: [roster],

  start({ config: limits, sessions, accounts, router, filter, on, use }) {
    const contacts = use(roster);
    /** Whom a session sent presence of its own accord, and owes a good-bye (RFC 6121 4.6). */
    const directed = new WeakMap<Session, Map<string, Jid>>();
    /** On its way to one session, all that the account as a whole had to do with it being done. */
    const settled = new WeakSet<Envelope>();

    filter("userSend", "record", (envelope) => {
      const { stanza, origin } = envelope;
      if (stanza.name !== "presence" || origin.kind !== "client") return;
      const type = presenceType(stanza);
      if (type === undefined) return new StanzaError("bad-request", "there is no such type of presence");
      if (isSubscription(type)) return silently(sendSubscription(envelope, type));
      const isBroadcast = stanza.attrs.to === undefined;
      if (type === "available") return isBroadcast ? silently(available(origin.session, stanza)) : direct(envelope);
      if (type === "unavailable") return isBroadcast ? silently(unavailable(origin.session, stanza)) : direct(envelope);
      return isBroadcast ? swallow : undefined;
    });

    filter("localDelivery", "record", (envelope) => {
      const { stanza, to } = envelope;
      if (stanza.name !== "presence" || to.local === "" || settled.has(envelope)) return;
      const type = presenceType(stanza);
      if (isSubscription(type)) return receiveSubscription(envelope, type);
      if (type === "probe") return answerProbe(envelope);
      return;
    });

    filter("userReceive", "record", ({ envelope, session }) => {
      if (envelope.stanza.name !== "presence" || presenceType(envelope.stanza) !== "probe") return;
      // Whether the sender may know was decided where the probe was routed.
      if (session.presence === undefined) return swallow;
      return silently(router.route(seal(session.presence, session.jid, envelope.from)));
    });

    on("sessionClosed", async ({ session, lastPresence }) => {
      const farewell = element("presence", NS.client, { type: "unavailable" });
      await sayGoodBye(session, farewell);
      if (lastPresence !== undefined) await leave(session, farewell);
    });

    on("sessionLost", async ({ jid, available }) => {
      if (available) await leave({ jid, id: "" }, element("presence", NS.client, { type: "unavailable" }));
    });

    contacts.whenRemoved(async (account, contact, before) => {
      // RFC 6121 2.5.2.
      if (before.to !== "none") await announce("unsubscribe", account, contact);
      if (before.from === "yes") await showUnavailable(account, contact);
      if (before.from !== "none") await announce("unsubscribed", account, contact);
    });

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
      const probe = element("presence", NS.client, { type: "probe" });
      for (const { jid, priority } of await sessions.locate(session.jid)) {
        if (priority !== undefined && jid.full !== session.jid.full) await router.route(seal(probe, session.jid, jid));
      }
      await eachContact(items, async (contact, item) => {
        if (item.to === "yes") await router.route(seal(probe, session.jid, contact));
        // RFC 6121 3.1.3: until it is answered, with whatever it carried.
        if (item.from === "pending" && item.request !== "")
          session.send(parseElement(Buffer.from(item.request), CHECKED_BEFORE));
      });
    }

    /** RFC 6121 4.5. */
    async function unavailable(session: Session, stanza: Element): Promise<void> {
      const wasAvailable = session.available;
      // First of all, so that no contact who comes online just now is still shown the old presence.
      await session.announce(undefined, undefined);
      if (wasAvailable) {
        await router.route(seal(stanza, session.jid, session.jid));
        await leave(session, stanza);
      }
      await sayGoodBye(session, stanza);
    }

    /** Others hear that a session is gone; if another has taken its address and spoken, the word would be wrong. */
    async function leave({ jid, id }: Pick<Session, "jid" | "id">, farewell: Element): Promise<void> {
      const items = await contacts.list(jid);
      const isBack = (await sessions.locate(jid)).some(
        (entry) => entry.jid.full === jid.full && entry.id !== id && entry.priority !== undefined,
      );
      if (!isBack) await broadcast(jid, farewell, items);
    }

    async function broadcast(from: Jid, stanza: Element, items: ReadonlyMap<string, RosterItem>): Promise<void> {
      await Promise.all([
        router.route(seal(stanza, from, from.toBare())),
        eachContact(items, async (contact, item) => {
          if (item.from === "yes") await router.route(seal(stanza, from, contact));
        }),
      ]);
    }

    /** RFC 6121 4.6.3: it goes its way like any stanza, and is remembered for the day the session ends. */
    function direct({ stanza, to, origin }: Envelope): Verdict {
      if (origin.kind !== "client") return;
      const out = directed.get(origin.session) ?? new Map<string, Jid>();
      directed.set(origin.session, out);
      out.delete(to.full);
      if (presenceType(stanza) === "available") out.set(to.full, to);
      if (out.size > limits.max_directed) out.delete(out.keys().next().value as string);
    }

    async function sayGoodBye(session: Session, stanza: Element): Promise<void> {
      const out = directed.get(session);
      directed.delete(session);
      for (const to of out?.values() ?? []) await router.route(seal(stanza, session.jid, to));
    }

    /** RFC 6121 3: the client asks, allows, or takes back. */
    async function sendSubscription({ stanza, from, to }: Envelope, type: SubscriptionType): Promise<void> {
      const account = from.toBare();
      const contact = to.toBare();
      if (stanza.attrs.to === undefined) throw new StanzaError("bad-request", "whose presence?");
      if (account.bare === contact.bare) return;
      if (type === "subscribe" || type === "subscribed") await contacts.checkRoom(account, contact);

      const { change, passes } = await move(account, contact, "", (item) => outbound(item, type));
      await contacts.push(account, contact, change);
      if (!passes) return;
      if (type === "unsubscribed" && change.before.from === "yes") await showUnavailable(account, contact);
      await router.route(seal(stanza, account, contact));
      if (type === "subscribed") await showPresence(account, contact);
    }

    /** RFC 6121 3 from the other side: a contact asks, allows, or takes back. */
    async function receiveSubscription(envelope: Envelope, type: SubscriptionType): Promise<Verdict> {
      const account = envelope.to.toBare();
      const contact = envelope.from.toBare();
      const stanza = envelope.stanza.with({ from: contact.full, to: account.full });
      if (!envelope.to.isBare) {
        // The account as a whole is meant.
        await router.route({ ...envelope, to: account, stanza });
        return swallow;
      }
      const request = stanza.toXml();
      if (type === "subscribe" && Buffer.byteLength(request) > limits.max_request_size) {
        throw new StanzaError("not-acceptable", `a request has at most ${limits.max_request_size} bytes`);
      }
      // RFC 6121 3.1.3: a stranger does not learn which accounts exist, nor how many contacts they have.
      if (!(await accounts.exists(account))) return swallow;
      if (type === "subscribe" && !(await contacts.hasRoom(account, contact))) return swallow;

      const { change, passes, reply } = await move(account, contact, request, (item) => inbound(item, type));
      // RFC 6121 3.1.3: a request is for every available session.
      if (passes && type === "subscribe") return undefined;
      // RFC 6121 3.1.6, 3.2.3, 3.3.3: an answer is for those that keep the roster, and comes before the roster push.
      if (passes) await tellInterested(account, { ...envelope, stanza });
      await contacts.push(account, contact, change);
      if (type === "unsubscribe" && change.before.from === "yes") await showUnavailable(account, contact);
      if (reply !== undefined) await announce(reply, account, contact);
      if (reply === "subscribed") await showPresence(account, contact);
      return swallow;
    }

    async function tellInterested(account: Jid, envelope: Envelope): Promise<void> {
      for (const { jid } of await contacts.interested(account)) {
        const copy = { ...envelope, to: jid };
        settled.add(copy);
        await router.route(copy);
      }
    }

    async function move(
      account: Jid,
      contact: Jid,
      request: string,
      step: (state: SubscriptionState) => Transition,
    ): Promise<Pick<Transition, "passes" | "reply"> & { change: RosterChange }> {
      let passes = false;
      let reply: SubscriptionType | undefined;
      const change = await contacts.change(account, contact, (item) => {
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

    /** RFC 6121 4.3.2. */
    async function answerProbe({ stanza, from, to }: Envelope): Promise<Verdict> {
      const account = to.toBare();
      if (!(await contacts.seesPresence(from, account))) {
        await announce("unsubscribed", account, from);
        return swallow;
      }
      if (!to.isBare) return;
      const online = (await sessions.locate(account)).filter(({ priority }) => priority !== undefined);
      if (online.length === 0) {
        await router.route(seal(element("presence", NS.client, { type: "unavailable" }), account, from));
      }
      for (const { jid } of online) await router.route(seal(stanza, from, jid));
      return swallow;
    }

    /** Has every available session of the account, on whatever node, send its presence to the contact. */
    async function showPresence(account: Jid, contact: Jid): Promise<void> {
      const probe = element("presence", NS.client, { type: "probe" });
      for (const { jid, priority } of await sessions.locate(account)) {
        if (priority !== undefined) await router.route(seal(probe, contact, jid));
      }
    }

    async function showUnavailable(account: Jid, contact: Jid): Promise<void> {
      const farewell = element("presence", NS.client, { type: "unavailable" });
      for (const { jid, priority } of await sessions.locate(account)) {
        if (priority !== undefined) await router.route(seal(farewell, jid, contact));
      }
    }

    function announce(type: SubscriptionType, account: Jid, contact: Jid): MaybePromise<void> {
      return router.route(seal(element("presence", NS.client, { type }), account, contact.toBare()));
    }
  },
});

/** Each contact is a pair of its own, so they go side by side (order is kept within a pair: RFC 6120 10.1). */
async function eachContact(
  items: ReadonlyMap<string, RosterItem>,
  run: (contact: Jid, item: RosterItem) => Promise<void>,
): Promise<void> {
  await Promise.all(
    [...items].map(([bare, item]) => {
      const contact = parseJid(bare);
      return contact === undefined ? undefined : run(contact, item);
    }),
  );
}

/** The filter has done all there is to do. */
function silently(done: MaybePromise<void>): MaybePromise<Verdict> {
  return done instanceof Promise ? done.then(() => swallow) : swallow;
}
