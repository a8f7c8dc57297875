/** RFC 6121 8.5 as data: what becomes of a message, by its address, its type and the sessions there are. */
import type { MessageType } from "../xmpp/stanza.ts";

export type MessageFate =
  /** To every session of the highest priority that is not negative. */
  | "most-available"
  /** To every session whose priority is not negative. */
  | "all-available"
  /** To whoever keeps messages for later; if nobody does, the sender hears service-unavailable. */
  | "offline"
  /** The sender hears service-unavailable. */
  | "error"
  /** Nothing happens, and nobody hears of it. */
  | "ignore";

/** RFC 6121 8.5.2: to a bare JID, while some session has a priority that is not negative. */
export const BARE_AVAILABLE: Readonly<Record<MessageType, MessageFate>> = {
  normal: "most-available",
  chat: "most-available",
  groupchat: "error",
  headline: "all-available",
  error: "ignore",
};

/** RFC 6121 8.5.2.2: to a bare JID, while none has. */
export const BARE_UNAVAILABLE: Readonly<Record<MessageType, MessageFate>> = {
  normal: "offline",
  chat: "offline",
  groupchat: "error",
  headline: "ignore",
  error: "ignore",
};

/** RFC 6121 8.5.3.2: to a full JID that no session has; "as-bare" starts anew with the bare JID. */
export const NO_SUCH_RESOURCE: Readonly<Record<MessageType, MessageFate | "as-bare">> = {
  normal: "error",
  chat: "as-bare",
  groupchat: "error",
  headline: "ignore",
  error: "ignore",
};
