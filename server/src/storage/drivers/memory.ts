import type { Jid } from "../../xmpp/jid.ts";
import type { AccountStore, Codec, KeyValueStore, MapStore, ScramHash, ScramKeys, StorageDriver } from "../specs.ts";
import { checkedKind, encodeBounded, MAX_VALUE_BYTES, positive, type ValueBounds } from "./bounds.ts";
import { archiveSection, archiveStore, type KeptArchived } from "./memory/archive.ts";
import { expiringSection, expiringStore, type KeptExpiring } from "./memory/expiring.ts";
import { type KeptQueued, queueSection, queueStore } from "./memory/queue.ts";
import { memoryContents, type Sections } from "./memory-contents.ts";

export interface MemoryOptions extends ValueBounds {
  /** Milliseconds since 1970, by which things expire. */
  readonly now?: (() => number) | undefined;
}

/** By domain and local part. */
type KeptAccounts = Map<string, Map<string, ReadonlyMap<ScramHash, ScramKeys>>>;
/** By table and owner. */
type KeptValues = Map<string, Map<string, string>>;
/** By table, owner and key. */
type KeptItems = Map<string, Map<string, Map<string, string>>>;

/** Keeps everything in this process, and nothing longer than it lives: for tests and for trying things out. */
export function memoryDriver(options: MemoryOptions = {}): StorageDriver {
  const limit = positive("max_value_bytes", options.maxValueBytes, MAX_VALUE_BYTES);
  const now = options.now ?? Date.now;
  const accounts: KeptAccounts = new Map();
  const values: KeptValues = new Map();
  const items: KeptItems = new Map();
  const archives = new Map<string, Map<string, KeptArchived[]>>();
  const queues = new Map<string, Map<string, KeptQueued[]>>();
  const expiring = new Map<string, Map<string, KeptExpiring>>();
  return {
    name: "memory",
    accounts: () => accountStore(accounts),
    keyValue: (table, codec) => keyValueStore(made(values, checkedKind(table)), codec, table, limit),
    map: (table, codec) => mapStore(made(items, checkedKind(table)), codec, table, limit),
    archive: (table, codec) => archiveStore(made(archives, checkedKind(table)), codec, table, limit),
    queue: (table, codec) => queueStore(made(queues, checkedKind(table)), codec, table, limit),
    expiring: (table, codec) => expiringStore(made(expiring, checkedKind(table)), codec, table, limit, now),
    contents: memoryContents(
      {
        ...sections(accounts, values, items),
        archive: archiveSection(archives),
        queue: queueSection(queues),
        expiring: expiringSection(expiring, now),
      },
      limit,
    ),
    migrate: async () => {},
    healthy: async () => true,
    close: async () => {},
  };
}

/** Those of the stores below as records. */
function sections(accounts: KeptAccounts, values: KeptValues, items: KeptItems): Sections {
  return {
    accounts: {
      *all() {
        for (const [domain, locals] of accounts) {
          for (const [local, keys] of locals) {
            yield { capability: "accounts", domain, local, keys: [...keys.values()].map(copied) };
          }
        }
      },
      put: ({ domain, local, keys }) => void made(accounts, domain).set(local, byHash(keys)),
    },
    keyValue: {
      *all() {
        for (const [table, owners] of values) {
          for (const [owner, value] of owners) yield { capability: "keyValue", table, owner, value };
        }
      },
      put: ({ table, owner, value }) => void made(values, table).set(owner, value),
    },
    map: {
      *all() {
        for (const [table, owners] of items) {
          for (const [owner, kept] of owners) {
            for (const [key, value] of kept) yield { capability: "map", table, owner, key, value };
          }
        }
      },
      put: ({ table, owner, key, value }) => void made(made(items, table), owner).set(key, value),
    },
  };
}

function keyValueStore<T>(stored: Map<string, string>, codec: Codec<T>, kind: string, limit: number): KeyValueStore<T> {
  return {
    get: async (owner) => decoded(codec, stored.get(owner.bare)),
    async set(owner, value) {
      stored.set(owner.bare, encodeBounded(codec, value, kind, limit));
    },
    async remove(owner) {
      stored.delete(owner.bare);
    },
  };
}

