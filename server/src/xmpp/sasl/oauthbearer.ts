import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import {
  checkAuthzid,
  decodeText,
  type SaslCondition,
  type SaslContext,
  SaslError,
  type SaslExchange,
  type SaslMechanism,
  type SaslStep,
} from "./mechanism.ts";

/** What a client is told to get a better token by (RFC 7628 3.2.2). */
export interface TokenAdvice {
  readonly scope?: string;
  readonly "openid-configuration"?: string;
}

/** A token that lets nobody in. */
export class TokenError extends SaslError {
  /** RFC 6750 3.1. */
  readonly status: "invalid_token" | "insufficient_scope";
  readonly advice: TokenAdvice;
  /** Whether this may be someone who tries tokens. */
  readonly guessed: boolean;

  constructor(
    text = "",
    {
      advice = {},
      status = "invalid_token",
      condition = "not-authorized",
      guessed = true,
    }: {
      readonly advice?: TokenAdvice;
      readonly status?: TokenError["status"];
      readonly condition?: SaslCondition;
      readonly guessed?: boolean;
    } = {},
  ) {
    super(condition, text);
    this.status = status;
    this.advice = advice;
    this.guessed = guessed;
  }
}

/** RFC 7628: OAuth 2.0 bearer tokens. */
export const oauthBearer: SaslMechanism = {
  name: "OAUTHBEARER",
  needs: "token",
  plaintext: true,
  start: (context) => new OauthExchange(context),
};

class OauthExchange implements SaslExchange {
  readonly #context: SaslContext;
  #refusal: TokenError | undefined;

  constructor(context: SaslContext) {
    this.#context = context;
    this.#refusal = undefined;
  }

  step(response: Uint8Array): MaybePromise<SaslStep> {
    // RFC 7628 3.2.3: the client has read why, and says so; the exchange ends, whatever it says.
    if (this.#refusal !== undefined) throw this.#refusal;
    const { authzid, token } = readRequest(decodeText(response));
    const { credentials, domain } = this.#context;
    try {
      const local = then(credentials.token?.(token), (found) => {
        if (found === undefined) throw new TokenError();
        checkAuthzid(authzid, found, domain);
        return { success: { local: found } };
      });
      return local instanceof Promise ? local.catch((error: unknown) => this.#explain(error)) : local;
    } catch (error) {
      return this.#explain(error);
    }
  }

  #explain(error: unknown): SaslStep {
    if (!(error instanceof TokenError)) throw error;
    this.#refusal = error;
    return { challenge: Buffer.from(JSON.stringify({ status: error.status, ...error.advice })) };
  }
}

/** RFC 5801 4's gs2-header without channel binding, which this mechanism has none of. */
const GS2_HEADER = /^[ny],(?:a=([^,]+))?,$/;
/** RFC 7628 3.1; its value may have no control characters but these. */
const PAIR = /^([A-Za-z]+)=([\t\r\n -~]*)$/;
/** RFC 6750 2.1, and RFC 7235 2.1: the scheme's name is in any case. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const HOST = /^(?:[A-Za-z0-9._-]{1,255}|\[?[0-9A-Fa-f:.]{2,45}\]?)$/;
const PORT = /^[1-9][0-9]{0,4}$/;
const MAX_PAIRS = 16;

/** The token is empty when there is none of the one scheme there is, which is how clients ask what they need (RFC 7628 4.3). */
function readRequest(message: string): { readonly authzid: string; readonly token: string } {
  const [header = "", ...rest] = message.split("\x01");
  const gs2 = GS2_HEADER.exec(header);
  const pairs = rest.slice(0, -2);
  if (gs2 === null || rest.length < 2 || rest.slice(-2).some((end) => end !== "")) {
    throw new SaslError("malformed-request", "not a GS2 header, pairs, and a last separator");
  }
  if (pairs.length > MAX_PAIRS) throw new SaslError("malformed-request", `more than ${MAX_PAIRS} pairs`);
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const [, key, value] = PAIR.exec(pair) ?? [];
    if (key === undefined || value === undefined) throw new SaslError("malformed-request", "not key and value");
    if (values.has(key)) throw new SaslError("malformed-request", `${key} is there twice`);
    values.set(key, value);
  }
  const auth = values.get("auth");
  if (auth === undefined) throw new SaslError("malformed-request", "auth is missing");
  if (!HOST.test(values.get("host") ?? "-")) throw new SaslError("malformed-request", "host is no host");
  const port = values.get("port") ?? "1";
  if (!PORT.test(port) || Number(port) > 65_535) throw new SaslError("malformed-request", "port is no port");
  return { authzid: readName(gs2[1] ?? ""), token: BEARER.exec(auth)?.[1] ?? "" };
}

/** RFC 5801 4, saslname: a comma is written =2C and an equals sign =3D. */
function readName(name: string): string {
  if (/=(?!2C|3D)|\0/.test(name)) throw new SaslError("malformed-request", "bad escape in a name");
  return name.replaceAll("=2C", ",").replaceAll("=3D", "=");
}
