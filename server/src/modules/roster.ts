/** RFC 6121 2: the contacts of an account, and the state of the presence subscriptions with each. */
import { z } from "zod";
import type { SessionEntry } from "../cluster/cluster.ts";
import { defineModule, type IqRequest, type Session } from "../module/api.ts";
import { seal } from "../module/envelope.ts";
import { map } from "../storage/specs.ts";
import { randomId } from "../util/ids.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { NO_SUBSCRIPTION, type SubscriptionState, subscriptionName } from "../xmpp/subscription.ts";

export interface RosterItem extends SubscriptionState {
  readonly name: string;
  readonly groups: readonly string[];
  /** Whether the account has it in its roster, or had a subscription with it; else it only keeps a request (RFC 6121 3.1.3). */
  readonly listed: boolean;
  /** The contact's request as it came, kept until it is answered (RFC 6121 3.1.3). */
  readonly request: string;
}

export interface RosterChange {
  readonly before: RosterItem;
  readonly after: RosterItem;
}

export interface RosterApi {
  get(account: Jid, contact: Jid): Promise<RosterItem>;
  /** By the contact's bare JID. */
  list(account: Jid): Promise<ReadonlyMap<string, RosterItem>>;
  /** Reads, decides and writes in one step; nobody is told. */
  change(account: Jid, contact: Jid, decide: (item: RosterItem) => RosterItem): Promise<RosterChange>;
  /** Tells the interested sessions of a change, if it is one that can be seen in the roster. */
  push(account: Jid, contact: Jid, change: RosterChange): Promise<void>;
  /** Sessions that have asked for the roster, on every node (RFC 6121 2.1.6). */
  interested(account: Jid): Promise<readonly SessionEntry[]>;
  /** Whether the contact is in, or the account has room for one more. */
  hasRoom(account: Jid, contact: Jid): Promise<boolean>;
  /** Throws not-allowed when the account has no room for the contact. */
  checkRoom(account: Jid, contact: Jid): Promise<void>;
  /** Whether the contact may see the account's presence. */
  seesPresence(contact: Jid, account: Jid): Promise<boolean>;
}

const EMPTY: RosterItem = { ...NO_SUBSCRIPTION, name: "", groups: [], listed: false, request: "" };

/** What a session marks itself with once it has asked for the roster (RFC 6121 2.1.6). */
const INTERESTED = "roster";

const config = z.strictObject({
  /** Contacts of one account, those that only ask to be let in included. */
  max_items: z.int().min(1).max(100_000).default(2000),
  /** Bytes of a contact's name, and of each group's (UTF-8). */
  max_name_size: z.int().min(1).max(65_536).default(1024),
  max_groups: z.int().min(0).max(1000).default(64),
});

/** Told by the presence module what a removal means for the subscriptions (RFC 6121 2.5.2). */
type Removed = (account: Jid, contact: Jid, before: RosterItem) => Promise<void>;

