/** JSON Web Tokens (RFC 7519): whose account one speaks for. */
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { parseJid } from "../xmpp/jid.ts";
import { prepareLocal } from "../xmpp/precis.ts";
import { SaslError } from "../xmpp/sasl/mechanism.ts";
import { type TokenAdvice, TokenError } from "../xmpp/sasl/oauthbearer.ts";
import type { TokenAlgorithm } from "../xmpp/sasl/token-algorithms.ts";
import { type KeySet, KeysUnavailable, type VerificationKey } from "./key-sets.ts";

export interface TokenRules {
  readonly keys: KeySet;
  /** No other is accepted, whatever a token's header says. */
  readonly algorithms: readonly TokenAlgorithm[];
  readonly issuer: string;
  /** The token must be for one of them. */
  readonly audience: readonly string[];
  /** The scope that a token must have, if any. */
  readonly scope?: string | undefined;
  /** The claim that names the account. */
  readonly claim: string;
  /** Whether the claim is a local part, or a bare JID of the domain. */
  readonly form: "local" | "jid";
  /** Seconds by which clocks may differ. */
  readonly leeway: number;
  /** What clients without a good token are told. */
  readonly discovery?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class TokenVerifier {
  readonly #rules: TokenRules;
  readonly #domain: string;
  readonly #advice: TokenAdvice;

  constructor(domain: string, rules: TokenRules) {
    this.#domain = domain;
    this.#rules = rules;
    this.#advice = {
      ...(rules.scope !== undefined && { scope: rules.scope }),
      ...(rules.discovery !== undefined && { "openid-configuration": rules.discovery }),
    };
  }

  /** Whether this is meant to be a token at all, right or wrong. */
  isToken(text: string): boolean {
    return headerOf(text) !== undefined;
  }

  /** The local part of the account. Rejects with a TokenError, or a SaslError when the keys cannot be had. */
  async accountOf(token: string): Promise<string> {
    // RFC 7628 4.3: who sends none wants to know what is needed.
    if (token === "") throw new TokenError("", { advice: this.#advice, guessed: false });
    const header = headerOf(token);
    if (header === undefined || !this.#rules.algorithms.some((each) => each === header.alg)) throw this.refusal();
    const payload = await this.#payload(token, await this.#keys(header));
    if (payload === undefined) throw this.refusal();
    const { scope } = this.#rules;
    if (scope !== undefined && !scopesOf(payload).includes(scope)) {
      throw new TokenError(`the token lacks the scope ${scope}`, {
        advice: this.#advice,
        status: "insufficient_scope",
      });
    }
    const local = this.#local(payload[this.#rules.claim]);
    if (local === undefined) throw this.refusal(`its ${this.#rules.claim} names no account here`);
    return local;
  }

  /** What to say of a token that is none, or is for nobody. */
  refusal(text = ""): TokenError {
    return new TokenError(text, { advice: this.#advice });
  }

  async #keys(header: { readonly alg: string; readonly kid?: string }): Promise<readonly VerificationKey[]> {
    try {
      return await this.#rules.keys.matching(header);
    } catch (error) {
      if (error instanceof KeysUnavailable) throw new SaslError("temporary-auth-failure");
      throw error;
    }
  }

  /** Undefined when none of the keys has signed it. */
  async #payload(token: string, keys: readonly VerificationKey[]): Promise<JWTPayload | undefined> {
    const { issuer, audience, algorithms, leeway, now } = this.#rules;
    const options = {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms],
      clockTolerance: leeway,
      requiredClaims: ["exp"],
      currentDate: new Date(now()),
    };
    for (const key of keys) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (error) {
        // A key of a set that cannot be used, such as a short one, is none.
        if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof TypeError) continue;
        throw this.#refusalOf(error);
      }
    }
    return undefined;
  }

  /** Only who holds a signed token hears what is wrong with it. */
  #refusalOf(error: unknown): unknown {
    if (error instanceof errors.JWTExpired) {
      const condition = "credentials-expired";
      return new TokenError("the token has expired", { advice: this.#advice, condition, guessed: false });
    }
    if (error instanceof errors.JWTClaimValidationFailed)
      return this.refusal(`the token's ${error.claim} is not right`);
    return error instanceof errors.JOSEError ? this.refusal() : error;
  }

  #local(claim: unknown): string | undefined {
    if (typeof claim !== "string") return undefined;
    if (this.#rules.form === "local") return prepareLocal(claim);
    const jid = parseJid(claim);
    return jid?.isBare && jid.domain === this.#domain && jid.local !== "" ? jid.local : undefined;
  }
}

/** RFC 8693 4.2 has them in one text; some issuers write a list. */
function scopesOf({ scope }: JWTPayload): readonly unknown[] {
  if (typeof scope === "string") return scope.split(" ");
  return Array.isArray(scope) ? scope : [];
}

/** RFC 7515 3.1: three parts, the first of them JSON with an algorithm. */
function headerOf(token: string): { readonly alg: string; readonly kid?: string } | undefined {
  if (!/^[\w-]+\.[\w-]*\.[\w-]*$/.test(token)) return undefined;
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    if (typeof alg !== "string") return undefined;
    return { alg, ...(typeof kid === "string" && { kid }) };
  } catch {
    return undefined;
  }
}
