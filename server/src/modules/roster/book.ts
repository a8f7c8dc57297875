/**
 * The rosters in the store. Beside its contacts each account has a ledger, changed in the same step as any of them: how much
 * there is, and the latest changes that a client can see, each with a version of its own. So what stands under the last
 * version is one roster and no other, whoever else changes it at the same time.
 */
import type { MapStore } from "../../storage/specs.ts";
import { randomId } from "../../util/ids.ts";
import { StanzaError } from "../../xmpp/errors.ts";
import type { Jid } from "../../xmpp/jid.ts";
import { isEmpty, isShown, looksAlike, NO_ITEM, type RosterItem } from "./item.ts";
import { NOBODY, ownPart, type SharedContact, type SharedContacts, versionOf, withShared } from "./shared.ts";

export interface RosterChange {
  readonly before: RosterItem;
  readonly after: RosterItem;
  /** The roster's versions before and after; undefined when clients see no difference. */
  readonly versions: { readonly from: string; readonly to: string } | undefined;
}

/** A whole roster as it was at one moment. */
export interface Roster {
  /** By the contact's bare JID. */
  readonly items: ReadonlyMap<string, RosterItem>;
  readonly version: string;
  /** Whom a client of an older version must hear of, in order, each with the version of its last change; undefined when it is too old, or of no roster here. */
  since(version: string): ReadonlyMap<string, string> | undefined;
}

interface Ledger {
  /** Contacts in the roster, and the bytes they take. */
  readonly size: number;
  readonly bytes: number;
  /** Contacts outside it that ask to be let in. */
  readonly asking: number;
  /** The latest visible changes, the last of them the present version. */
  readonly changes: readonly (readonly [version: string, contact: string])[];
}
export type Stored = RosterItem | Ledger;

export interface BookLimits {
  readonly max_items: number;
  readonly max_size: number;
  readonly max_requests: number;
  readonly max_changes: number;
}

/** No contact has this key. */
const LEDGER = "";

export class RosterBook {
  /** Who says whom accounts have besides. */
  shared: SharedContacts = NOBODY;
  readonly #store: MapStore<Stored>;
  readonly #limits: BookLimits;

