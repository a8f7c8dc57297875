/** XEP-0313 6.1.1, XEP-0334: which messages are worth keeping. */
import { type Element, element } from "../../xml/element.ts";
import { parseJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { messageType } from "../../xmpp/stanza.ts";

/** What a message without a body may carry that a client needs to make sense of a conversation later. */
const MEANINGFUL: ReadonlySet<string> = new Set([
  "received urn:xmpp:receipts",
  "displayed urn:xmpp:chat-markers:0",
  "acknowledged urn:xmpp:chat-markers:0",
  "reactions urn:xmpp:reactions:0",
  "retract urn:xmpp:message-retract:1",
  "apply-to urn:xmpp:fasten:0",
  "encrypted eu.siacs.conversations.axolotl",
  "encrypted urn:xmpp:omemo:2",
  "openpgp urn:xmpp:openpgp:0",
  "x jabber:x:encrypted",
  "x jabber:x:conference",
  "propose urn:xmpp:jingle-message:0",
  "finish urn:xmpp:jingle-message:0",
]);

export function isKept(message: Element): boolean {
  const type = messageType(message);
  if (type !== "chat" && type !== "normal") return false;
  if (message.child("no-store", NS.hints) || message.child("no-permanent-store", NS.hints)) return false;
  if (message.child("store", NS.hints) !== undefined) return true;
  return message
    .elements()
    .some(({ name, xmlns }) => (name === "body" && xmlns === message.xmlns) || MEANINGFUL.has(`${name} ${xmlns}`));
}

/** XEP-0359 4: the message with the id it has in an archive; whoever claimed to speak for that archive is not believed. */
export function stamped(message: Element, by: string, id: string | undefined): Element {
  const isClaim = (each: unknown) => {
    const claim = each as Element;
    if (typeof each === "string" || claim.name !== "stanza-id" || claim.xmlns !== NS.stanzaId) return false;
    return claim.attrs.by === by || parseJid(claim.attrs.by ?? "")?.full === by;
  };
  const claims = message.children.some(isClaim);
  if (id === undefined && !claims) return message;
  const children = claims ? message.children.filter((each) => !isClaim(each)) : message.children;
  return message.withChildren(id === undefined ? children : [...children, stanzaId(by, id)]);
}

function stanzaId(by: string, id: string): Element {
  return element("stanza-id", NS.stanzaId, { by, id });
}

/** The id that a message has in the archive of this address. */
export function idIn(message: Element, by: string): string | undefined {
  return message
    .elements()
    .find(({ name, xmlns, attrs }) => name === "stanza-id" && xmlns === NS.stanzaId && attrs.by === by)?.attrs.id;
}
