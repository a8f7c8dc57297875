/** RFC 6121 2: the contacts of an account, and the state of the presence subscriptions with each. */
import { z } from "zod";
import type { SessionEntry } from "../cluster/cluster.ts";
import { defineModule, type Envelope, type IqRequest, type Session } from "../module/api.ts";
import { seal } from "../module/envelope.ts";
import { swallow } from "../module/hooks.ts";
import { map } from "../storage/specs.ts";
import { then } from "../util/maybe-promise.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { RosterBook, type RosterChange, type Stored } from "./roster/book.ts";
import { isShown, itemElement, NO_ITEM, type RosterItem, readItem } from "./roster/item.ts";
import { isAsShared, NOBODY, type SharedContacts } from "./roster/shared.ts";
import { pushElement, RosterViews } from "./roster/views.ts";

export type { RosterChange } from "./roster/book.ts";
export { isShown, itemElement, type RosterItem } from "./roster/item.ts";
export type { SharedContact, SharedContacts } from "./roster/shared.ts";

export interface RosterApi {
  get(account: Jid, contact: Jid): Promise<RosterItem>;
  /** By the contact's bare JID. */
  list(account: Jid): Promise<ReadonlyMap<string, RosterItem>>;
  /**
   * Reads, decides and writes in one step; nobody is told. `decide` may be called again, and may throw. Throws not-allowed
   * where the account has no room for what would be new. With `always` it can be pushed though all looks as before.
   */
  change(account: Jid, contact: Jid, decide: (item: RosterItem) => RosterItem, always?: boolean): Promise<RosterChange>;
  /** Tells the interested sessions of a change, if it is one that can be seen in the roster. */
  push(account: Jid, contact: Jid, change: RosterChange): Promise<void>;
  /** Sessions that have asked for the roster, on every node (RFC 6121 2.1.6). */
  interested(account: Jid): Promise<readonly SessionEntry[]>;
  /** Whether the contact may see the account's presence. */
  seesPresence(contact: Jid, account: Jid): Promise<boolean>;
  /** Of these accounts, those whose presence the contact may see, by bare JID; one request however many they are. */
  shownTo(contact: Jid, accounts: readonly Jid[]): Promise<ReadonlySet<string>>;
}

/** What a session marks itself with once it has asked for the roster (RFC 6121 2.1.6). */
const INTERESTED = "roster";

const config = z.strictObject({
  /** Contacts in one account's roster. */
  max_items: z.int().min(1).max(100_000).default(2000),
  /** Bytes of all names and groups in one account's roster (UTF-8). */
  max_size: z.int().min(1024).max(67_108_864).default(1_048_576),
  /** People outside the roster whose requests to be let in are kept. */
  max_requests: z.int().min(0).max(100_000).default(200),
  /** Bytes of a contact's name, and of each group's (UTF-8). */
  max_name_size: z.int().min(1).max(65_536).default(1024),
  max_groups: z.int().min(0).max(1000).default(64),
  /** Changes that a client may have missed and is told one by one; one that missed more gets the whole roster. */
  max_changes: z.int().min(0).max(250).default(50),
});

/** Told by the presence module what a removal means for the subscriptions (RFC 6121 2.5.2). */
type Removed = (account: Jid, contact: Jid, before: RosterItem) => Promise<void>;

