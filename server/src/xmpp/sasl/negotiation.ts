import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import {
  type FastToken,
  type SaslCondition,
  type SaslContext,
  SaslError,
  type SaslExchange,
  type SaslMechanism,
  type SaslStep,
} from "./mechanism.ts";

/** What goes back to the client: the text of `<challenge/>` or `<success/>`, or the condition of `<failure/>`. */
export type SaslReply =
  | { readonly challenge: string }
  | { readonly success: { readonly local: string; readonly data: string; readonly renewed?: FastToken } }
  | { readonly failure: SaslCondition; readonly text: string };

export interface SaslLimits {
  /** Of one message, decoded. */
  readonly messageBytes: number;
  /** After so many refusals the stream is to be closed (RFC 6120 6.4.5 asks for 2 at least, and 5 at most). */
  readonly refusals: number;
}
export const SASL_LIMITS: SaslLimits = { messageBytes: 4096, refusals: 3 };

/** The SASL negotiation of one stream (RFC 6120 6.4), over the text of its elements. */
export class SaslNegotiation {
  readonly #mechanisms: readonly SaslMechanism[];
  readonly #context: SaslContext;
  readonly #limits: SaslLimits;
  readonly #withheld: readonly string[];
  #exchange: SaslExchange | undefined;
  #refusals: number;

  /** Takes the mechanisms that are offered on this stream as it is now, and the names of those that TLS would add. */
  constructor(
    mechanisms: readonly SaslMechanism[],
    context: SaslContext,
    limits: SaslLimits = SASL_LIMITS,
    withheld: readonly string[] = [],
  ) {
    this.#mechanisms = mechanisms;
    this.#context = context;
    this.#limits = limits;
    this.#withheld = withheld;
    this.#exchange = undefined;
    this.#refusals = 0;
  }

  /** Whether the client has been refused as often as it may be. */
  get exhausted(): boolean {
    return this.#refusals >= this.#limits.refusals;
  }

  /** `<auth/>`: starts over if an exchange was under way. Rejects only for a bug. */
  begin(mechanism: string, initial: string, login?: SaslContext["login"]): MaybePromise<SaslReply> {
    const found = this.#mechanisms.find(({ name }) => name === mechanism);
    // RFC 6120 6.5.4, 6.5.7.
    const refusal = this.#withheld.includes(mechanism) ? "encryption-required" : "invalid-mechanism";
    if (found === undefined) return this.#refuse(new SaslError(refusal));
    this.#exchange = found.start(login === undefined ? this.#context : { ...this.#context, login });
    // RFC 6120 6.4.2: in every mechanism here the client speaks first; no initial response asks for an empty challenge.
    return initial === "" && found.wordless !== true ? { challenge: "" } : this.respond(initial);
  }

  /** `<response/>`. Rejects only for a bug. */
  respond(text: string): MaybePromise<SaslReply> {
    try {
      if (this.#exchange === undefined) throw new SaslError("malformed-request", "no exchange is under way");
      const reply = then(this.#exchange.step(this.#decode(text)), (step) => this.#reply(step));
      return reply instanceof Promise ? reply.catch((error: unknown) => this.#refuse(error)) : reply;
    } catch (error) {
      return this.#refuse(error);
    }
  }

  /** `<abort/>` (RFC 6120 6.4.4). */
  abort(): SaslReply {
    return this.refuse("aborted");
  }

  /** Ends what is under way, and counts as a refused login. */
  refuse(condition: SaslCondition, text = ""): SaslReply {
    return this.#refuse(new SaslError(condition, text));
  }

  #decode(text: string): Uint8Array {
    const { messageBytes } = this.#limits;
    if (text.length > Math.ceil(messageBytes / 3) * 4) throw new SaslError("malformed-request", "message too long");
    // RFC 6120 6.4.2: "=" is how an empty message is written.
    const message = decodeBase64(text === "=" ? "" : text);
    if (message === undefined) throw new SaslError("incorrect-encoding");
    if (message.length > messageBytes) throw new SaslError("malformed-request", "message too long");
    return message;
  }

  #reply(step: SaslStep): SaslReply {
    if ("challenge" in step) return { challenge: encodeBase64(step.challenge) };
    this.#exchange = undefined;
    const { data, ...success } = step.success;
    // RFC 6120 6.4.6: no text means no additional data, and "=" that there is some, of no length.
    return { success: { ...success, data: data === undefined ? "" : encodeBase64(data) || "=" } };
  }

  #refuse(error: unknown): SaslReply {
    this.#exchange = undefined;
    if (!(error instanceof SaslError)) throw error;
    this.#refusals += 1;
    return { failure: error.condition, text: error.text };
  }
}
