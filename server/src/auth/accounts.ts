import { randomBytes, timingSafeEqual } from "node:crypto";
import { type AccountStore, SCRAM_HASHES, type ScramHash, type ScramKeys, StorageError } from "../storage/specs.ts";
import { randomId } from "../util/ids.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { Jid, parseJid } from "../xmpp/jid.ts";
import { prepareLocal, preparePassword, prepareScramPassword } from "../xmpp/precis.ts";
import { FAST_MECHANISMS } from "../xmpp/sasl/ht.ts";
import {
  type Credentials,
  NO_STREAM,
  type SaslContext,
  SaslError,
  type SaslMechanism,
  type SaslStream,
} from "../xmpp/sasl/mechanism.ts";
import { SASL_MECHANISMS } from "../xmpp/sasl/mechanisms.ts";
import { TokenError } from "../xmpp/sasl/oauthbearer.ts";
import { decoyKeys, deriveKeys, SCRAM_ITERATIONS } from "../xmpp/sasl/scram-keys.ts";
import type { FastTokens } from "./fast-tokens.ts";
import type { Guests } from "./guests.ts";
import { HashQueue } from "./hash-queue.ts";
import { weaknessOf } from "./password-rules.ts";
import { type Settle, Throttle } from "./throttle.ts";
import type { TokenVerifier } from "./tokens.ts";

/** The hash that a password itself is checked with, where its keys are kept: SHA-512 costs three times as much and proves no more. */
const CHECKED: ScramHash = "sha-256";

export interface AccountsOptions {
  /** Shared by all hosts of a node. */
  readonly throttle?: Throttle;
  /** Shared by all hosts of a node. */
  readonly hashing?: HashQueue;
  /** The same on all nodes and at each start, and known to no client; see SaslContext. */
  readonly decoySecret?: Uint8Array;
  /** Of the SCRAM keys that are made from now on. */
  readonly iterations?: number;
  /** Whose keys are made of a new password; default all. */
  readonly hashes?: readonly ScramHash[];
  /** Whose SCRAM mechanisms are offered; default SHA-256 and SHA-1, for which every account has keys. */
  readonly offered?: readonly ScramHash[];
  /** Whether mechanisms are offered that bind to the channel; default true. */
  readonly channelBinding?: boolean;
  /** Characters that a new password has at least. */
  readonly passwordLength?: number;
  /** Tokens to log in with (XEP-0484); without, there are none. */
  readonly tokens?: FastTokens | undefined;
  /** Tokens of an issuer that speak for accounts (RFC 7628); without, none do. */
  readonly bearer?: BearerTokens | undefined;
  /** Who comes without an account (RFC 4505); without, nobody may. */
  readonly guests?: Guests | undefined;
}

export interface BearerTokens {
  readonly verifier: TokenVerifier;
  /** Whether a token is enough, so that every name may be an account's; else the account must be in a store. */
  readonly suffice: boolean;
  /** Whether PLAIN takes a token in place of a password. */
  readonly asPassword: boolean;
}

/** What came of holding a password against every store. */
type Verdict = "right" | "wrong" | Undecided;

interface Undecided {
  readonly unreachable: StorageError;
  /** Whether some store said no before, so that it was a guess. */
  readonly tried: boolean;
}

/**
 * The accounts of one host, over the stores that the operator listed, in that order. For a login, a store that keeps
 * keys of the account decides; one that can only check passwords passes on to the next when it says no. Methods take
 * local parts as they are typed, and reject with a StorageError when a store that matters does not answer.
 */
export class Accounts {
  readonly domain: string;
  readonly iterations: number;
  readonly #stores: readonly AccountStore[];
  readonly #throttle: Throttle;
  readonly #hashing: HashQueue;
  readonly #decoySecret: Uint8Array;
  readonly #passwordLength: number;
  readonly #hashes: readonly ScramHash[];
  readonly #offered: readonly ScramHash[];
  readonly #bindsChannels: boolean;
  readonly #keepsKeys: boolean;
  /** Of the hashes that keys are made for. */
  /** What passwords are checked with where an account does not exist, as those of most accounts are. */
  readonly #checked: ScramHash;
  /** Tokens that clients log in with in place of a password; undefined where there are none. */
  readonly tokens: FastTokens | undefined;
  readonly #bearer: BearerTokens | undefined;
  readonly #guests: Guests | undefined;

