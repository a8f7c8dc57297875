import type { Element } from "../xml/element.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { Envelope, Origin } from "./api.ts";

const SERVER: Origin = { kind: "server" };

/** Puts a stanza on its way from `from` to `to`, writing both into it. */
export function seal(stanza: Element, from: Jid, to: Jid, origin: Origin = SERVER): Envelope {
  return { from, to, origin, stanza: stanza.with({ from: from.full, to: to.full }) };
}
