import type { Codec, KeyValueStore, MapStore } from "../specs.ts";

/** The one key under which each owner has its value. */
export const ONLY = "";

/** Single values over a map: an owner's value is the only item that it has there. */
export function keyValueOver<T>(items: MapStore<string>, codec: Codec<T>): KeyValueStore<T> {
  return {
    async get(owner) {
      const stored = await items.get(owner, ONLY);
      return stored === undefined ? undefined : codec.decode(stored);
    },
    set: async (owner, value) => items.set(owner, ONLY, codec.encode(value)),
    remove: (owner) => items.remove(owner, ONLY),
  };
}
