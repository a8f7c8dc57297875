import { createHash } from "node:crypto";
import { Jid } from "../../xmpp/jid.ts";
import { plainKey } from "../drivers/bounds.ts";
import { type Codec, type ExpiringStore, type MapStore, StorageError } from "../specs.ts";

/** Digits of a time in milliseconds since 1970, before the value. */
export const TIME_DIGITS = 15;
/** Hexadecimal digits of the owner that a key has: so many owners are there that none has much. */
const SHARD_DIGITS = 3;
/** Every so many writes one owner's items are looked through for what has died: nobody else would. */
const SWEEP_EVERY = 64;

/** An item as it is kept. */
export function withTime(expires: number, stored: string): string {
  return String(Math.ceil(expires)).padStart(TIME_DIGITS, "0") + stored;
}

export function timeOf(item: string): number {
  return Number(item.slice(0, TIME_DIGITS));
}

export function textOf(item: string): string {
  return item.slice(TIME_DIGITS);
}

/** Who has a key's item: an address that no account can have. */
export function ownerOf(key: string): Jid {
  const digest = createHash("sha256").update(key).digest("hex");
  return new Jid("", `${digest.slice(0, SHARD_DIGITS)}.expiring.invalid`);
}

/**
 * What expires, over a map and by this machine's clock: nodes whose clocks differ see an item die at different times. What is
 * one step here is one `update` there.
 */
export function expiringOver<T>(items: MapStore<string>, codec: Codec<T>, now: () => number): ExpiringStore<T> {
  let writes = 0;
  const alive = (item: string | undefined): item is string => item !== undefined && timeOf(item) > now();

  /** Removes what has died beside a key that was just written. */
  async function sweep(owner: Jid): Promise<void> {
    writes++;
    if (writes % SWEEP_EVERY !== 0) return;
    try {
      for (const [key, item] of await items.list(owner)) {
        if (!alive(item)) await items.update(owner, key, (present) => (alive(present) ? present : undefined));
      }
    } catch (error) {
      // What was written stays written; another write sweeps.
      if (!(error instanceof StorageError)) throw error;
    }
  }

  return {
    async get(key) {
      const item = await items.get(ownerOf(plainKey(key)), key);
      return alive(item) ? codec.decode(textOf(item)) : undefined;
    },
    async set(key, value, ttl) {
      const owner = ownerOf(plainKey(key));
      await items.set(owner, key, withTime(now() + ttl, codec.encode(value)));
      await sweep(owner);
    },
    async add(key, value, ttl) {
      const owner = ownerOf(plainKey(key));
      const stored = codec.encode(value);
      let added = false;
      await items.update(owner, key, (present) => {
        added = !alive(present);
        return added ? withTime(now() + ttl, stored) : present;
      });
      await sweep(owner);
      return added;
    },
    async take(key) {
      let taken: string | undefined;
      await items.update(ownerOf(plainKey(key)), key, (present) => {
        taken = alive(present) ? textOf(present) : undefined;
        return undefined;
      });
      return taken === undefined ? undefined : codec.decode(taken);
    },
  };
}
