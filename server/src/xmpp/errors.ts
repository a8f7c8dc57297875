import type { Element } from "../xml/element.ts";

/** RFC 6120 8.3.3, each with the error type it is sent with unless a caller says otherwise. */
const STANZA_CONDITIONS = {
  "bad-request": "modify",
  conflict: "cancel",
  "feature-not-implemented": "cancel",
  forbidden: "auth",
  gone: "cancel",
  "internal-server-error": "cancel",
  "item-not-found": "cancel",
  "jid-malformed": "modify",
  "not-acceptable": "modify",
  "not-allowed": "cancel",
  "not-authorized": "auth",
  "policy-violation": "modify",
  "recipient-unavailable": "wait",
  redirect: "modify",
  "registration-required": "auth",
  "remote-server-not-found": "cancel",
  "remote-server-timeout": "wait",
  "resource-constraint": "wait",
  "service-unavailable": "cancel",
  "subscription-required": "auth",
  "undefined-condition": "cancel",
  "unexpected-request": "wait",
} as const;

export type StanzaCondition = keyof typeof STANZA_CONDITIONS;
export type StanzaErrorType = "auth" | "cancel" | "continue" | "modify" | "wait";

/** A refusal the sender is meant to read. Anything else thrown is a bug and leaves as internal-server-error. */
export class StanzaError extends Error {
  override readonly name = "StanzaError";
  readonly condition: StanzaCondition;
  readonly type: StanzaErrorType;
  readonly text: string;
  /** RFC 6120 8.3.4: says more in a namespace of its own. */
  readonly detail: Element | undefined;

  constructor(
    condition: StanzaCondition,
    text = "",
    type: StanzaErrorType = STANZA_CONDITIONS[condition],
    detail: Element | undefined = undefined,
  ) {
    super(text === "" ? condition : `${condition}: ${text}`);
    this.condition = condition;
    this.type = type;
    this.text = text;
    this.detail = detail;
  }
}

/** A refusal whose answer does not repeat what it refuses: there is a password in it. */
export class UnquotedError extends StanzaError {}

/** RFC 6120 4.9.3. */
export type StreamCondition =
  | "bad-format"
  | "bad-namespace-prefix"
  | "conflict"
  | "connection-timeout"
  | "host-gone"
  | "host-unknown"
  | "improper-addressing"
  | "internal-server-error"
  | "invalid-from"
  | "invalid-namespace"
  | "invalid-xml"
  | "not-authorized"
  | "not-well-formed"
  | "policy-violation"
  | "remote-connection-failed"
  | "reset"
  | "resource-constraint"
  | "restricted-xml"
  | "see-other-host"
  | "system-shutdown"
  | "undefined-condition"
  | "unsupported-encoding"
  | "unsupported-feature"
  | "unsupported-stanza-type"
  | "unsupported-version";

/** Ends the stream it is thrown on; the peer reads the condition, and the text if there is one. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly condition: StreamCondition;
  readonly text: string;
  /** RFC 6120 4.9.4: says more in a namespace of its own. */
  readonly detail: Element | undefined;

  constructor(condition: StreamCondition, text = "", detail: Element | undefined = undefined) {
    super(text === "" ? condition : `${condition}: ${text}`);
    this.condition = condition;
    this.text = text;
    this.detail = detail;
  }
}
