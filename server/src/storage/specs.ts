import type { Jid } from "../xmpp/jid.ts";
import type { ScramHash, ScramKeys } from "../xmpp/sasl/scram-keys.ts";

export { SCRAM_HASHES, type ScramHash, type ScramKeys } from "../xmpp/sasl/scram-keys.ts";

/**
 * What a module can ask of a store. A driver offers the capabilities it can keep its word on; which driver answers
 * is the operator's choice. Methods reject with a StorageError when the database cannot be reached or refuses, and those
 * that write with a ReadOnlyError where it is not for this server to fill.
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

/** One item of an archive. Its time is in its id. */
export interface ArchivedItem<T> {
  /** Made by `archiveId`: later ones come after earlier ones by their bytes, and none can be guessed. */
  readonly id: string;
  /** The other party, with its resource if it has one. */
  readonly with: Jid;
  readonly value: T;
}

/** Which items of an archive; what is left out does not narrow it. */
export interface ArchiveRange {
  /** A bare JID stands for all of its resources, a full one for itself alone (XEP-0313 4.1.1). */
  readonly with?: Jid | undefined;
  /** Milliseconds since 1970; items of that very millisecond are in. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /**
   * Items behind, or before, the one with this id, whether it is still there or not (XEP-0059 2). Nothing is behind or
   * before a text that cannot be an id.
   */
  readonly after?: string | undefined;
  readonly before?: string | undefined;
}

export interface ArchiveQuery extends ArchiveRange {
  /** Which end of the range the page is taken from. */
  readonly from: "oldest" | "newest";
  /** Items on the page, at most; 0 or more. A store may end a page at a thousand. */
  readonly max: number;
}

export interface ArchivePage<T> {
  /** Oldest first, from whichever end the page was taken. */
  readonly items: readonly ArchivedItem<T>[];
  /** Whether the range has no more items beyond the page, in the direction it was read. */
  readonly complete: boolean;
}

/**
 * Appended to, read in pages, and shortened at its old end alone, so that it has no holes (XEP-0313 over XEP-0059).
 * Every owner has one of each table.
 */
export interface ArchiveStore<T> {
  /**
   * Settles when the item is committed: a crash after that loses nothing. Items are written in batches. An id that the
   * owner's archive has already is left as it is, so that an append may be tried again.
   */
  append(owner: Jid, item: ArchivedItem<T>): Promise<void>;
  page(owner: Jid, query: ArchiveQuery): Promise<ArchivePage<T>>;
  /** Those of the ids that there are, oldest first. */
  get(owner: Jid, ids: readonly string[]): Promise<readonly ArchivedItem<T>[]>;
  /** How many items a range has, counted up to `limit` and no further. */
  count(owner: Jid, range: ArchiveRange, limit: number): Promise<number>;
  /** Puts another value in an item's place, such as a tombstone (XEP-0424 5). */
  replace(owner: Jid, id: string, value: T): Promise<"replaced" | "missing">;
  /** Keeps the newest so many items of an owner. */
  trim(owner: Jid, keep: number): Promise<void>;
  /** Removes what is older than this, milliseconds since 1970, from every owner's archive; may take a while, and more than one go. */
  expire(before: number): Promise<void>;
  /** Removes all that an owner has. */
  purge(owner: Jid): Promise<void>;
}

export interface QueuedItem<T> {
  /** Made by the store, in the order of its items. */
  readonly id: string;
  readonly value: T;
}

/**
 * What waits for its owner, first in, first out. Reading leaves it there; it is gone when it is removed, and only one of
 * those who remove it is told so, so that nothing is lost between the store and the client, and nothing delivered twice.
 */
export interface QueueStore<T> {
  /** Settles when it is committed. "full" when `limit` items wait already. */
  push(owner: Jid, value: T, limit: number): Promise<"stored" | "full">;
  /** The first so many items, or those behind the one with the id `after`. */
  list(owner: Jid, max: number, after?: string): Promise<readonly QueuedItem<T>[]>;
  /** Which of the ids were there, and are now gone by this call; in order. */
  remove(owner: Jid, ids: readonly string[]): Promise<readonly string[]>;
  size(owner: Jid): Promise<number>;
  /** Removes what was pushed before this, milliseconds since 1970, from every owner's queue. */
  expire(before: number): Promise<void>;
  clear(owner: Jid): Promise<void>;
}

/** Small facts that die by themselves: one-time tokens, limits, resumption keys. Keys are any text. */
export interface ExpiringStore<T> {
  get(key: string): Promise<T | undefined>;
  /** Replaces what is there, its time included; `ttl` in milliseconds, 1 or more. */
  set(key: string, value: T, ttl: number): Promise<void>;
  /** As `set`, unless something is there already; whether it was set. One of many that try at once succeeds. */
  add(key: string, value: T, ttl: number): Promise<boolean>;
  /** Reads and removes as one step: one of many that try at once gets it. */
  take(key: string): Promise<T | undefined>;
}