  constructor(store: MapStore<Stored>, limits: BookLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  async get(account: Jid, contact: Jid): Promise<RosterItem> {
    const own = ((await this.#store.get(account, contact.bare)) as RosterItem | undefined) ?? NO_ITEM;
    return withShared(own, (await this.shared.getEach([account], contact)).get(account.bare));
  }

  async list(account: Jid): Promise<ReadonlyMap<string, RosterItem>> {
    return together(await this.listOwn(account), await this.shared.list(account));
  }

  /** Without what is only shared. */
  async listOwn(account: Jid): Promise<ReadonlyMap<string, RosterItem>> {
    return itemsOf(await this.#store.list(account));
  }

  /** What many accounts keep of one contact, by their bare JID. */
  async getEach(accounts: readonly Jid[], contact: Jid): Promise<ReadonlyMap<string, RosterItem>> {
    const own = (await this.#store.getEach(accounts, contact.bare)) as ReadonlyMap<string, RosterItem>;
    return together(own, await this.shared.getEach(accounts, contact));
  }

  async read(account: Jid): Promise<Roster> {
    const shared = await this.shared.list(account);
    for (;;) {
      const stored = await this.#store.list(account);
      const ledger = stored.get(LEDGER) as Ledger | undefined;
      if (ledger !== undefined) return roster(together(itemsOf(stored), shared), ledger, versionOf(shared));
      await this.#begin(account);
    }
  }

  /**
   * Reads, decides and writes in one step; nobody is told. `decide` may be called again, and may throw. Throws not-allowed
   * where the account has no room for what would be new. With `always` there is a new version though all looks as before.
   */
  async change(
    account: Jid,
    contact: Jid,
    decide: (item: RosterItem) => RosterItem,
    always = false,
  ): Promise<RosterChange> {
    const shared = await this.shared.list(account);
    const words = shared.get(contact.bare);
    const suffix = versionOf(shared);
    for (;;) {
      let change: RosterChange | undefined;
      await this.#store.updateTogether(account, [LEDGER, contact.bare], (present) => {
        const ledger = present.get(LEDGER) as Ledger | undefined;
        change = undefined;
        if (ledger === undefined) return present;
        const own = (present.get(contact.bare) as RosterItem | undefined) ?? NO_ITEM;
        const before = withShared(own, words);
        const kept = ownPart(own, decide(before));
        const after = withShared(kept, words);
        const isSeen = always || !looksAlike(before, after);
        const { versions, next } = this.#enter(ledger, contact, own, kept, isSeen);
        change = { before, after, versions: versions && { from: versions.from + suffix, to: versions.to + suffix } };
        const together = new Map<string, Stored>([[LEDGER, next]]);
        if (!isEmpty(kept)) together.set(contact.bare, kept);
        return together;
      });
      if (change !== undefined) return change;
      await this.#begin(account);
    }
  }

  clear(account: Jid): Promise<void> {
    return this.#store.clear(account);
  }

  /** An account's first ledger. Its version is new as well: a former account of the same name had others. */
  async #begin(account: Jid): Promise<void> {
    const items = itemsOf(await this.#store.list(account));
    let [size, bytes, asking] = [0, 0, 0];
    for (const item of items.values()) {
      const part = measure(item);
      size += part.size;
      bytes += part.bytes;
      asking += part.asking;
    }
    const ledger: Ledger = { size, bytes, asking, changes: [[newVersion(), ""]] };
    await this.#store.update(account, LEDGER, (present) => present ?? ledger);
  }

  #enter(ledger: Ledger, contact: Jid, before: RosterItem, after: RosterItem, isSeen: boolean) {
    const { max_items, max_size, max_requests, max_changes } = this.#limits;
    const [was, is] = [measure(before), measure(after)];
    const size = ledger.size - was.size + is.size;
    const bytes = ledger.bytes - was.bytes + is.bytes;
    const asking = ledger.asking - was.asking + is.asking;
    // What makes something smaller is never refused, not even where the limit has been lowered since.
    if (size > max_items && size > ledger.size)
      throw new StanzaError("not-allowed", `no more than ${max_items} contacts`);
    if (bytes > max_size && bytes > ledger.bytes) throw new StanzaError("not-allowed", "the roster is too large");
    if (asking > max_requests && asking > ledger.asking) throw new StanzaError("not-allowed", "too many requests");
    if (!isSeen) return { versions: undefined, next: { ...ledger, size, bytes, asking } };
    const versions = { from: lastVersion(ledger), to: newVersion() };
    const changes = [...ledger.changes, [versions.to, contact.bare] as const].slice(-max_changes - 1);
    return { versions, next: { size, bytes, asking, changes } };
  }
}

/** `suffix` is the version of what is shared: to a client that knows another one, anything may have changed. */
function roster(items: ReadonlyMap<string, RosterItem>, ledger: Ledger, suffix: string): Roster {
  return {
    items,
    version: lastVersion(ledger) + suffix,
    since(version) {
      const known = ledger.changes.findIndex(([each]) => each + suffix === version);
      if (known === -1) return undefined;
      const contacts = new Map<string, string>();
      for (const [each, contact] of ledger.changes.slice(known + 1)) {
        contacts.delete(contact);
        contacts.set(contact, each + suffix);
      }
      return contacts;
    },
  };
}

/** By the same key: of one, or of the other, or of both. */
function together(
  own: ReadonlyMap<string, RosterItem>,
  shared: ReadonlyMap<string, SharedContact>,
): ReadonlyMap<string, RosterItem> {
  if (shared.size === 0) return own;
  const all = new Map(own);
  for (const [key, words] of shared) all.set(key, withShared(own.get(key) ?? NO_ITEM, words));
  return all;
}

export function itemsOf(stored: ReadonlyMap<string, Stored>): ReadonlyMap<string, RosterItem> {
  const items = new Map(stored as ReadonlyMap<string, RosterItem>);
  items.delete(LEDGER);
  return items;
}

function measure(item: RosterItem): { size: number; bytes: number; asking: number } {
  if (!isShown(item)) return { size: 0, bytes: 0, asking: isEmpty(item) ? 0 : 1 };
  const bytes = [item.name, ...item.groups].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return { size: 1, bytes, asking: 0 };
}

function lastVersion({ changes }: Ledger): string {
  return changes.at(-1)?.[0] ?? "";
}

/** Unguessable and never the same again, also where a store is put back to an earlier day. */
function newVersion(): string {
  return randomId(9);
}