export const roster = defineModule({
  name: "roster",
  implements: [{ rfc: 6121 }, { xep: 237, version: "1.3" }],
  config,
  stores: { items: map<Stored>("roster") },

  start({ config: limits, stores, sessions, router, log, filter, iq, on, streamFeature }): RosterApi & {
    whenRemoved(run: Removed): void;
    /** Lets another say which contacts accounts have besides; the returned function ends it. */
    share(contacts: SharedContacts): () => void;
  } {
    const book = new RosterBook(stores.items, limits);
    const views = new RosterViews(
      (account) => book.read(account),
      (error) => log.error("roster.push_failed", { error }),
    );
    let removed: Removed = async () => {};

    const api: RosterApi = {
      get: (account, contact) => book.get(account, contact),
      list: (account) => book.list(account),
      change: (account, contact, decide, always) => book.change(account, contact, decide, always),

      async push(account, contact, { after, versions }) {
        if (versions === undefined) return;
        const stanza = pushElement(itemElement(contact.bare, after), versions);
        for (const { jid } of await api.interested(account)) await router.route(seal(stanza, account.toBare(), jid));
      },

      interested: async (account) => (await sessions.locate(account)).filter(({ marks }) => marks.includes(INTERESTED)),

      async seesPresence(contact, account) {
        if (contact.bare === account.bare) return true;
        return (await book.get(account, contact)).from === "yes";
      },

      async shownTo(contact, accounts) {
        const items = await book.getEach(accounts, contact);
        return new Set([...items].filter(([, { from }]) => from === "yes").map(([account]) => account));
      },
    };

    filter("userReceive", "rewrite", ({ envelope, session }) => {
      if (!isPush(envelope, session)) return;
      return then(views.take(session, envelope.stanza), (push) => {
        if (push === undefined) return swallow;
        envelope.stanza = push;
        return undefined;
      });
    });

    async function answer({ from, to, payload, origin }: IqRequest): Promise<Element | undefined> {
      ownOnly(from, to);
      if (origin.kind !== "client") return rosterElement(await book.read(to));
      // First of all, so that no change falls between the answer and the pushes.
      await (origin.session as Session).mark(INTERESTED);
      const whole = await views.open(origin.session, payload.attrs.ver);
      return whole && rosterElement(whole);
    }

    /** RFC 6121 2.3 to 2.5: adds, changes or removes one contact. */
    async function set({ from, to, payload }: IqRequest): Promise<undefined> {
      ownOnly(from, to);
      const [item, ...more] = payload.elements();
      if (item === undefined || more.length > 0 || item.name !== "item" || item.xmlns !== NS.roster) {
        throw new StanzaError("bad-request", "a roster set has exactly one item");
      }
      const contact = parseJid(item.attrs.jid ?? "");
      if (contact === undefined) throw new StanzaError("bad-request", "the item's jid is missing or not valid");
      if (item.attrs.subscription === "remove") return remove(to, contact);

      // RFC 6121 2.3.3: an account sees itself without an item.
      if (contact.bare === to.bare) throw new StanzaError("not-allowed", "an account is not its own contact");
      const said = readItem(item, limits);
      const decide = (present: RosterItem) => ({ ...present, ...said, listed: true });
      // RFC 6121 2.4.2: every set is pushed.
      await api.push(to, contact, await book.change(to, contact, decide, true));
    }

    async function remove(account: Jid, contact: Jid): Promise<undefined> {
      const change = await book.change(account, contact, (present) => {
        // A contact that only asks is not in the roster, and goes on asking.
        if (!isShown(present)) throw new StanzaError("item-not-found");
        const { shared } = present;
        if (shared === undefined) return NO_ITEM;
        if (isAsShared(present)) throw new StanzaError("not-allowed", "the contact is a colleague");
        return { ...present, ...shared, listed: false };
      });
      await api.push(account, contact, change);
      // A colleague goes on seeing, and being seen.
      if (change.before.shared === undefined) await removed(account, contact, change.before);
    }

    iq(NS.roster, "query", { account: { get: answer, set } });
    streamFeature(() => element("sub", NS.preApproval));
    streamFeature(() => element("ver", NS.rosterVersioning));
    on("accountRemoved", async ({ account }) => {
      const items = await book.listOwn(account);
      await book.clear(account);
      // XEP-0077 3.2: every subscription ends with the account.
      for (const [bare, item] of items) {
        const contact = parseJid(bare);
        if (contact !== undefined) await removed(account, contact, item);
      }
    });

    return {
      ...api,
      whenRemoved(run) {
        removed = run;
      },
      share(contacts) {
        book.shared = contacts;
        return () => {
          book.shared = NOBODY;
        };
      },
    };
  },
});

/** RFC 6121 2.1.6: nobody may ask for, or change, another's roster. */
function ownOnly(from: Jid, to: Jid): void {
  if (from.bare !== to.bare) throw new StanzaError("forbidden");
}

/** A push of this module: no client's stanza comes from a bare JID. */
function isPush({ stanza, from }: Envelope, session: Session): boolean {
  if (stanza.name !== "iq" || stanza.attrs.type !== "set" || !from.isBare || from.bare !== session.jid.bare)
    return false;
  return stanza.child("query", NS.roster) !== undefined;
}

function rosterElement({ items, version }: { items: ReadonlyMap<string, RosterItem>; version: string }): Element {
  const shown = [...items].filter(([, item]) => isShown(item));
  return element("query", NS.roster, { ver: version }, ...shown.map(([contact, item]) => itemElement(contact, item)));
}
