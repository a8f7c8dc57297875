import type { MaybePromise } from "../../util/maybe-promise.ts";
import { parseJid } from "../jid.ts";
import type { ScramHash, ScramKeys } from "./scram-keys.ts";

/** RFC 6120 6.5. */
export type SaslCondition =
  | "aborted"
  | "account-disabled"
  | "credentials-expired"
  | "encryption-required"
  | "incorrect-encoding"
  | "invalid-authzid"
  | "invalid-mechanism"
  | "malformed-request"
  | "mechanism-too-weak"
  | "not-authorized"
  | "temporary-auth-failure";

/** A refused login that the client is meant to read. */
export class SaslError extends Error {
  override readonly name = "SaslError";
  readonly condition: SaslCondition;
  readonly text: string;

  constructor(condition: SaslCondition, text = "") {
    super(text === "" ? condition : `${condition}: ${text}`);
    this.condition = condition;
    this.text = text;
  }
}

/** What mechanisms ask about the accounts of a host, for one client. Each method may refuse with a SaslError. */
export interface Credentials {
  /** The keys of an account, by its prepared local part; undefined if there is no such account. */
  scram(local: string, hash: ScramHash): MaybePromise<ScramKeys | undefined>;
  /** Whether this is the account's password; takes as long for an account that does not exist. */
  verify(local: string, password: string): MaybePromise<boolean>;
  /** Told of every SCRAM proof, right or wrong, before the client is. */
  proved(local: string, right: boolean): void;
  /** The local part of the account that an OAuth token speaks for; undefined if it speaks for none. */
  token?(token: string): MaybePromise<string | undefined>;
  /** A fresh local part, for a client that stays unknown. */
  anonymous?(): MaybePromise<string>;
  /** Whom the client's certificate lets in as `authzid`, or, without one, as the one account it speaks for (XEP-0178). */
  certificate?(authzid: string | undefined): MaybePromise<string | undefined>;
  /** Takes the token of the client for which `matches` holds; refuses with a SaslError where there is none. */
  fast?(local: string, login: TokenLogin, matches: (token: string) => boolean): MaybePromise<RedeemedToken>;
}

/** A login by token (XEP-0484), as the client describes it beside its SASL message. */
export interface TokenLogin {
  /** The one that the token has to be for. */
  readonly mechanism: string;
  /** The id of `<user-agent/>`, in lower case. */
  readonly userAgent: string;
  /** Has to be above those that came with the token before. */
  readonly count: number | undefined;
  /** Whether the client is to have no token any more. */
  readonly invalidate: boolean;
  /** Whether an old token may be replaced by a new one. */
  readonly renewable: boolean;
}

export interface FastToken {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

export interface RedeemedToken {
  readonly token: string;
  /** What the client is to log in with from now on. */
  readonly renewed?: FastToken;
}

/** What the TLS under a stream has for a login to be bound to (RFC 5056), the best type first; nothing without TLS of our own. */
export interface Channel {
  readonly types: readonly string[];
  data(type: string): Uint8Array | undefined;
}
export const NO_CHANNEL: Channel = { types: [], data: () => undefined };

/** What this stream was told in its features, which XEP-0474 compares with what the client heard. */
export interface Offered {
  readonly mechanisms: readonly string[];
  readonly bindings: readonly string[];
}

/** What a login can rest on besides the client's words. */
export interface SaslStream {
  readonly channel: Channel;
  /** The addresses that the client's certificate, which TLS found valid, speaks for. */
  readonly certified: readonly string[];
  readonly offered: Offered;
}
export const NO_STREAM: SaslStream = { channel: NO_CHANNEL, certified: [], offered: { mechanisms: [], bindings: [] } };

/** What an exchange needs of the server that runs it. */
export interface SaslContext {
  /** The host that the stream is to. */
  readonly domain: string;
  readonly credentials: Credentials;
  readonly channel: Channel;
  readonly offered: Offered;
  /** Known to all nodes and to no client: the salts of accounts that do not exist are made from it. */
  readonly decoySecret: Uint8Array;
  /** What the keys of most accounts are made with, which accounts that do not exist claim too. */
  readonly iterations: number;
  /** A new nonce each time: printable ASCII without a comma (RFC 5802 7). */
  readonly nonce: () => string;
  /** Set for a login by token. */
  readonly login?: Omit<TokenLogin, "mechanism">;
}

/** What the server answers to a message of the client; a refusal is thrown as a SaslError. */
export type SaslStep =
  | { readonly challenge: Uint8Array }
  | { readonly success: { readonly local: string; readonly data?: Uint8Array; readonly renewed?: FastToken } };

/** One login on its way. */
export interface SaslExchange {
  step(response: Uint8Array): MaybePromise<SaslStep>;
}

export interface SaslMechanism {
  readonly name: string;
  /** The method of Credentials that it lives on. */
  readonly needs: "scram" | "verify" | "token" | "anonymous" | "certificate" | "fast";
  /** Whose keys it needs, if any. */
  readonly hash?: ScramHash;
  /** The channel bindings that it can use and must: it is offered where the channel has one of them. */
  readonly binds?: readonly string[];
  /** Whether it shows the password to whoever reads the stream, so that it is offered under TLS only. */
  readonly plaintext: boolean;
  /** Whether a client that sends no first message has said enough (XEP-0175 examples 2 and 3). */
  readonly wordless?: boolean;
  start(context: SaslContext): SaslExchange;
}

/** RFC 6120 6.3.8: a client acts as itself, so its authorization identity is none, or its own bare JID. */
export function checkAuthzid(authzid: string, local: string | undefined, domain: string): void {
  if (authzid === "") return;
  const jid = parseJid(authzid);
  if (jid === undefined || !jid.isBare || jid.local !== local || jid.domain !== domain) {
    throw new SaslError("invalid-authzid");
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a client's message, which every mechanism here writes in UTF-8. */
export function decodeText(message: Uint8Array): string {
  try {
    return strictUtf8.decode(message);
  } catch {
    throw new SaslError("malformed-request", "not UTF-8");
  }
}
