import type { Jid } from "../../../xmpp/jid.ts";
import { isArchiveId } from "../../archive-id.ts";
import type { ArchivedItem, ArchiveRange, ArchiveStore, Codec } from "../../specs.ts";
import { idBounds, LAST, pageOf, sought } from "../archive-range.ts";
import type { Batches } from "../batches.ts";
import { encodeBounded } from "../bounds.ts";
import { storedJid } from "../stored-jid.ts";
import { expireArchive } from "./archive-parts.ts";
import type { ArchiveQueries, ArchiveRow, Found } from "./archive-queries.ts";
import type { Database, Dialect } from "./database.ts";
import { updateRows } from "./dialects.ts";
import { placed } from "./place.ts";
import { breather, removeBelow } from "./removals.ts";

/** What the archives of one database share. */
export interface Archives {
  readonly database: Database;
  readonly queries: ArchiveQueries;
  readonly appends: Batches<ArchiveRow, void>;
}

/** Items that one statement counts: SQLite's holds up the process meanwhile. */
const COUNTED: Readonly<Record<Dialect, number>> = {
  sqlite: 2000,
  postgres: Number.MAX_SAFE_INTEGER,
  mysql: Number.MAX_SAFE_INTEGER,
};

/** Archives, in the table that all kinds share. */
export function archiveStore<T>(
  { database, queries, appends }: Archives,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
): ArchiveStore<T> {
  const { build, dialect, run, transact } = database;
  const given = (found: readonly Found[]): ArchivedItem<T>[] => {
    // Most items of a page are with few others.
    const parties = new Map<string, Jid>();
    return found.map(({ id, with_full, value }) => {
      const party = parties.get(with_full) ?? storedJid(with_full);
      parties.set(with_full, party);
      return { id, with: party, value: codec.decode(value) };
    });
  };
  const narrowed = (range: ArchiveRange) => {
    const { with: other } = range;
    if (other === undefined) return { narrow: "all", withKey: "", withFull: "" } as const;
    return { narrow: other.isBare ? "bare" : "full", withKey: placed(other.bare).key, withFull: other.full } as const;
  };

  return {
    async append({ bare }, { id, with: other, value }) {
      if (!isArchiveId(id)) throw new TypeError(`"${id}" is no id of an archive`);
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      const row = { kind, owner: bare, id, with_key: placed(other.bare).key, with_full: other.full, value: stored };
      await appends.add(`${kind} ${bare}`, row, stored.length + 2 * other.full.length + bare.length + 100);
    },

    async page({ bare }, query) {
      const bounds = idBounds(query);
      if (bounds === undefined) return { items: [], complete: true };
      const { narrow, withKey, withFull } = narrowed(query);
      const values = { kind, owner: bare, withKey, withFull, limit: sought(query), ...bounds };
      const found = await run(queries.page[query.from][narrow](values));
      return pageOf(given(found), query);
    },

    async get({ bare }, ids) {
      const found: Found[] = [];
      for (const some of queries.slices(ids.filter(isArchiveId).sort())) {
        found.push(...(await run(queries.get(kind, bare, some))));
      }
      return given(found);
    },

    async count({ bare }, range, limit) {
      const bounds = idBounds(range);
      if (bounds === undefined) return 0;
      const { narrow, withKey, withFull } = narrowed(range);
      const breathe = breather();
      let { above } = bounds;
      let counted = 0;
      for (;;) {
        const some = Math.min(limit - counted, COUNTED[dialect]);
        const values = { kind, owner: bare, withKey, withFull, above, below: bounds.below, limit: some };
        const [found] = await run(queries.count[narrow](values));
        // PostgreSQL answers in 64 bits, which arrive as text.
        counted += Number(found?.items);
        if (Number(found?.items) < some || counted >= limit) return counted;
        above = found?.last ?? bounds.below;
        await breathe();
      }
    },

    async replace({ bare }, id, value) {
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      if (!isArchiveId(id)) return "missing";
      const update = build
        .updateTable("archive_items")
        .set({ value: stored })
        .where("kind", "=", kind)
        .where("owner", "=", bare)
        .where("id", "=", id);
      return (await transact(() => updateRows(database, update))) > 0 ? "replaced" : "missing";
    },

    async trim({ bare }, keep) {
      const breathe = breather();
      let below = LAST;
      for (let kept = 0; kept < keep; await breathe()) {
        const some = Math.min(keep - kept, COUNTED[dialect]);
        const [oldest] = await run(queries.newest({ kind, owner: bare, below, skip: some - 1 }));
        if (oldest === undefined) return;
        kept += some;
        below = oldest.id;
      }
      await removeBelow(database, "archive_items", kind, bare, below);
    },

    expire: (before) => expireArchive(database, kind, before),
    purge: ({ bare }) => removeBelow(database, "archive_items", kind, bare, LAST),
  };
}