function mapStore<T>(
  owners: Map<string, Map<string, string>>,
  codec: Codec<T>,
  kind: string,
  limit: number,
): MapStore<T> {
  function put(owner: Jid, key: string, value: T): void {
    const stored = encodeBounded(codec, value, kind, limit);
    made(owners, owner.bare).set(key, stored);
  }

  function drop(owner: Jid, key: string): void {
    const items = owners.get(owner.bare);
    items?.delete(key);
    if (items?.size === 0) owners.delete(owner.bare);
  }

  return {
    get: async (owner, key) => decoded(codec, owners.get(owner.bare)?.get(key)),
    list: async (owner) =>
      new Map([...(owners.get(owner.bare) ?? [])].map(([key, stored]) => [key, codec.decode(stored)])),
    set: async (owner, key, value) => put(owner, key, value),
    async update(owner, key, change) {
      const kept = change(decoded(codec, owners.get(owner.bare)?.get(key)));
      if (kept === undefined) drop(owner, key);
      else put(owner, key, kept);
      return kept;
    },
    async updateTogether(owner, keys, change) {
      const items = owners.get(owner.bare);
      const present = keys.flatMap((key) => {
        const stored = items?.get(key);
        return stored === undefined ? [] : [[key, codec.decode(stored)] as const];
      });
      const kept = change(new Map(present));
      // All are encoded before one is put, so that none is put when one is too large.
      const encoded = keys.map((key) => {
        const value = kept.get(key);
        return [key, value === undefined ? undefined : encodeBounded(codec, value, kind, limit)] as const;
      });
      for (const [key, stored] of encoded) {
        if (stored === undefined) drop(owner, key);
        else made(owners, owner.bare).set(key, stored);
      }
    },
    getEach: async (each, key) =>
      new Map(
        each.flatMap((owner) => {
          const stored = owners.get(owner.bare)?.get(key);
          return stored === undefined ? [] : [[owner.bare, codec.decode(stored)] as const];
        }),
      ),
    remove: async (owner, key) => drop(owner, key),
    async clear(owner) {
      owners.delete(owner.bare);
    },
  };
}

function accountStore(domains: Map<string, Map<string, ReadonlyMap<ScramHash, ScramKeys>>>): AccountStore {
  return {
    exists: async ({ local, domain }) => domains.get(domain)?.has(local) ?? false,
    async scram({ local, domain }, hash) {
      const keys = domains.get(domain)?.get(local)?.get(hash);
      return keys && copied(keys);
    },
    async create({ local, domain }, keys) {
      const accounts = made(domains, domain);
      if (accounts.has(local)) return "exists";
      accounts.set(local, byHash(keys));
      return "created";
    },
    async setKeys({ local, domain }, keys) {
      const accounts = domains.get(domain);
      if (!accounts?.has(local)) return "missing";
      accounts.set(local, byHash(keys));
      return "changed";
    },
    async addKeys({ local, domain }, known, more) {
      const kept = domains.get(domain)?.get(local);
      const same = kept?.get(known.hash);
      if (same === undefined || Buffer.compare(same.storedKey, known.storedKey) !== 0) return;
      domains.get(domain)?.set(local, new Map([...byHash(more), ...(kept ?? [])]));
    },
    async remove({ local, domain }) {
      domains.get(domain)?.delete(local);
    },
    count: async (domain) => domains.get(domain)?.size ?? 0,
    list: async (domain, after, limit) =>
      [...(domains.get(domain)?.keys() ?? [])]
        .filter((local) => byBytes(local, after) > 0)
        .sort(byBytes)
        .slice(0, limit),
  };
}

/** The order the databases keep: by UTF-8 bytes, where JavaScript's own goes by UTF-16 units. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function byHash(keys: readonly ScramKeys[]): ReadonlyMap<ScramHash, ScramKeys> {
  return new Map(keys.map((each) => [each.hash, copied(each)]));
}

function copied({ hash, salt, iterations, storedKey, serverKey }: ScramKeys): ScramKeys {
  return {
    hash,
    salt: new Uint8Array(salt),
    iterations,
    storedKey: new Uint8Array(storedKey),
    serverKey: new Uint8Array(serverKey),
  };
}

function decoded<T>(codec: Codec<T>, stored: string | undefined): T | undefined {
  return stored === undefined ? undefined : codec.decode(stored);
}

function made<K, I, V>(maps: Map<K, Map<I, V>>, key: K): Map<I, V> {
  let found = maps.get(key);
  if (found === undefined) {
    found = new Map();
    maps.set(key, found);
  }
  return found;
}
