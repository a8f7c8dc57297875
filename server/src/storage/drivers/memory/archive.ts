import type { Jid } from "../../../xmpp/jid.ts";
import { archiveBound, isArchiveId } from "../../archive-id.ts";
import type { ArchivedItem, ArchiveRange, ArchiveStore, Codec } from "../../specs.ts";
import { idBounds, isWith, pageOf, sought } from "../archive-range.ts";
import { encodeBounded } from "../bounds.ts";

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