export const roster = defineModule({
  name: "roster",
  implements: [{ rfc: 6121 }],
  config,
  stores: { items: map<RosterItem>("roster") },

  start({ config: limits, stores, sessions, router, iq, on, streamFeature }): RosterApi & {
    whenRemoved(run: Removed): void;
  } {
    let removed: Removed = async () => {};

    const api: RosterApi = {
      get: async (account, contact) => (await stores.items.get(account, contact.bare)) ?? EMPTY,
      list: (account) => stores.items.list(account),

      async change(account, contact, decide) {
        let before = EMPTY;
        let after = EMPTY;
        await stores.items.update(account, contact.bare, (present) => {
          before = present ?? EMPTY;
          after = decide(before);
          return isEmpty(after) ? undefined : after;
        });
        return { before, after };
      },

      async push(account, contact, { before, after }) {
        if (isShown(after) && !sameShown(before, after)) await pushItem(account, itemElement(contact.bare, after));
      },

      interested: async (account) => (await sessions.locate(account)).filter(({ marks }) => marks.includes(INTERESTED)),

      async hasRoom(account, contact) {
        const items = await api.list(account);
        return items.size < limits.max_items || items.has(contact.bare);
      },

      async checkRoom(account, contact) {
        if (await api.hasRoom(account, contact)) return;
        throw new StanzaError("not-allowed", `no more than ${limits.max_items} contacts`);
      },

      async seesPresence(contact, account) {
        if (contact.bare === account.bare) return true;
        return (await api.get(account, contact)).from === "yes";
      },
    };

    async function pushItem(account: Jid, item: Element): Promise<void> {
      for (const entry of await api.interested(account)) {
        const query = element("query", NS.roster, {}, item);
        const stanza = element("iq", NS.client, { type: "set", id: `push-${randomId(6)}` }, query);
        await router.route(seal(stanza, account.toBare(), entry.jid));
      }
    }

    async function answer({ from, to, origin }: IqRequest): Promise<Element> {
      ownOnly(from, to);
      if (origin.kind === "client") await (origin.session as Session).mark(INTERESTED);
      const shown = [...(await api.list(to))].filter(([, item]) => isShown(item));
      return element("query", NS.roster, {}, ...shown.map(([contact, item]) => itemElement(contact, item)));
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

      const { name, groups } = readItem(item);
      await api.checkRoom(to, contact);
      await api.push(
        to,
        contact,
        await api.change(to, contact, (present) => ({ ...present, name, groups, listed: true })),
      );
    }

    async function remove(account: Jid, contact: Jid): Promise<undefined> {
      let before = EMPTY;
      await stores.items.update(account, contact.bare, (present) => {
        before = present ?? EMPTY;
        // A contact that only asks is not in the roster, and goes on asking.
        return isShown(before) ? undefined : present;
      });
      if (!isShown(before)) throw new StanzaError("item-not-found");
      await pushItem(account, element("item", NS.roster, { jid: contact.bare, subscription: "remove" }));
      await removed(account, contact, before);
    }

    function readItem(item: Element): { name: string; groups: string[] } {
      const name = item.attrs.name ?? "";
      const groups = item
        .elements()
        .filter((child) => child.name === "group" && child.xmlns === NS.roster)
        .map((group) => group.text());
      // RFC 6121 2.3.3.
      if (groups.some((group) => group === "")) throw new StanzaError("not-acceptable", "a group has no name");
      if (new Set(groups).size < groups.length) throw new StanzaError("bad-request", "a group is named twice");
      if (groups.length > limits.max_groups) throw new StanzaError("not-acceptable", "too many groups");
      if ([name, ...groups].some((text) => Buffer.byteLength(text) > limits.max_name_size)) {
        throw new StanzaError("not-acceptable", `names are at most ${limits.max_name_size} bytes`);
      }
      return { name, groups };
    }

    iq(NS.roster, "query", { account: { get: answer, set } });
    streamFeature(() => element("sub", NS.preApproval));
    on("accountRemoved", async ({ account }) => {
      const items = await api.list(account);
      await stores.items.clear(account);
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
    };
  },
});

/** RFC 6121 2.1.6: nobody may ask for, or change, another's roster. */
function ownOnly(from: Jid, to: Jid): void {
  if (from.bare !== to.bare) throw new StanzaError("forbidden");
}

/** RFC 6121 2.1.2: a contact that only asks ("none + pending in") is not in the roster. */
export function isShown(item: RosterItem): boolean {
  return item.listed || item.approved || item.to !== "none" || item.from === "yes";
}

function isEmpty(item: RosterItem): boolean {
  return !isShown(item) && item.from === "none";
}

function sameShown(a: RosterItem, b: RosterItem): boolean {
  return isShown(a) === isShown(b) && itemElement("x", a).toXml() === itemElement("x", b).toXml();
}

/** As it stands in a roster. */
export function itemElement(jid: string, item: RosterItem): Element {
  const attrs: Record<string, string> = { jid, subscription: subscriptionName(item) };
  if (item.name !== "") attrs.name = item.name;
  if (item.to === "pending") attrs.ask = "subscribe";
  if (item.approved) attrs.approved = "true";
  return element("item", NS.roster, attrs, ...item.groups.map((group) => element("group", NS.roster, {}, group)));
}
