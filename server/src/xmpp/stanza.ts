import { Element, element } from "../xml/element.ts";
import { StanzaError, UnquotedError } from "./errors.ts";
import { parseJid } from "./jid.ts";
import { NS } from "./namespaces.ts";

export const MESSAGE_TYPES = ["normal", "chat", "groupchat", "headline", "error"] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** RFC 6121 5.2.2: a missing or unknown type is "normal". */
export function messageType(stanza: Element): MessageType {
  const type = stanza.attrs.type as MessageType | undefined;
  return type !== undefined && MESSAGE_TYPES.includes(type) ? type : "normal";
}

export const PRESENCE_TYPES = [
  "available",
  "unavailable",
  "subscribe",
  "subscribed",
  "unsubscribe",
  "unsubscribed",
  "probe",
  "error",
] as const;
export type PresenceType = (typeof PRESENCE_TYPES)[number];

/** RFC 6121 4.7.1; no type means available. Undefined for a type that is not defined. */
export function presenceType(stanza: Element): PresenceType | undefined {
  const type = stanza.attrs.type;
  if (type === undefined) return "available";
  return type !== "available" && PRESENCE_TYPES.includes(type as PresenceType) ? (type as PresenceType) : undefined;
}

export type SubscriptionType = Extract<PresenceType, "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed">;

export function isSubscription(type: PresenceType | undefined): type is SubscriptionType {
  return type === "subscribe" || type === "subscribed" || type === "unsubscribe" || type === "unsubscribed";
}

/** RFC 6121 4.7.2.3: an integer from -128 to 127, 0 when absent; undefined when it is anything else. */
export function presencePriority(stanza: Element): number | undefined {
  const written = stanza.child("priority");
  if (written === undefined) return 0;
  const text = written.text().trim();
  if (!/^[+-]?\d{1,3}$/.test(text)) return undefined;
  const priority = Number(text);
  return priority >= -128 && priority <= 127 ? priority : undefined;
}

/** Whether an iq asks for an answer. */
export function isRequest(stanza: Element): boolean {
  const type = stanza.attrs.type;
  return stanza.name === "iq" && (type === "get" || type === "set");
}

/** RFC 6120 8.2.3; throws the StanzaError the sender is to hear. */
export function checkStanza(stanza: Element): void {
  if (stanza.name !== "iq") return;
  const { id, type } = stanza.attrs;
  if (id === undefined) throw new StanzaError("bad-request", "an iq needs an id");
  const payloads = stanza.elements().length;
  switch (type) {
    case "get":
    case "set":
      if (payloads !== 1) throw new StanzaError("bad-request", `an iq of type ${type} has exactly one child element`);
      return;
    case "result":
    case "error":
      return;
    default:
      throw new StanzaError("bad-request", "an iq is of type get, set, result or error");
  }
}

/** Whether an error may be sent about it: never about an error, never about a result (RFC 6120 8.3.1). */
export function mayBounce(stanza: Element): boolean {
  const type = stanza.attrs.type;
  if (type === "error") return false;
  if (stanza.name === "iq") return type !== "result";
  // A presence that reaches nobody is no one's concern; a request to subscribe is, and what the client itself got wrong.
  if (stanza.name === "presence") return type === "subscribe" || !isValidPresence(stanza);
  return true;
}

function isValidPresence(stanza: Element): boolean {
  const { to } = stanza.attrs;
  const type = presenceType(stanza);
  if (type === undefined || (to !== undefined && parseJid(to) === undefined)) return false;
  if (isSubscription(type)) return to !== undefined;
  return type !== "available" || presencePriority(stanza) !== undefined;
}

/** The error answer to a stanza, addressed back to where it came from (RFC 6120 8.3). */
export function errorReply(stanza: Element, error: StanzaError, from: string | undefined, to: string): Element {
  const attrs: Record<string, string> = { type: "error", to };
  if (from !== undefined) attrs.from = from;
  if (stanza.attrs.id !== undefined) attrs.id = stanza.attrs.id;
  const quoted = error instanceof UnquotedError ? [] : stanza.children;
  return new Element(stanza.name, stanza.xmlns, attrs, [...quoted, errorElement(error, stanza.xmlns)]);
}

function errorElement(error: StanzaError, xmlns: string): Element {
  return element(
    "error",
    xmlns,
    { type: error.type },
    element(error.condition, NS.stanzaErrors),
    error.text === "" ? "" : element("text", NS.stanzaErrors, { "xml:lang": "en" }, error.text),
    error.detail ?? "",
  );
}

export function iqResult(request: Element, from: string, to: string, payload: Element | undefined): Element {
  const attrs = { type: "result", id: request.attrs.id ?? "", from, to };
  return new Element("iq", request.xmlns, attrs, payload === undefined ? [] : [payload]);
}

/** XEP-0203: the stanza with a note that it was under way since `at`; one that says so already is left as it is. */
export function delayed(stanza: Element, from: string, at: Date): Element {
  if (stanza.child("delay", NS.delay) !== undefined) return stanza;
  return stanza.withChildren([...stanza.children, element("delay", NS.delay, { from, stamp: at.toISOString() })]);
}
