import type { Codec, ExpiringStore, KeyValueStore, MapStore } from "../../specs.ts";
import { StorageError } from "../../specs.ts";
import { encodeBounded, plainKey } from "../bounds.ts";
import { keysOf } from "./keys.ts";
import type { Requests } from "./requests.ts";

/** What the stores of one Redis share. */
export interface Shared {
  readonly requests: Requests;
  readonly prefix: string;
  readonly maxValueBytes: number;
}

export function keyValueStore<T>(shared: Shared, table: string, codec: Codec<T>): KeyValueStore<T> {
  const { requests, prefix, maxValueBytes } = shared;
  const keyOf = keysOf(prefix, "kv", table);
  return {
    async get({ bare }) {
      const stored = await requests.run((redis) => redis.get(keyOf(bare)), "again");
      return stored === null ? undefined : codec.decode(stored);
    },
    async set({ bare }, value) {
      const stored = encodeBounded(codec, value, table, maxValueBytes);
      await requests.run((redis) => redis.set(keyOf(bare), stored), "again");
    },
    async remove({ bare }) {
      await requests.run((redis) => redis.del(keyOf(bare)), "again");
    },
  };
}

/** Owners asked for at a time, each with a command of its own, for each may be on another node. */
const AT_ONCE = 250;
/** Writers of the same items that may come first, one after the other. */
const MAX_SWAPS = 1000;

export function mapStore<T>(shared: Shared, table: string, codec: Codec<T>): MapStore<T> {
  const { requests, prefix, maxValueBytes } = shared;
  const keyOf = keysOf(prefix, "map", table);
  const encode = (value: T | undefined) =>
    value === undefined ? undefined : encodeBounded(codec, value, table, maxValueBytes);

  /** Puts what `change` makes of the present values in their place, and begins again when those are others by then. */
  async function swapped(
    bare: string,
    keys: readonly string[],
    change: (present: readonly (string | undefined)[]) => readonly (string | undefined)[],
  ): Promise<void> {
    const key = keyOf(bare);
    let present = (await requests.run((redis) => redis.hmget(key, ...keys), "again")).map((each) => each ?? undefined);
    for (let turn = 0; turn < MAX_SWAPS; turn++) {
      const kept = change(present);
      if (kept.every((value, i) => value === present[i])) return;
      const expected = keys.flatMap((name, i) => [name, present[i] === undefined ? 0 : 1, present[i] ?? ""]);
      const wanted = kept.flatMap((value) => [value === undefined ? 0 : 1, value ?? ""]);
      const others = await requests.script("swap", key, [keys.length, ...expected, ...wanted], "once");
      if (others === null) return;
      present = (others as (string | null)[]).map((each) => each ?? undefined);
    }
    throw new StorageError(`${requests.where}: too many write the same items of ${table} at once`);
  }

  const decode = (stored: string | undefined) => (stored === undefined ? undefined : codec.decode(stored));
  return {
    async get({ bare }, key) {
      const stored = await requests.run((redis) => redis.hget(keyOf(bare), key), "again");
      return stored === null ? undefined : codec.decode(stored);
    },

    async list({ bare }) {
      const flat = (await requests.script("list", keyOf(bare), [], "again")) as string[];
      const items = new Map<string, T>();
      for (let i = 0; i < flat.length; i += 2) items.set(flat[i] as string, codec.decode(flat[i + 1] as string));
      return items;
    },

    async set({ bare }, key, value) {
      const stored = encodeBounded(codec, value, table, maxValueBytes);
      await requests.run((redis) => redis.hset(keyOf(bare), key, stored), "again");
    },

    async update({ bare }, key, change) {
      let kept: T | undefined;
      await swapped(bare, [key], ([present]) => {
        kept = change(decode(present));
        return [encode(kept)];
      });
      return kept;
    },

    async updateTogether({ bare }, keys, change) {
      const names = [...new Set(keys)];
      if (names.length === 0) return;
      await swapped(bare, names, (present) => {
        const items = names.flatMap((name, i) => {
          const stored = present[i];
          return stored === undefined ? [] : [[name, codec.decode(stored)] as const];
        });
        const kept = change(new Map(items));
        return names.map((name) => encode(kept.get(name)));
      });
    },

    async getEach(owners, key) {
      const bares = [...new Set(owners.map(({ bare }) => bare))];
      const found = new Map<string, T>();
      for (let start = 0; start < bares.length; start += AT_ONCE) {
        const some = bares.slice(start, start + AT_ONCE);
        const values = await requests.run(
          (redis) => Promise.all(some.map((bare) => redis.hget(keyOf(bare), key))),
          "again",
        );
        for (const [i, stored] of values.entries()) {
          if (stored !== null) found.set(some[i] as string, codec.decode(stored));
        }
      }
      return found;
    },

    async remove({ bare }, key) {
      await requests.run((redis) => redis.hdel(keyOf(bare), key), "again");
    },

    async clear({ bare }) {
      await requests.run((redis) => redis.unlink(keyOf(bare)), "again");
    },
  };
}

export function expiringStore<T>(shared: Shared, table: string, codec: Codec<T>): ExpiringStore<T> {
  const { requests, prefix, maxValueBytes } = shared;
  const keyOf = keysOf(prefix, "fact", table);
  return {
    async get(key) {
      const stored = await requests.run((redis) => redis.get(keyOf(plainKey(key))), "again");
      return stored === null ? undefined : codec.decode(stored);
    },
    async set(key, value, ttl) {
      const stored = encodeBounded(codec, value, table, maxValueBytes);
      await requests.run((redis) => redis.set(keyOf(plainKey(key)), stored, "PX", Math.ceil(ttl)), "again");
    },
    async add(key, value, ttl) {
      const stored = encodeBounded(codec, value, table, maxValueBytes);
      return (
        (await requests.run((redis) => redis.set(keyOf(plainKey(key)), stored, "PX", Math.ceil(ttl), "NX"), "once")) ===
        "OK"
      );
    },
    async take(key) {
      const stored = await requests.run((redis) => redis.getdel(keyOf(plainKey(key))), "once");
      return stored === null ? undefined : codec.decode(stored);
    },
  };
}