/** Who may log in, and how. LDAP makes no accounts, and changes none. */
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

/** What a module can do without, so that a store is asked less often. Drivers need not look at it. */
export interface Freshness {
  /**
   * How old an answer may be, in milliseconds, that this node has kept: what other nodes write is seen after that at the
   * latest, and what this one writes at once. Without it nothing is kept.
   */
  readonly freshFor?: number | undefined;
}

/** Opens a store of one table; undefined where the driver has the capability, but not for that table. */
export interface Capabilities {
  keyValue: <T>(table: string, codec: Codec<T>, freshness?: Freshness) => KeyValueStore<T> | undefined;
  map: <T>(table: string, codec: Codec<T>, freshness?: Freshness) => MapStore<T> | undefined;
  archive: <T>(table: string, codec: Codec<T>) => ArchiveStore<T> | undefined;
  queue: <T>(table: string, codec: Codec<T>) => QueueStore<T> | undefined;
  expiring: <T>(table: string, codec: Codec<T>) => ExpiringStore<T> | undefined;
  accounts: () => AccountStore | undefined;
}
export type Capability = keyof Capabilities;

/** One record of a store as it is kept, for copies from store to store: addresses and values are texts. */
export type StoredRecord =
  | {
      readonly capability: "accounts";
      readonly domain: string;
      readonly local: string;
      readonly keys: readonly ScramKeys[];
    }
  | { readonly capability: "keyValue"; readonly table: string; readonly owner: string; readonly value: string }
  | {
      readonly capability: "map";
      readonly table: string;
      readonly owner: string;
      readonly key: string;
      readonly value: string;
    }
  | {
      readonly capability: "archive";
      readonly table: string;
      readonly owner: string;
      readonly id: string;
      readonly with: string;
      readonly value: string;
    }
  | {
      readonly capability: "queue";
      readonly table: string;
      readonly owner: string;
      readonly id: string;
      readonly value: string;
    }
  | {
      readonly capability: "expiring";
      readonly table: string;
      readonly key: string;
      readonly value: string;
      /** Milliseconds since 1970. */
      readonly expires: number;
    };

/** All that a driver keeps, to be copied. */
export interface Contents {
  /** The capabilities whose records can be read and written here. */
  readonly holds: readonly Capability[];
  /**
   * So many records of a capability, in an order of the driver's own, from the beginning or behind a place that an earlier
   * answer named. Without a `next` they were the last. What is written meanwhile may or may not be among them.
   */
  read(
    capability: Capability,
    max: number,
    after?: string,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly next?: string | undefined }>;
  /** Puts records in, over what is there under the same names; safe to repeat. */
  write(records: readonly StoredRecord[]): Promise<void>;
}

/** One backend, opened once per named pool. It offers what it can; what it lacks is refused when the config is read. */
export interface StorageDriver extends Partial<Capabilities> {
  readonly name: string;
  /** Whether it is filled by others alone: whatever would write rejects with a ReadOnlyError. */
  readonly readOnly?: boolean;
  /** What `meerkatctl storage copy` works on; a driver that is read only, or an accounts service, has none. */
  readonly contents?: Contents;
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

/** The store is filled by others, such as a company's directory: no later try can change anything in it. */
export class ReadOnlyError extends Error {
  override readonly name = "ReadOnlyError";
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

export function keyValue<T>(
  table: string,
  codec: Codec<T> = json(),
  freshness: Freshness = {},
): StoreSpec<KeyValueStore<T>> {
  return { capability: "keyValue", table, open: (driver) => driver.keyValue?.(table, codec, freshness) };
}

export function map<T>(table: string, codec: Codec<T> = json(), freshness: Freshness = {}): StoreSpec<MapStore<T>> {
  return { capability: "map", table, open: (driver) => driver.map?.(table, codec, freshness) };
}

export function archive<T>(table: string, codec: Codec<T> = json()): StoreSpec<ArchiveStore<T>> {
  return { capability: "archive", table, open: (driver) => driver.archive?.(table, codec) };
}

export function queue<T>(table: string, codec: Codec<T> = json()): StoreSpec<QueueStore<T>> {
  return { capability: "queue", table, open: (driver) => driver.queue?.(table, codec) };
}

export function expiring<T>(table: string, codec: Codec<T> = json()): StoreSpec<ExpiringStore<T>> {
  return { capability: "expiring", table, open: (driver) => driver.expiring?.(table, codec) };
}

/** Which driver keeps a table: the operator's choice. */
export type DriverOf = (table: string) => StorageDriver;

export type StoreSpecs = Readonly<Record<string, StoreSpec<unknown>>>;
export type Stores<S extends StoreSpecs> = {
  readonly [K in keyof S]: S[K] extends StoreSpec<infer Store> ? Store : never;
};
