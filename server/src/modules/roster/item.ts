/** RFC 6121 2.1.2: a contact as it is kept, and as the account's clients see it. */
import { type Element, element } from "../../xml/element.ts";
import { StanzaError } from "../../xmpp/errors.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { prepareResource } from "../../xmpp/precis.ts";
import { NO_SUBSCRIPTION, type SubscriptionState, subscriptionName } from "../../xmpp/subscription.ts";
import type { SharedContact } from "./shared.ts";

export interface RosterItem extends SubscriptionState {
  readonly name: string;
  readonly groups: readonly string[];
  /** Whether the account has it in its roster, or had a subscription with it; else it only keeps a request (RFC 6121 3.1.3). */
  readonly listed: boolean;
  /** The contact's request as it came, kept until it is answered (RFC 6121 3.1.3). */
  readonly request: string;
  /** What the shared roster says of the contact, where it is in it: both see each other, whatever else they did. Never kept. */
  readonly shared?: SharedContact | undefined;
}

export const NO_ITEM: RosterItem = { ...NO_SUBSCRIPTION, name: "", groups: [], listed: false, request: "" };

/** RFC 6121 2.1.2: a contact that only asks ("None + Pending In") is not in the roster. */
export function isShown(item: RosterItem): boolean {
  return item.listed || item.approved || item.to !== "none" || item.from === "yes";
}

/** Whether there is nothing to keep. */
export function isEmpty(item: RosterItem): boolean {
  return !isShown(item) && item.from === "none";
}

/** Whether a client that knows the one would learn nothing from the other. */
export function looksAlike(a: RosterItem, b: RosterItem): boolean {
  return itemElement("x", a).toXml() === itemElement("x", b).toXml();
}

/** What clients are shown; subscription "remove" for what is not in the roster. */
export function itemElement(jid: string, item: RosterItem): Element {
  if (!isShown(item)) return element("item", NS.roster, { jid, subscription: "remove" });
  const attrs: Record<string, string> = { jid, subscription: subscriptionName(item) };
  if (item.name !== "") attrs.name = item.name;
  if (item.to === "pending") attrs.ask = "subscribe";
  if (item.approved) attrs.approved = "true";
  return element("item", NS.roster, attrs, ...item.groups.map((group) => element("group", NS.roster, {}, group)));
}

export interface ItemLimits {
  readonly max_name_size: number;
  readonly max_groups: number;
}

/** What a client may say of a contact: its name and groups (RFC 6121 2.1.5). Throws what 2.3.3 says of bad ones. */
export function readItem(item: Element, limits: ItemLimits): Pick<RosterItem, "name" | "groups"> {
  const name = item.attrs.name ?? "";
  const groups = item
    .elements()
    .filter((child) => child.name === "group" && child.xmlns === NS.roster)
    .map((group) => group.text());
  if (groups.some((group) => group === "")) throw new StanzaError("not-acceptable", "a group has no name");
  const prepared = new Set(groups.map((group) => prepareResource(group) ?? group));
  if (prepared.size < groups.length) throw new StanzaError("bad-request", "a group is named twice");
  if (groups.length > limits.max_groups) throw new StanzaError("not-acceptable", "too many groups");
  if ([name, ...groups].some((text) => Buffer.byteLength(text) > limits.max_name_size)) {
    throw new StanzaError("not-acceptable", `names are at most ${limits.max_name_size} bytes`);
  }
  return { name, groups };
}
