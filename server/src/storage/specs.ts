import type { Jid } from "../xmpp/jid.ts";
import type { ScramHash, ScramKeys } from "../xmpp/sasl/scram-keys.ts";

export { SCRAM_HASHES, type ScramHash, type ScramKeys } from "../xmpp/sasl/scram-keys.ts";

/**
 * What a module can ask of a store. A driver offers the capabilities it can keep its word on; which driver answers
 * is the operator's choice. Methods reject with a StorageError when the database cannot be reached or refuses.
 */

/** Values filed under an account (or the host itself), one each. Owners are taken by their bare JID. */
export interface KeyValueStore<T> {
  get(owner: Jid): Promise<T | undefined>;
  set(owner: Jid, value: T): Promise<void>;
  remove(owner: Jid): Promise<void>;
}

/** Items filed under an owner's bare JID and a key: roster items, private XML, block lists. */
export interface MapStore<T> {
  get(owner: Jid, key: string): Promise<T | undefined>;
  /** In no particular order. */
  list(owner: Jid): Promise<ReadonlyMap<string, T>>;
  set(owner: Jid, key: string, value: T): Promise<void>;
  /**
   * Reads, decides and writes as one step that no other node can come between. `change` gets the present value and
   * returns the one to keep, or undefined to remove it; it may be called again when another writer was faster, so it
   * must do nothing else. Returns what was kept.
   */
  update(owner: Jid, key: string, change: (present: T | undefined) => T | undefined): Promise<T | undefined>;
  /**
   * `update` over several keys of one owner, as one step: `change` gets those that are present and returns those to keep;
   * what it leaves out is removed. Whoever updates one of them waits, and a reader sees all of the change or none.
   */
  updateTogether(
    owner: Jid,
    keys: readonly string[],
    change: (present: ReadonlyMap<string, T>) => ReadonlyMap<string, T>,
  ): Promise<void>;
  /** The items that many owners have under the same key, by the owner's bare JID; one request however many they are. */
  getEach(owners: readonly Jid[], key: string): Promise<ReadonlyMap<string, T>>;
  remove(owner: Jid, key: string): Promise<void>;
  clear(owner: Jid): Promise<void>;
}

/** Who may log in, and how. LDAP implements `exists` and `verify` alone. */
export interface AccountStore {
  exists(account: Jid): Promise<boolean>;
  /** Checks a plain password against a store that keeps no SCRAM keys. */
  verify?(account: Jid, password: string): Promise<boolean>;
  scram?(account: Jid, hash: ScramHash): Promise<ScramKeys | undefined>;
  create?(account: Jid, keys: readonly ScramKeys[]): Promise<"created" | "exists">;
  /** Replaces the keys of an account; "missing" when there is none. */
  setKeys?(account: Jid, keys: readonly ScramKeys[]): Promise<"changed" | "missing">;
  /**
   * Adds keys of hashes that the account has none of yet, if it still has `known`: else its password is another one by
   * now. Those of a hash that it has, and of an account that is gone, are left out without a word.
   */
  addKeys?(account: Jid, known: ScramKeys, more: readonly ScramKeys[]): Promise<void>;
  remove?(account: Jid): Promise<void>;
  count?(domain: string): Promise<number>;
  /** Local parts in order, those after `after` first; at most `limit`. */
  list?(domain: string, after: string, limit: number): Promise<readonly string[]>;
}

export interface Capabilities {
  keyValue: <T>(table: string, codec: Codec<T>) => KeyValueStore<T>;
  map: <T>(table: string, codec: Codec<T>) => MapStore<T>;
  accounts: () => AccountStore;
}
export type Capability = keyof Capabilities;

/** One backend, opened once per named pool. It offers what it can; what it lacks is refused when the config is read. */
export interface StorageDriver extends Partial<Capabilities> {
  readonly name: string;
  /** Makes or upgrades tables; safe to run on every node at once. */
  migrate(): Promise<void>;
  /** Whether a trivial request succeeds within two seconds; never rejects. */
  healthy(): Promise<boolean>;
  close(): Promise<void>;
}

/** The database could not be reached, was too slow, or refused: the caller's request may be tried again later. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

export interface Codec<T> {
  encode(value: T): string;
  decode(stored: string): T;
}

export function json<T>(): Codec<T> {
  return { encode: (value) => JSON.stringify(value), decode: (stored) => JSON.parse(stored) as T };
}

/** What a module asks for; which driver answers is the operator's choice, not the module's. */
export interface StoreSpec<S> {
  readonly capability: Capability;
  readonly table: string;
  readonly open: (driver: StorageDriver) => S | undefined;
}

export function keyValue<T>(table: string, codec: Codec<T> = json()): StoreSpec<KeyValueStore<T>> {
  return { capability: "keyValue", table, open: (driver) => driver.keyValue?.(table, codec) };
}

export function map<T>(table: string, codec: Codec<T> = json()): StoreSpec<MapStore<T>> {
  return { capability: "map", table, open: (driver) => driver.map?.(table, codec) };
}

export type StoreSpecs = Readonly<Record<string, StoreSpec<unknown>>>;
export type Stores<S extends StoreSpecs> = {
  readonly [K in keyof S]: S[K] extends StoreSpec<infer Store> ? Store : never;
};
