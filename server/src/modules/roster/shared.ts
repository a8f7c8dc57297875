/**
 * Contacts that an account has without having asked for them: its colleagues, as somebody else says. An item of the roster is
 * then made of two: what the account keeps of the contact, and what it is told.
 */
import { createHash } from "node:crypto";
import type { MaybePromise } from "../../util/maybe-promise.ts";
import type { Jid } from "../../xmpp/jid.ts";
import type { RosterItem } from "./item.ts";

export interface SharedContact {
  readonly name: string;
  readonly groups: readonly string[];
}

/** Who says so. If one account has another, that one has it as well. */
export interface SharedContacts {
  /** By the contact's bare JID. */
  list(account: Jid): MaybePromise<ReadonlyMap<string, SharedContact>>;
  /** What is said of one contact, by the bare JID of those of the accounts that have it. */
  getEach(accounts: readonly Jid[], contact: Jid): MaybePromise<ReadonlyMap<string, SharedContact>>;
}

export const NOBODY: SharedContacts = { list: () => new Map(), getEach: () => new Map() };

/** The item as the account has it: its own words where it has any, and both see each other. */
export function withShared(own: RosterItem, shared: SharedContact | undefined): RosterItem {
  if (shared === undefined) return own;
  return {
    ...own,
    name: own.name === "" ? shared.name : own.name,
    groups: own.groups.length === 0 ? shared.groups : own.groups,
    to: "yes",
    from: "yes",
    approved: false,
    listed: true,
    request: "",
    shared,
  };
}

/**
 * What the account keeps of an item that it changed. As long as a contact is shared its subscriptions stand still; those that
 * there were before are there again when it is shared no more.
 */
export function ownPart(own: RosterItem, after: RosterItem): RosterItem {
  const { shared } = after;
  if (shared === undefined) return after;
  const name = after.name === shared.name ? "" : after.name;
  const groups = sameGroups(after.groups, shared.groups) ? [] : after.groups;
  const listed = after.listed && (own.listed || name !== "" || groups.length > 0);
  return { ...own, name, groups, listed };
}

/** Whether the account has no words of its own for the contact. */
export function isAsShared({ name, groups, shared }: RosterItem): boolean {
  return shared !== undefined && name === shared.name && sameGroups(groups, shared.groups);
}

/** Stands behind the version of what the account keeps, so that another company is another version; empty without any. */
export function versionOf(contacts: ReadonlyMap<string, SharedContact>): string {
  if (contacts.size === 0) return "";
  const entries = [...contacts].sort(([a], [b]) => (a < b ? -1 : 1));
  const said = JSON.stringify(entries.map(([jid, { name, groups }]) => [jid, name, groups]));
  return `.${createHash("sha256").update(said).digest("base64url").slice(0, 12)}`;
}

function sameGroups(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((group) => other.includes(group));
}
