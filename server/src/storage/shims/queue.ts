import { type Jid, parseJid } from "../../xmpp/jid.ts";
import { archiveBound, archiveId, archiveIdAt, archiveTime } from "../archive-id.ts";
import type { Codec, MapStore, QueueStore, StoredRecord } from "../specs.ts";

/** Beside an owner's items, under no item's key: how many there are, and the id of the last. Changed in one step with them. */
const LEDGER = "";

interface Ledger {
  readonly count: number;
  readonly last: string;
}

/** What is in the map, page by page; the only way to all owners. */
export type Everything = () => AsyncIterable<StoredRecord & { capability: "map" }>;

/** Queues over a map: each owner's items by their ids. A list reads all that the owner has, however few it gives out. */
export function queueOver<T>(items: MapStore<string>, codec: Codec<T>, everything: Everything): QueueStore<T> {
  const store = rawQueue(items);
  return {
    push: async (owner, value, limit) => store.push(owner, codec.encode(value), limit),
    async list(owner, max, after = "") {
      const kept = [...(await items.list(owner))].filter(([id]) => id !== LEDGER && id > after);
      kept.sort(([a], [b]) => (a < b ? -1 : 1));
      return kept.slice(0, Math.max(0, max)).map(([id, stored]) => ({ id, value: codec.decode(stored) }));
    },
    remove: store.remove,
    size: async (owner) => read(await items.get(owner, LEDGER)).count,
    async expire(before) {
      const bound = archiveBound(before);
      for await (const { owner, key } of everything()) {
        const jid = key !== LEDGER && key < bound ? parseJid(owner) : undefined;
        if (jid !== undefined) await store.remove(jid, [key]);
      }
    },
    clear: (owner) => items.clear(owner),
  };
}

/** Whether a record of the map is an item, and not an owner's ledger. */
export function isItem({ key }: { readonly key: string }): boolean {
  return key !== LEDGER;
}

/** Puts an item of a copy in, over what is there under its id. */
export async function putItem(items: MapStore<string>, owner: Jid, id: string, stored: string): Promise<void> {
  await items.updateTogether(owner, [LEDGER, id], (present) => {
    const { count, last } = read(present.get(LEDGER));
    const ledger = { count: present.has(id) ? count : count + 1, last: id > last ? id : last };
    return new Map([...written(ledger), [id, stored]]);
  });
}

function rawQueue(items: MapStore<string>) {
  return {
    async push(owner: Jid, stored: string, limit: number): Promise<"stored" | "full"> {
      for (let id = archiveId(); ; ) {
        let outcome: "stored" | "full" | undefined;
        let behind = "";
        await items.updateTogether(owner, [LEDGER, id], (present) => {
          const { count, last } = read(present.get(LEDGER));
          outcome = count >= limit ? "full" : id > last ? "stored" : undefined;
          behind = last;
          if (outcome !== "stored") return present;
          return new Map([...written({ count: count + 1, last: id }), [id, stored]]);
        });
        if (outcome !== undefined) return outcome;
        // Another node's clock is ahead of this one's.
        id = archiveIdAt((archiveTime(behind) ?? Date.now()) + 1);
      }
    },

    async remove(owner: Jid, ids: readonly string[]): Promise<readonly string[]> {
      const named = [...new Set(ids)].filter((id) => id !== LEDGER).sort();
      if (named.length === 0) return [];
      let gone: string[] = [];
      await items.updateTogether(owner, [LEDGER, ...named], (present) => {
        const { count, last } = read(present.get(LEDGER));
        gone = named.filter((id) => present.has(id));
        // The ledger stays when all is gone: an id must not come again.
        return gone.length === 0 ? present : written({ count: count - gone.length, last });
      });
      return gone;
    },
  };
}

function read(stored: string | undefined): Ledger {
  return stored === undefined ? { count: 0, last: "" } : (JSON.parse(stored) as Ledger);
}

function written(ledger: Ledger): Map<string, string> {
  return new Map([[LEDGER, JSON.stringify(ledger)]]);
}
