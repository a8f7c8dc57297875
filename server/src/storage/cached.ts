/** A driver that keeps answers for as long as the module that asks allows, and as many as the operator does. */
import type { Metrics } from "../observe/metrics.ts";
import { ReadThrough } from "./read-through.ts";
import type { AccountStore, Codec, KeyValueStore, MapStore, StorageDriver } from "./specs.ts";

export interface CacheOptions {
  readonly store: string;
  /** Answers kept; 0 for none. */
  readonly entries: number;
  readonly metrics: Metrics;
  readonly now?: (() => number) | undefined;
}

/** How long a directory's word that an account is there is good for. */
export const ACCOUNT_FRESH_FOR = 10_000;

/** What a store keeps, for whoever files it in a cache: the same text for everybody, so that each gets a value of its own. */
const TEXT: Codec<string> = { encode: (value) => value, decode: (stored) => stored };

export function cached(driver: StorageDriver, { store, entries, metrics, now }: CacheOptions): StorageDriver {
  if (entries === 0) return driver;
  const cache = new ReadThrough({ entries, now: now ?? (() => performance.now()) });
  const results = metrics.counters(
    "xmpp_storage_cache_total",
    "Questions to a store that may be answered by what this node has kept.",
    ["store", "table", "result"],
  );
  const tell = (table: string) => {
    const [hits, misses] = [results(store, table, "hit"), results(store, table, "miss")];
    return (hit: boolean) => (hit ? hits : misses).inc();
  };
  return {
    ...driver,
    migrate: () => driver.migrate(),
    healthy: () => driver.healthy(),
    close: () => driver.close(),
    ...(driver.keyValue && {
      keyValue(table, codec, { freshFor } = {}) {
        if (freshFor === undefined) return driver.keyValue?.(table, codec);
        const texts = driver.keyValue?.(table, TEXT);
        return texts && cachedKeyValue(texts, codec, { cache, table, freshFor, told: tell(table) });
      },
    }),
    ...(driver.map && {
      map(table, codec, { freshFor } = {}) {
        if (freshFor === undefined) return driver.map?.(table, codec);
        const texts = driver.map?.(table, TEXT);
        return texts && cachedMap(texts, codec, { cache, table, freshFor, told: tell(table) });
      },
    }),
    ...(driver.accounts && {
      accounts() {
        const opened = driver.accounts?.();
        return opened && cachedAccounts(opened, cache, tell("accounts"));
      },
    }),
  };
}

interface Place {
  readonly cache: ReadThrough;
  readonly table: string;
  readonly freshFor: number;
  readonly told: (hit: boolean) => void;
}

function cachedKeyValue<T>(
  texts: KeyValueStore<string>,
  codec: Codec<T>,
  { cache, table, freshFor, told }: Place,
): KeyValueStore<T> {
  const nameOf = (bare: string) => `keyValue\0${table}\0${bare}`;
  return {
    async get(owner) {
      const name = nameOf(owner.bare);
      const stored = await cache.read(name, name, freshFor, () => texts.get(owner), told);
      return stored === undefined ? undefined : codec.decode(stored);
    },
    set: (owner, value) => cache.write(nameOf(owner.bare), async () => texts.set(owner, codec.encode(value))),
    remove: (owner) => cache.write(nameOf(owner.bare), () => texts.remove(owner)),
  };
}

/** Single items are kept; lists, and what is asked of many owners, come from the store. */
function cachedMap<T>(texts: MapStore<string>, codec: Codec<T>, place: Place): MapStore<T> {
  const { cache, table, freshFor, told } = place;
  const nameOf = (bare: string) => `map\0${table}\0${bare}`;
  const decode = (stored: string | undefined) => (stored === undefined ? undefined : codec.decode(stored));
  const decoded = (items: ReadonlyMap<string, string>) =>
    new Map([...items].map(([key, stored]) => [key, codec.decode(stored)]));
  return {
    async get(owner, key) {
      const name = nameOf(owner.bare);
      return decode(await cache.read(name, `${name}\0${key}`, freshFor, () => texts.get(owner, key), told));
    },
    list: async (owner) => decoded(await texts.list(owner)),
    getEach: async (owners, key) => decoded(await texts.getEach(owners, key)),
    set: (owner, key, value) => cache.write(nameOf(owner.bare), async () => texts.set(owner, key, codec.encode(value))),
    update: (owner, key, change) =>
      cache.write(nameOf(owner.bare), async () => {
        let kept: T | undefined;
        await texts.update(owner, key, (present) => {
          kept = change(decode(present));
          return kept === undefined ? undefined : codec.encode(kept);
        });
        return kept;
      }),
    updateTogether: (owner, keys, change) =>
      cache.write(nameOf(owner.bare), () =>
        texts.updateTogether(
          owner,
          keys,
          (present) => new Map([...change(decoded(present))].map(([key, value]) => [key, codec.encode(value)])),
        ),
      ),
    remove: (owner, key) => cache.write(nameOf(owner.bare), () => texts.remove(owner, key)),
    clear: (owner) => cache.write(nameOf(owner.bare), () => texts.clear(owner)),
  };
}

/**
 * Only where others make and remove the accounts. Of accounts that this server can remove, no node may believe that one is
 * still there which another has removed: what is then kept for it is found by whoever has the name next. And only that one
 * is there is kept, so that a new one is there at once.
 */
function cachedAccounts(accounts: AccountStore, cache: ReadThrough, told: (hit: boolean) => void): AccountStore {
  if (accounts.remove !== undefined) return accounts;
  const isThere = "there";
  return {
    ...accounts,
    async exists(account) {
      const name = `accounts\0${account.bare}`;
      const absent = new Absent();
      const ask = async () => {
        if (!(await accounts.exists(account))) throw absent;
        return isThere;
      };
      try {
        await cache.read(name, name, ACCOUNT_FRESH_FOR, ask, told);
        return true;
      } catch (error) {
        if (error instanceof Absent) return false;
        throw error;
      }
    },
  };
}

/** A failed read is not kept, and so this is one. */
class Absent extends Error {}