  constructor(domain: string, stores: readonly AccountStore[], options: AccountsOptions = {}) {
    this.domain = domain;
    this.iterations = options.iterations ?? SCRAM_ITERATIONS;
    this.#stores = stores;
    this.#throttle = options.throttle ?? new Throttle(() => performance.now());
    this.#hashing = options.hashing ?? new HashQueue();
    this.#decoySecret = options.decoySecret ?? randomBytes(32);
    this.#passwordLength = options.passwordLength ?? 8;
    this.#hashes = options.hashes ?? SCRAM_HASHES;
    this.#offered = options.offered ?? ["sha-1", "sha-256"];
    this.#bindsChannels = options.channelBinding ?? true;
    this.#checked = this.#hashes.includes(CHECKED) ? CHECKED : (this.#hashes.at(-1) ?? CHECKED);
    this.#keepsKeys = stores.some((store) => store.scram !== undefined);
    this.tokens = options.tokens;
    this.#bearer = options.bearer;
    this.#guests = options.guests;
  }

  /** The SASL mechanisms that some account of this host could use on this stream, the one to prefer first. */
  mechanisms({ channel, certified }: Pick<SaslStream, "channel" | "certified"> = NO_STREAM): readonly SaslMechanism[] {
    const isCertified = this.#accountsAmong(certified).length > 0;
    return SASL_MECHANISMS.filter(({ needs, hash, binds }) => {
      const isBound = binds?.some((type) => channel.types.includes(type)) ?? true;
      if (!isBound || (binds !== undefined && !this.#bindsChannels)) return false;
      if (needs === "scram") return this.#keepsKeys && hash !== undefined && this.#offered.includes(hash);
      if (needs === "certificate") return isCertified;
      if (needs === "token") return this.#bearer !== undefined;
      if (needs === "anonymous") return this.#guests !== undefined;
      return needs === "verify" && (this.#stores.length > 0 || this.#bearer?.asPassword === true);
    });
  }

  /** The mechanisms that take a token (XEP-0484), of those that this stream's channel allows. */
  fastMechanisms({ channel }: Pick<SaslStream, "channel">): readonly SaslMechanism[] {
    if (this.tokens === undefined || this.#stores.length === 0) return [];
    return FAST_MECHANISMS.filter(({ binds = [] }) => binds.every((type) => channel.types.includes(type)));
  }

  /**
   * Whether who logged in by this mechanism may be given a token (XEP-0484): who has shown a password, or a token. What
   * runs out by itself, or is taken back elsewhere, is not to be made to last.
   */
  givesTokens({ needs }: SaslMechanism): boolean {
    return needs === "scram" || needs === "fast" || (needs === "verify" && this.#bearer?.asPassword !== true);
  }

  /** What a SaslNegotiation needs for a client at this address; failed logins of it are counted and limited. */
  saslContext(address: string, { channel, certified, offered }: SaslStream = NO_STREAM): SaslContext {
    return {
      domain: this.domain,
      credentials: this.#credentials(address, certified),
      channel,
      offered,
      decoySecret: this.#decoySecret,
      iterations: this.iterations,
      nonce: () => randomId(18),
    };
  }

  /** Whether a name is, or may be, an account's: guests while they are here, and every name where a token is enough. */
  async exists(local: string): Promise<boolean> {
    const account = this.#account(local);
    return account !== undefined && (await this.#isKnown(account));
  }

  /** Whether the account is gone with its session, so that nothing must be kept for it. */
  isGuest(local: string): boolean {
    return this.#guests?.made(new Jid(local, this.domain)) === true;
  }

  /** Whether the account is in a store. */
  async isKept(local: string): Promise<boolean> {
    const account = this.#account(local);
    return account !== undefined && !this.#guests?.made(account) && (await this.#anyHas(account));
  }

  /** Whether this is the account's password. Counts no failures: the caller answers for who may ask how often. */
  async verify(local: string, password: string): Promise<boolean> {
    const account = this.#account(local);
    if (account === undefined) return false;
    const verdict = await this.#check(account, password);
    if (typeof verdict === "object") throw verdict.unreachable;
    return verdict === "right";
  }

  /**
   * Creates an account in the first store that can. Refuses with a StanzaError: jid-malformed for the name,
   * not-acceptable for a weak password (its text says why), not-allowed when no store can.
   */
  async create(local: string, password: string): Promise<"created" | "exists"> {
    const account = this.#account(local);
    if (account === undefined) throw new StanzaError("jid-malformed", "this cannot be an account's name");
    if (this.#guests?.made(account)) return "exists";
    const store = this.#stores.find((each) => each.create !== undefined);
    if (store?.create === undefined) throw new StanzaError("not-allowed", "accounts of this host are kept elsewhere");
    const prepared = this.#acceptable(account, password);
    if (await this.#anyHas(account)) return "exists";
    const outcome = await store.create(account, await this.#keysOf(prepared));
    // Of an account of this name that was removed elsewhere.
    if (outcome === "created") await this.tokens?.forget(account);
    return outcome;
  }

  /** Gives an account a new password, wherever it is kept. Refuses as `create` does. */
  async setPassword(local: string, password: string): Promise<"changed" | "missing"> {
    const account = this.#account(local);
    if (account === undefined) return "missing";
    const stores = this.#stores.filter((each) => each.setKeys !== undefined);
    if (stores.length === 0) throw new StanzaError("not-allowed", "accounts of this host are kept elsewhere");
    const keys = await this.#keysOf(this.#acceptable(account, password));
    for (const store of stores) {
      if ((await store.setKeys?.(account, keys)) !== "changed") continue;
      // Who could log in until now cannot by a token either.
      await this.tokens?.forget(account);
      return "changed";
    }
    return "missing";
  }

  /** Removes an account from every store that can remove; an account that is not there is no error. */
  async remove(local: string): Promise<void> {
    const account = this.#account(local);
    if (account === undefined) return;
    // No store has ever heard of a guest.
    const stores = this.#guests?.made(account) ? [] : this.#stores;
    for (const store of stores) await store.remove?.(account);
    await this.tokens?.forget(account);
  }

  /** Local parts in order, those after `after` first, at most `limit`; accounts of a store that cannot list are left out. */
  async list(after = "", limit = 100): Promise<readonly string[]> {
    const lists = await Promise.all(this.#stores.map((store) => store.list?.(this.domain, after, limit) ?? []));
    const [only, ...more] = lists.filter((list) => list.length > 0);
    if (more.length === 0) return only ?? [];
    return [...new Set(lists.flat())].sort().slice(0, limit);
  }

  /** How many accounts the stores that can count them have. */
  async count(): Promise<number> {
    const counts = await Promise.all(this.#stores.map((store) => store.count?.(this.domain) ?? 0));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  #credentials(address: string, certified: readonly string[]): Credentials {
    /** Whether a store did not answer that might have had the keys that are to be proved. */
    let doubtful = false;
    return {
      scram: async (local, hash) => {
        if (!this.#throttle.admits(address, `${local}@${this.domain}`)) throw tooMany();
        try {
          const found = await this.#scram(local, hash);
          doubtful = found.doubtful;
          return found.keys;
        } catch (error) {
          throw refusal(error);
        }
      },
      verify: async (local, password) => {
        const settle = this.#attempt(address, local);
        const asToken = this.#bearer?.asPassword === true && this.#bearer.verifier.isToken(password);
        return asToken
          ? this.#settled(settle, async () => (await this.#accountOf(password)) === local)
          : this.#verified(settle, new Jid(local, this.domain), password);
      },
      // Refused even when right: else a guess would be tried by proving it in an exchange begun before.
      proved: (local, right) => {
        this.#attempt(address, local)(right ? "right" : doubtful ? "unproven" : "wrong");
        if (!right && doubtful) throw new SaslError("temporary-auth-failure");
      },
      certificate: (authzid) => this.#byCertificate(this.#accountsAmong(certified), authzid),
      ...(this.tokens === undefined ? {} : { fast: this.#fast(this.tokens, address) }),
      ...(this.#bearer === undefined ? {} : { token: (token: string) => this.#token(token, address) }),
      ...(this.#guests === undefined ? {} : { anonymous: () => this.#admitted(this.#guests, address) }),
    };
  }

  /** Those of a certificate's addresses that an account of this host can have (RFC 6120 13.7.2.2.1). */
  #accountsAmong(addresses: readonly string[]): readonly Jid[] {
    const jids = addresses.map(parseJid).filter((jid) => jid !== undefined);
    return jids.filter(({ isBare, local, domain }) => isBare && local !== "" && domain === this.domain);
  }

  /** XEP-0178 2, step 11. */
  async #byCertificate(named: readonly Jid[], authzid: string | undefined): Promise<string | undefined> {
    const wanted = authzid === undefined ? undefined : parseJid(authzid);
    const meant = authzid === undefined ? named : named.filter(({ full }) => full === wanted?.full);
    if (meant.length === 0) throw new SaslError("invalid-authzid");
    try {
      const known: Jid[] = [];
      for (const account of meant) if (await this.#anyHas(account)) known.push(account);
      if (known.length <= 1) return known[0]?.local;
    } catch (error) {
      throw refusal(error);
    }
    throw new SaslError("invalid-authzid", "the certificate speaks for several accounts, and none of them was named");
  }

  async #verified(settle: Settle, account: Jid, password: string): Promise<boolean> {
    let verdict: Verdict;
    try {
      verdict = await this.#check(account, password);
    } catch (error) {
      settle("undecided");
      throw refusal(error);
    }
    if (typeof verdict === "object") {
      settle(verdict.tried ? "unproven" : "undecided");
      throw refusal(verdict.unreachable);
    }
    settle(verdict);
    return verdict === "right";
  }

  async #token(token: string, address: string): Promise<string> {
    const settle = this.#throttle.attempt(address);
    if (settle === undefined) throw tooMany();
    let local = "";
    await this.#settled(settle, async () => {
      local = await this.#accountOf(token);
      return true;
    });
    return local;
  }

  /** The local part of the account that a token speaks for; rejects with a TokenError. */
  async #accountOf(token: string): Promise<string> {
    const { verifier, suffice } = this.#bearer as BearerTokens;
    const local = await verifier.accountOf(token);
    const account = new Jid(local, this.domain);
    const known = suffice ? !this.isGuest(local) : await this.#anyHas(account);
    if (!known) throw verifier.refusal("the token is for an account that there is not");
    return local;
  }

  async #settled(settle: Settle, decide: () => Promise<boolean>): Promise<boolean> {
    try {
      const right = await decide();
      settle(right ? "right" : "wrong");
      return right;
    } catch (error) {
      // A question, or a token that was good once, is no guess.
      settle(error instanceof TokenError && error.guessed ? "wrong" : "undecided");
      throw refusal(error);
    }
  }

  #admitted(guests: Guests | undefined, address: string): string {
    const local = guests?.admit(address, this.domain);
    if (local === undefined)
      throw new SaslError("temporary-auth-failure", "there are too many guests, try again later");
    return local;
  }

  #fast(tokens: FastTokens, address: string): NonNullable<Credentials["fast"]> {
    return async (local, login, matches) => {
      const account = new Jid(local, this.domain);
      const settle = this.#attempt(address, local);
      try {
        const redeemed = await tokens.redeem(account, login, matches);
        const gone = typeof redeemed === "object" && !(await this.#isAccount(account));
        settle(redeemed === "wrong" || gone ? "wrong" : redeemed === "expired" ? "undecided" : "right");
        if (redeemed === "expired") throw new SaslError("credentials-expired");
        if (redeemed === "wrong" || gone) throw new SaslError("not-authorized");
        return redeemed;
      } catch (error) {
        if (!(error instanceof SaslError)) settle("undecided");
        throw refusal(error);
      }
    };
  }

  #attempt(address: string, local: string) {
    const settle = this.#throttle.attempt(address, `${local}@${this.domain}`);
    if (settle === undefined) throw tooMany();
    return settle;
  }

  /**
   * Asks every store, so that an account in the first answers no sooner than one in none. Where one does not answer, no
   * keys of a later one are used, and a wrong proof says nothing; rejects when it is the first, whoever asks.
   */
  async #scram(local: string, hash: ScramHash): Promise<{ keys: ScramKeys | undefined; doubtful: boolean }> {
    const account = new Jid(local, this.domain);
    let found: ScramKeys | undefined;
    let doubtful = false;
    let answered = false;
    for (const store of this.#stores) {
      if (store.scram === undefined) continue;
      try {
        const keys = await store.scram(account, hash);
        if (!doubtful) found ??= keys;
        answered = true;
      } catch (error) {
        if (!answered) throw error;
        onlyStorageError(error);
        doubtful = true;
      }
    }
    return { keys: found, doubtful };
  }

  /**
   * Does the same work for an account that is in no store as for a wrong password, wherever it is kept, so that the
   * time taken does not tell: every store is asked, and one hash is made where any keeps keys.
   */
  async #check(account: Jid, password: string): Promise<Verdict> {
    const opaque = preparePassword(password);
    let decided = false;
    let unreachable: StorageError | undefined;
    let tried = false;
    for (const store of this.#stores) {
      let kept: readonly ScramKeys[];
      try {
        kept = await keysIn(store, account);
        tried ||= store.scram !== undefined;
      } catch (error) {
        // It might have decided.
        unreachable = onlyStorageError(error);
        break;
      }
      const keys = kept.find(({ hash }) => hash === CHECKED) ?? kept.at(-1);
      if (keys !== undefined && !decided) {
        decided = true;
        if (await this.#matches(keys, password)) {
          void this.#complete(store, account, kept, password);
          return "right";
        }
      }
      if (opaque === undefined || store.verify === undefined) continue;
      try {
        // Where the answer is known already, nobody is asked about.
        const right = decided ? store.verify(this.#nobody(), randomId()) : store.verify(account, opaque);
        if ((await right) && !decided) return "right";
        tried = true;
      } catch (error) {
        // Its no would not have been the last word either.
        unreachable = onlyStorageError(error);
      }
    }
    if (this.#keepsKeys && !decided) await this.#matches(this.#decoy(account), password);
    return unreachable === undefined ? "wrong" : { unreachable, tried };
  }

  #nobody(): Jid {
    return new Jid(randomBytes(16).toString("hex"), this.domain);
  }

  async #isKnown(account: Jid): Promise<boolean> {
    if (this.#guests?.made(account)) return this.#guests.present(account);
    return this.#isAccount(account);
  }

  async #isAccount(account: Jid): Promise<boolean> {
    if (this.#guests?.made(account)) return false;
    return this.#bearer?.suffice === true || (await this.#anyHas(account));
  }

  async #anyHas(account: Jid): Promise<boolean> {
    for (const store of this.#stores) {
      if (await store.exists(account)) return true;
    }
    return false;
  }

  async #matches(keys: ScramKeys, password: string): Promise<boolean> {
    const prepared = prepareScramPassword(password);
    const { hash, iterations, salt } = keys;
    const own = await this.#hashing.run(() => deriveKeys(prepared ?? "", hash, iterations, salt));
    return prepared !== undefined && timingSafeEqual(own.storedKey, keys.storedKey);
  }

  #keysOf(prepared: string, hashes: readonly ScramHash[] = this.#hashes): Promise<readonly ScramKeys[]> {
    return Promise.all(hashes.map((hash) => this.#hashing.run(() => deriveKeys(prepared, hash, this.iterations))));
  }

  /** An account whose password is from when fewer hashes were kept gets the keys that it lacks. */
  async #complete(store: AccountStore, account: Jid, kept: readonly ScramKeys[], password: string): Promise<void> {
    const missing = this.#hashes.filter((hash) => kept.every((keys) => keys.hash !== hash));
    const prepared = prepareScramPassword(password);
    if (missing.length === 0 || prepared === undefined || store.addKeys === undefined) return;
    try {
      await store.addKeys(account, kept.at(-1) as ScramKeys, await this.#keysOf(prepared, missing));
    } catch (error) {
      // The next login tries again.
      if (!(error instanceof StorageError || error instanceof StanzaError)) throw error;
    }
  }

  #decoy(account: Jid): ScramKeys {
    return decoyKeys(this.#decoySecret, this.#checked, account.bare, this.iterations);
  }

  #acceptable(account: Jid, password: string): string {
    const prepared = prepareScramPassword(password);
    const weakness = prepared === undefined ? "has a forbidden character, or none" : undefined;
    const why = weakness ?? weaknessOf(prepared ?? "", account.local, this.#passwordLength);
    if (prepared === undefined || why !== undefined) throw new StanzaError("not-acceptable", `the password ${why}`);
    return prepared;
  }

  #account(local: string): Jid | undefined {
    const prepared = prepareLocal(local);
    return prepared === undefined ? undefined : new Jid(prepared, this.domain);
  }
}

/** The weakest first. All hashes are asked for at once, so that an account with the first answers no sooner than one with none. */
async function keysIn(store: AccountStore, account: Jid): Promise<readonly ScramKeys[]> {
  const keys = await Promise.all(SCRAM_HASHES.map((hash) => store.scram?.(account, hash)));
  return keys.filter((found) => found !== undefined);
}

function tooMany(): SaslError {
  return new SaslError("temporary-auth-failure", "too many failed logins, try again in a minute");
}

/** RFC 6120 6.5.11: that a store does not answer, or that too many ask, says nothing about the credentials. */
function refusal(error: unknown): unknown {
  const passing = error instanceof StorageError || error instanceof StanzaError;
  return passing ? new SaslError("temporary-auth-failure") : error;
}

function onlyStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  throw error;
}
