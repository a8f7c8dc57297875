import type { Codec, ExpiringStore } from "../../specs.ts";
import { encodeBounded, plainKey } from "../bounds.ts";
import type { Section } from "../memory-contents.ts";

export interface KeptExpiring {
  readonly stored: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** Entries looked at by each write: more than the one that it adds, so that what has expired never piles up. */
const LOOKED_AT = 4;

/** What expires, in this process. */
export function expiringStore<T>(
  kept: Map<string, KeptExpiring>,
  codec: Codec<T>,
  kind: string,
  limit: number,
  now: () => number,
): ExpiringStore<T> {
  let round = kept.entries();

  /** Goes around all entries, a few at a time. */
  function sweep(): void {
    for (let n = 0; n < LOOKED_AT; n++) {
      const { done, value } = round.next();
      if (done === true) {
        round = kept.entries();
        return;
      }
      if (value[1].expires <= now()) kept.delete(value[0]);
    }
  }

  function present(key: string): KeptExpiring | undefined {
    const found = kept.get(plainKey(key));
    return found !== undefined && found.expires > now() ? found : undefined;
  }

  function put(key: string, value: T, ttl: number): void {
    const stored = encodeBounded(codec, value, kind, limit);
    kept.set(plainKey(key), { stored, expires: now() + ttl });
    sweep();
  }

  return {
    async get(key) {
      const found = present(key);
      return found && codec.decode(found.stored);
    },
    set: async (key, value, ttl) => put(key, value, ttl),
    async add(key, value, ttl) {
      if (present(key) !== undefined) return false;
      put(key, value, ttl);
      return true;
    },
    async take(key) {
      const found = present(key);
      kept.delete(key);
      return found && codec.decode(found.stored);
    },
  };
}

/** All that has not expired as records, by table and key. */
export function expiringSection(
  tables: Map<string, Map<string, KeptExpiring>>,
  now: () => number,
): Section<"expiring"> {
  return {
    *all() {
      for (const [table, kept] of tables) {
        for (const [key, { stored, expires }] of kept) {
          if (expires > now()) yield { capability: "expiring", table, key, value: stored, expires };
        }
      }
    },
    put({ table, key, value, expires }) {
      const kept = tables.get(table) ?? new Map<string, KeptExpiring>();
      tables.set(table, kept.set(key, { stored: value, expires }));
    },
  };
}
