/** All items of an owner in one table: one object, so that several change together and are read together. */
import { archiveTime } from "../../archive-id.ts";
import { changedBy, isNewer } from "./changes.ts";
import { BY_PLACE, parsed } from "./ground.ts";
import { objectKey, termOf } from "./names.ts";
import type { Shape } from "./revise.ts";
import type { Place } from "./wire.ts";

export const MAP = "map";

export interface MapItem {
  /** Counts its changes: of two that were made at once, the higher one counts, then the later one. */
  readonly version: number;
  readonly changes: readonly string[];
  /** Undefined for an item that was removed, which is remembered for a while. */
  readonly value: string | undefined;
}

export interface MapDocument {
  readonly table: string;
  readonly owner: string;
  readonly version: number;
  readonly items: ReadonlyMap<string, MapItem>;
}

/** As it is stored: an array, for keys may be any text. */
type StoredItem = readonly [key: string, version: number, changes: readonly string[], value: string | null];
interface StoredDocument {
  readonly table: string;
  readonly owner: string;
  readonly version: number;
  readonly items: readonly StoredItem[];
}

/** Milliseconds that a removal is remembered for: longer, and a part of the cluster that was cut off brings it back. */
const REMOVALS_FOR = 86_400_000;
const MOST_REMOVALS = 1000;

export function mapPlace(table: string, owner: string): Place {
  return { bucket: MAP, key: objectKey(table, owner) };
}

/** A document carries a change when all the keys have it that the change wrote. */
export function mapShape(written: ReadonlySet<string> = new Set()): Shape<MapDocument> {
  return {
    parse: parseMap,
    write: (document) => ({
      body: JSON.stringify({ ...document, items: [...document.items].map(asStored) } satisfies StoredDocument),
      indexes: { [BY_PLACE]: [termOf(document.table, document.owner)] },
    }),
    merge: mergedMaps,
    carries: (document, change) =>
      written.size > 0 && [...written].every((key) => document.items.get(key)?.changes.includes(change) === true),
    version: ({ version }) => version,
    latest: ({ items }) =>
      [...items.values()].reduce((latest, { changes: [id = ""] }) => (id > latest ? id : latest), ""),
  };
}

/** Undefined for a value where the item is to be removed. */
export function withValues(
  document: MapDocument,
  values: ReadonlyMap<string, string | undefined>,
  change: string,
): MapDocument {
  const items = new Map(document.items);
  for (const [key, value] of values) {
    const { version = 0, changes } = items.get(key) ?? {};
    items.set(key, { version: version + 1, changes: changedBy(change, changes), value });
  }
  return { ...document, version: document.version + 1, items: withoutOldRemovals(items, change) };
}

function withoutOldRemovals(items: ReadonlyMap<string, MapItem>, change: string): ReadonlyMap<string, MapItem> {
  const since = (archiveTime(change) ?? 0) - REMOVALS_FOR;
  const removals = [...items].filter(([, { value }]) => value === undefined);
  const kept = removals
    .filter(([, { changes }]) => (archiveTime(changes[0] ?? "") ?? 0) >= since)
    .sort(([, a], [, b]) => (isNewer(a.changes, b.changes) ? -1 : 1))
    .slice(0, MOST_REMOVALS);
  return new Map([...[...items].filter(([, { value }]) => value !== undefined), ...kept]);
}

function parseMap(body: string): MapDocument {
  const { table, owner, version, items } = parsed<StoredDocument>(MAP, body);
  return {
    table,
    owner,
    version,
    items: new Map(
      items.map(([key, version, changes, value]) => [key, { version, changes, value: value ?? undefined }]),
    ),
  };
}

function asStored([key, { version, changes, value }]: readonly [string, MapItem]): StoredItem {
  return [key, version, changes, value ?? null];
}

function mergedMaps(documents: readonly MapDocument[]): MapDocument {
  const [first, ...rest] = documents as readonly [MapDocument, ...MapDocument[]];
  const items = new Map(first.items);
  for (const document of rest) {
    for (const [key, item] of document.items) {
      const present = items.get(key);
      if (present === undefined || isHigher(item, present)) items.set(key, item);
    }
  }
  return { ...first, version: Math.max(...documents.map(({ version }) => version)), items };
}

function isHigher(a: MapItem, b: MapItem): boolean {
  return a.version === b.version ? isNewer(a.changes, b.changes) : a.version > b.version;
}
