/** Presence that the server says itself. */
import { type Element, element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { PresenceType } from "../../xmpp/stanza.ts";

export function announcement(type: PresenceType, id?: string): Element {
  return element("presence", NS.client, id === undefined ? { type } : { type, id });
}

export function farewell(id?: string): Element {
  return announcement("unavailable", id);
}
