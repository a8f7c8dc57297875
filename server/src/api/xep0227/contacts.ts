/** XEP-0227 2.4 and 2.9: a roster, and the requests that wait for an answer, between a file and the store. */
import { isShown, itemElement, NO_ITEM, type RosterItem } from "../../modules/roster/item.ts";
import { type Element, element } from "../../xml/element.ts";
import { CHECKED_BEFORE } from "../../xml/limits.ts";
import { parseElement } from "../../xml/parser.ts";
import { type Jid, parseJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { Half } from "../../xmpp/subscription.ts";
import { PieError } from "./credentials.ts";
import { PIE } from "./names.ts";

const SUBSCRIPTIONS: Readonly<Record<string, readonly [to: Half, from: Half]>> = {
  none: ["none", "none"],
  to: ["yes", "none"],
  from: ["none", "yes"],
  both: ["yes", "yes"],
};

/** One item of a roster, and whose it is. Throws a PieError for what is none. */
export function readContact(item: Element): readonly [contact: Jid, item: RosterItem] {
  const contact = contactOf(item.attrs.jid);
  const { name = "", subscription = "none", ask, approved } = item.attrs;
  const halves = Object.hasOwn(SUBSCRIPTIONS, subscription) ? SUBSCRIPTIONS[subscription] : undefined;
  if (halves === undefined) throw new PieError(`contact ${contact.bare}: there is no subscription "${subscription}"`);
  const [to, from] = halves;
  const groups = item
    .elements()
    .filter((child) => child.name === "group")
    .map((group) => group.text())
    .filter((group) => group !== "");
  return [
    contact,
    {
      ...NO_ITEM,
      name,
      groups: [...new Set(groups)],
      listed: true,
      to: ask === "subscribe" && to === "none" ? "pending" : to,
      from,
      approved: approved === "true" || approved === "1",
    },
  ];
}

/** A request to see the account's presence, as it is kept, and whose it is. Throws a PieError for what is none. */
export function readRequest(account: Jid, presence: Element): readonly [contact: Jid, request: string] {
  const contact = contactOf(presence.attrs.from);
  // COMPAT(Prosody, 13.0): it writes the request in the namespace of the file.
  const children = presence.children.map((child) =>
    typeof child !== "string" && child.xmlns === PIE.data
      ? element(child.name, NS.client, child.attrs, ...child.children)
      : child,
  );
  const stanza = element("presence", NS.client, presence.attrs, ...children).with({
    from: contact.bare,
    to: account.bare,
    type: "subscribe",
  });
  return [contact, stanza.toXml()];
}

/** A contact that asks, whatever it is otherwise. */
export function asking(item: RosterItem, request: string): RosterItem {
  return item.from === "none" ? { ...item, from: "pending", request } : item;
}

/** The roster, and the requests, of an account as a file has them. */
export function contactElements(account: Jid, items: ReadonlyMap<string, RosterItem>): Element[] {
  const shown = [...items].filter(([, item]) => isShown(item)).map(([jid, item]) => itemElement(jid, item));
  const requests = [...items]
    .filter(([, { from }]) => from === "pending")
    .map(([jid, item]) => requestElement(account, jid, item));
  return shown.length === 0 ? requests : [element("query", NS.roster, {}, ...shown), ...requests];
}

function requestElement(account: Jid, from: string, { request }: RosterItem): Element {
  const bare = element("presence", NS.client, { from, to: account.bare, type: "subscribe" });
  return request === "" ? bare : parseElement(Buffer.from(request), CHECKED_BEFORE);
}

function contactOf(text: string | undefined): Jid {
  const jid = parseJid(text ?? "");
  if (jid === undefined) throw new PieError(`a contact's address is none: "${text ?? ""}"`);
  return jid.toBare();
}
