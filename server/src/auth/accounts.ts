import { randomBytes, timingSafeEqual } from "node:crypto";
import { type AccountStore, SCRAM_HASHES, type ScramHash, type ScramKeys, StorageError } from "../storage/specs.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { Jid } from "../xmpp/jid.ts";
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
import { decoyKeys, deriveKeys, SCRAM_ITERATIONS } from "../xmpp/sasl/scram-keys.ts";
import type { FastTokens } from "./fast-tokens.ts";
import { HashQueue } from "./hash-queue.ts";
import { weaknessOf } from "./password-rules.ts";
import { Throttle } from "./throttle.ts";

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
  /** Characters that a new password has at least. */
  readonly passwordLength?: number;
  /** Tokens to log in with (XEP-0484); without, there are none. */
  readonly tokens?: FastTokens | undefined;
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
  readonly #keepsKeys: boolean;
  /** Tokens that clients log in with in place of a password; undefined where there are none. */
  readonly tokens: FastTokens | undefined;

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
    this.#keepsKeys = stores.some((store) => store.scram !== undefined);
    this.tokens = options.tokens;
  }

  /** The SASL mechanisms that some account of this host could use on this stream, the one to prefer first. */
  mechanisms({ channel }: Pick<SaslStream, "channel" | "certified"> = NO_STREAM): readonly SaslMechanism[] {
    return SASL_MECHANISMS.filter(({ needs, hash, binds }) => {
      if (binds !== undefined && !binds.some((type) => channel.types.includes(type))) return false;
      if (needs === "scram") return this.#keepsKeys && hash !== undefined && this.#offered.includes(hash);
      return needs === "verify";
    });
  }

  /** The mechanisms that take a token (XEP-0484), of those that this stream's channel allows. */
  fastMechanisms({ channel }: Pick<SaslStream, "channel">): readonly SaslMechanism[] {
    if (this.tokens === undefined) return [];
    return FAST_MECHANISMS.filter(({ binds = [] }) => binds.every((type) => channel.types.includes(type)));
  }

  /** What a SaslNegotiation needs for a client at this address; failed logins of it are counted and limited. */
  saslContext(address: string, { channel, offered }: SaslStream = NO_STREAM): SaslContext {
    return {
      domain: this.domain,
      credentials: this.#credentials(address),
      channel,
      offered,
      decoySecret: this.#decoySecret,
      iterations: this.iterations,
      nonce: () => randomBytes(18).toString("base64"),
    };
  }

  async exists(local: string): Promise<boolean> {
    const account = this.#account(local);
    return account !== undefined && (await this.#anyHas(account));
  }

  /** Whether this is the account's password. Counts no failures: the caller answers for who may ask how often. */
  async verify(local: string, password: string): Promise<boolean> {
    const account = this.#account(local);
    if (account === undefined) return false;
    const opaque = preparePassword(password);
    let unreachable: StorageError | undefined;
    for (const store of this.#stores) {
      const keys = await strongestKeys(store, account);
      if (keys !== undefined) return this.#matches(keys, password);
      if (opaque === undefined || store.verify === undefined) continue;
      try {
        if (await store.verify(account, opaque)) return true;
      } catch (error) {
        // Its no would not have been the last word either.
        unreachable = onlyStorageError(error);
      }
    }
    // As slow as a wrong password, so that the time taken does not tell who has an account.
    if (this.#keepsKeys) await this.#matches(this.#decoy(account), password);
    if (unreachable !== undefined) throw unreachable;
    return false;
  }

  /**
   * Creates an account in the first store that can. Refuses with a StanzaError: jid-malformed for the name,
   * not-acceptable for a weak password (its text says why), not-allowed when no store can.
   */
  async create(local: string, password: string): Promise<"created" | "exists"> {
    const account = this.#account(local);
    if (account === undefined) throw new StanzaError("jid-malformed", "this cannot be an account's name");
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
    for (const store of this.#stores) await store.remove?.(account);
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

  #credentials(address: string): Credentials {
    return {
      scram: (local, hash) => {
        if (!this.#throttle.admits(address, `${local}@${this.domain}`)) throw tooMany();
        return answered(this.#scram(local, hash));
      },
      verify: async (local, password) => {
        const settle = this.#attempt(address, local);
        try {
          const right = await this.verify(local, password);
          settle(right ? "right" : "wrong");
          return right;
        } catch (error) {
          settle("undecided");
          throw refusal(error);
        }
      },
      // Refused even when right: else a guess would be tried by proving it in an exchange begun before.
      proved: (local, right) => this.#attempt(address, local)(right ? "right" : "wrong"),
      ...(this.tokens === undefined ? {} : { fast: this.#fast(this.tokens, address) }),
    };
  }

  #fast(tokens: FastTokens, address: string): NonNullable<Credentials["fast"]> {
    return async (local, login, matches) => {
      const account = new Jid(local, this.domain);
      const settle = this.#attempt(address, local);
      try {
        const redeemed = await tokens.redeem(account, login, matches);
        const gone = typeof redeemed === "object" && !(await this.#anyHas(account));
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

  async #scram(local: string, hash: ScramHash): Promise<ScramKeys | undefined> {
    const account = new Jid(local, this.domain);
    for (const store of this.#stores) {
      const keys = await store.scram?.(account, hash);
      if (keys !== undefined) return keys;
    }
    return undefined;
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

  #keysOf(prepared: string): Promise<readonly ScramKeys[]> {
    return Promise.all(
      this.#hashes.map((hash) => this.#hashing.run(() => deriveKeys(prepared, hash, this.iterations))),
    );
  }

  #decoy(account: Jid): ScramKeys {
    return decoyKeys(this.#decoySecret, "sha-256", account.bare, this.iterations);
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

/** All hashes are asked for at once, so that an account with the first answers no sooner than one with none. */
async function strongestKeys(store: AccountStore, account: Jid): Promise<ScramKeys | undefined> {
  const keys = await Promise.all(SCRAM_HASHES.map((hash) => store.scram?.(account, hash)));
  return keys.findLast((found) => found !== undefined);
}

function tooMany(): SaslError {
  return new SaslError("temporary-auth-failure", "too many failed logins, try again in a minute");
}

async function answered<T>(request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw refusal(error);
  }
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
