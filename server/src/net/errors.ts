export type TransportFault =
  | "backlog-exceeded"
  | "tls-timeout"
  | "tls-failed"
  | "peer-silent"
  | "message-too-big"
  | "message-not-text"
  | "message-malformed";

/** Why this side cut a transport; arrives at `closed`, is never thrown. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly fault: TransportFault;

  constructor(fault: TransportFault, text: string, options?: ErrorOptions) {
    super(`${fault}: ${text}`, options);
    this.fault = fault;
  }
}

export type RefusalReason =
  | "accept-failed"
  | "connections"
  | "connections-per-address"
  | "proxy-untrusted"
  | "proxy-header"
  | "proxy-timeout"
  | "tls-failed"
  | "tls-timeout";

/** A connection that was closed before it became a transport: something to count, and at most one quiet line in the log. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** The peer's address, as far as it was known; may be "". */
  readonly address: string;
  readonly detail: string;
}
