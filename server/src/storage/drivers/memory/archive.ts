import type { Jid } from "../../../xmpp/jid.ts";
import { archiveBound, isArchiveId } from "../../archive-id.ts";
import type { ArchivedItem, ArchiveRange, ArchiveStore, Codec } from "../../specs.ts";
import { idBounds, isWith, pageOf, sought } from "../archive-range.ts";
import { encodeBounded } from "../bounds.ts";
import type { Section } from "../memory-contents.ts";
import { storedJid } from "../stored-jid.ts";

export interface KeptArchived {
  readonly id: string;
  readonly with: Jid;
  stored: string;
}

/** Archives in this process: a list for each owner, in the order of its ids. */
export function archiveStore<T>(
  owners: Map<string, KeptArchived[]>,
  codec: Codec<T>,
  kind: string,
  limit: number,
): ArchiveStore<T> {
  const given = ({ id, with: other, stored }: KeptArchived): ArchivedItem<T> => ({
    id,
    with: other,
    value: codec.decode(stored),
  });

  /** The first so many of a range, from one of its ends. */
  function select(owner: Jid, range: ArchiveRange, from: "oldest" | "newest", most: number): KeptArchived[] {
    const kept = owners.get(owner.bare) ?? [];
    const bounds = idBounds(range);
    if (bounds === undefined) return [];
    const first = firstNotBelow(kept, `${bounds.above}\0`);
    const end = firstNotBelow(kept, bounds.below);
    const found: KeptArchived[] = [];
    for (let n = 0; n < end - first && found.length < most; n++) {
      const item = kept[from === "oldest" ? first + n : end - 1 - n] as KeptArchived;
      if (range.with === undefined || isWith(item.with, range.with)) found.push(item);
    }
    return found;
  }

  function find(owner: Jid, id: string): KeptArchived | undefined {
    const kept = owners.get(owner.bare) ?? [];
    const item = kept[firstNotBelow(kept, id)];
    return item?.id === id ? item : undefined;
  }

  function removeBelow(owner: string, id: string): void {
    const kept = owners.get(owner) ?? [];
    kept.splice(0, firstNotBelow(kept, id));
    if (kept.length === 0) owners.delete(owner);
  }

  return {
    async append(owner, { id, with: other, value }) {
      if (!isArchiveId(id)) throw new TypeError(`"${id}" is no id of an archive`);
      const stored = encodeBounded(codec, value, kind, limit);
      let kept = owners.get(owner.bare);
      if (kept === undefined) {
        kept = [];
        owners.set(owner.bare, kept);
      }
      const place = firstNotBelow(kept, id);
      if (kept[place]?.id !== id) kept.splice(place, 0, { id, with: other, stored });
    },
    page: async (owner, query) => pageOf(select(owner, query, query.from, sought(query)).map(given), query),
    get: async (owner, ids) =>
      [...new Set(ids)]
        .sort()
        .map((id) => find(owner, id))
        .filter((item) => item !== undefined)
        .map(given),
    count: async (owner, range, most) => select(owner, range, "oldest", most).length,
    async replace(owner, id, value) {
      const item = find(owner, id);
      const stored = encodeBounded(codec, value, kind, limit);
      if (item === undefined) return "missing";
      item.stored = stored;
      return "replaced";
    },
    async trim(owner, keep) {
      const kept = owners.get(owner.bare) ?? [];
      if (keep === 0) owners.delete(owner.bare);
      else if (kept.length > keep) removeBelow(owner.bare, (kept.at(-keep) as KeptArchived).id);
    },
    async expire(before) {
      for (const owner of owners.keys()) removeBelow(owner, archiveBound(before));
    },
    async purge(owner) {
      owners.delete(owner.bare);
    },
  };
}

/** All archives as records, by table and owner. */
export function archiveSection(tables: Map<string, Map<string, KeptArchived[]>>): Section<"archive"> {
  return {
    *all() {
      for (const [table, owners] of tables) {
        for (const [owner, kept] of owners) {
          for (const { id, with: other, stored } of kept) {
            yield { capability: "archive", table, owner, id, with: other.full, value: stored };
          }
        }
      }
    },
    put({ table, owner, id, with: other, value }) {
      putInPlace(listOf(tables, table, owner), { id, with: storedJid(other), stored: value });
    },
  };
}

/** The list of an owner in a table, made when there is none. */
export function listOf<Kept>(tables: Map<string, Map<string, Kept[]>>, table: string, owner: string): Kept[] {
  const owners = tables.get(table) ?? new Map<string, Kept[]>();
  tables.set(table, owners);
  const kept = owners.get(owner) ?? [];
  owners.set(owner, kept);
  return kept;
}

/** Puts an item into its place in the order of ids, over what has the same one. */
export function putInPlace<Kept extends { readonly id: string }>(kept: Kept[], item: Kept): void {
  const place = firstNotBelow(kept, item.id);
  kept.splice(place, kept[place]?.id === item.id ? 1 : 0, item);
}

/** Where the first item stands whose id is not below this text; items mostly come at the end, which is looked at first. */
export function firstNotBelow(kept: readonly { readonly id: string }[], id: string): number {
  let end = kept.length;
  if (end === 0 || (kept[end - 1] as { id: string }).id < id) return end;
  let start = 0;
  while (start < end) {
    const middle = (start + end) >>> 1;
    if ((kept[middle] as { id: string }).id < id) start = middle + 1;
    else end = middle;
  }
  return start;
}
