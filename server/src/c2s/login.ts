/** What the SASL profiles of RFC 6120 and XEP-0388 share: who may log in how, and how often. */
import type { Accounts } from "../auth/accounts.ts";
import type { CounterFamily } from "../observe/metrics.ts";
import type { Host } from "../router/hosts.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { StreamError } from "../xmpp/errors.ts";
import { external } from "../xmpp/sasl/external.ts";
import {
  NO_STREAM,
  type SaslCondition,
  type SaslContext,
  type SaslMechanism,
  type SaslStream,
} from "../xmpp/sasl/mechanism.ts";
import { type SaslLimits, SaslNegotiation, type SaslReply } from "../xmpp/sasl/negotiation.ts";
import type { ClientNegotiation } from "./client-stream.ts";

export interface LoginOptions {
  /** Whether anyone may log in on a stream that is not encrypted; PLAIN never may (RFC 6120 13.8.3). */
  readonly withoutTls: boolean;
  readonly limits: SaslLimits;
  readonly logins: CounterFamily;
  accountsOf(host: Host): Accounts;
}

/** A way to speak SASL in XMPP. */
export interface Profile {
  /** Whether it has logins by token (XEP-0484). */
  readonly takesTokens: boolean;
}

/** Logins of one stream, all in the profile that the first one was in. */
export interface StreamLogins {
  readonly profile: Profile;
  readonly negotiation: SaslNegotiation;
}

export class Login {
  readonly #options: LoginOptions;

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  get withoutTls(): boolean {
    return this.#options.withoutTls;
  }

  accounts(stream: ClientNegotiation): Accounts {
    return this.#options.accountsOf(stream.host);
  }

  /** What a login on this stream can rest on besides the client's words. */
  facts(stream: ClientNegotiation): SaslStream {
    const { channel, certified } = stream.transport.tls ?? NO_STREAM;
    const mechanisms = this.mechanisms(stream, { channel, certified });
    const bindings = channel.types.filter((type) => mechanisms.some(({ binds }) => binds?.includes(type)));
    return { channel, certified, offered: { mechanisms: mechanisms.map(({ name }) => name), bindings } };
  }

  /** Those that are offered on this stream as it is now. */
  mechanisms(
    stream: ClientNegotiation,
    facts: Pick<SaslStream, "channel" | "certified"> = this.facts(stream),
  ): readonly SaslMechanism[] {
    const secure = stream.facts.has("secure");
    const all = this.accounts(stream).mechanisms(facts);
    return all.filter((mechanism) => secure || !mechanism.plaintext);
  }

  /** The same for logins by token (XEP-0484). */
  fastMechanisms(stream: ClientNegotiation): readonly SaslMechanism[] {
    return this.accounts(stream).fastMechanisms(this.facts(stream));
  }

  /** Starts a login. */
  begin(
    stream: ClientNegotiation,
    profile: Profile,
    request: { readonly mechanism: string; readonly initial: string; readonly login?: SaslContext["login"] },
  ): MaybePromise<SaslReply> {
    const known = this.known(stream, profile).some(({ name }) => name === request.mechanism);
    stream.mechanism = known ? request.mechanism : "unknown";
    return this.#negotiation(stream, profile).begin(request.mechanism, request.initial, request.login);
  }

  respond(stream: ClientNegotiation, profile: Profile, text: string): MaybePromise<SaslReply> {
    return this.#negotiation(stream, profile).respond(text);
  }

  /** Refuses what the client asked for, which counts as a refused login. */
  refuse(stream: ClientNegotiation, profile: Profile, condition: SaslCondition, text = ""): SaslReply {
    return this.#negotiation(stream, profile).refuse(condition, text);
  }

  /** Counts how a login ended. */
  count(stream: ClientNegotiation, result: SaslCondition | "success"): void {
    this.#options.logins(stream.mechanism, result).inc();
  }

  /** To be called before the success is sent. */
  succeeded(stream: ClientNegotiation): void {
    this.count(stream, "success");
    if (stream.mechanism === external.name) stream.expires = stream.transport.tls?.certifiedUntil ?? 0;
  }

  /** To be called once a refusal is sent: ends the stream of a client that has been refused as often as it may be. */
  refused(stream: ClientNegotiation): void {
    // RFC 6120 6.4.5.
    if (stream.sasl?.negotiation.exhausted) throw new StreamError("policy-violation", "too many failed logins");
  }

  /** Those that a profile takes: what it offers, and tokens where it has them. */
  known(stream: ClientNegotiation, { takesTokens }: Profile): readonly SaslMechanism[] {
    return [...this.mechanisms(stream), ...(takesTokens ? this.fastMechanisms(stream) : [])];
  }

  #negotiation(stream: ClientNegotiation, profile: Profile): SaslNegotiation {
    if (stream.sasl !== undefined && stream.sasl.profile !== profile) {
      throw new StreamError("policy-violation", "another SASL profile is in use on this stream");
    }
    if (stream.sasl !== undefined) return stream.sasl.negotiation;
    const context = this.accounts(stream).saslContext(stream.transport.address, this.facts(stream));
    const { limits } = this.#options;
    const known = this.known(stream, profile);
    stream.sasl = { profile, negotiation: new SaslNegotiation(known, context, limits, this.#withheld(stream)) };
    return stream.sasl.negotiation;
  }

  /** Those that TLS would add. */
  #withheld(stream: ClientNegotiation): readonly string[] {
    if (stream.facts.has("secure")) return [];
    const all = this.accounts(stream).mechanisms(this.facts(stream));
    return all.filter(({ plaintext }) => plaintext).map(({ name }) => name);
  }
}

/** RFC 6120 6.4.6, XEP-0388 2.3: who says at the start who it is, where nobody else can, is not then somebody else. */
export function contradicts({ from, host, facts }: ClientNegotiation, local: string): boolean {
  return facts.has("secure") && from !== undefined && (from.local !== local || from.domain !== host.domain);
}
