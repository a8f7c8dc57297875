import { archiveBound, archiveIdBehind } from "../../archive-id.ts";
import type { Codec, QueueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import type { Section } from "../memory-contents.ts";
import { firstNotBelow, listOf, putInPlace } from "./archive.ts";

export interface KeptQueued {
  readonly id: string;
  readonly stored: string;
}

/** Queues in this process: a list for each owner. */
export function queueStore<T>(
  owners: Map<string, KeptQueued[]>,
  codec: Codec<T>,
  kind: string,
  limit: number,
): QueueStore<T> {
  return {
    async push({ bare }, value, most) {
      const stored = encodeBounded(codec, value, kind, limit);
      const kept = owners.get(bare) ?? [];
      if (kept.length >= most) return "full";
      kept.push({ id: archiveIdBehind(kept.at(-1)?.id), stored });
      owners.set(bare, kept);
      return "stored";
    },
    async list({ bare }, max, after = "") {
      const kept = owners.get(bare) ?? [];
      const start = firstNotBelow(kept, `${after}\0`);
      return kept.slice(start, start + max).map(({ id, stored }) => ({ id, value: codec.decode(stored) }));
    },
    async remove({ bare }, ids) {
      const wanted = new Set(ids);
      const kept = owners.get(bare) ?? [];
      const rest = kept.filter(({ id }) => !wanted.has(id));
      if (rest.length === 0) owners.delete(bare);
      else owners.set(bare, rest);
      return kept.filter(({ id }) => wanted.has(id)).map(({ id }) => id);
    },
    size: async ({ bare }) => owners.get(bare)?.length ?? 0,
    async expire(before) {
      for (const [owner, kept] of owners) {
        kept.splice(0, firstNotBelow(kept, archiveBound(before)));
        if (kept.length === 0) owners.delete(owner);
      }
    },
    async clear({ bare }) {
      owners.delete(bare);
    },
  };
}

/** All queues as records, by table and owner. */
export function queueSection(tables: Map<string, Map<string, KeptQueued[]>>): Section<"queue"> {
  return {
    *all() {
      for (const [table, owners] of tables) {
        for (const [owner, kept] of owners) {
          for (const { id, stored } of kept) yield { capability: "queue", table, owner, id, value: stored };
        }
      }
    },
    put: ({ table, owner, id, value }) => putInPlace(listOf(tables, table, owner), { id, stored: value }),
  };
}
