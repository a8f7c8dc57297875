/** Rows of any table, a page at a time, and back in many at once: for copies, which know a table by its columns alone. */
import type { Kysely } from "kysely";
import type { Database, Row, Steps, Tables } from "./database.ts";
import { unlessThere, upsert } from "./dialects.ts";

export interface Columns {
  readonly table: keyof Tables;
  /** The primary key, all of it text. */
  readonly key: readonly string[];
  /** All of them. */
  readonly columns: readonly string[];
  /** The column that tells when a row dies, milliseconds since 1970. */
  readonly expires?: string;
}

/** Tables by any name. */
export type Loose = Kysely<Record<string, Row>>;

/** Rows in one statement at most, and bytes of values: a server takes no statement of any length. */
const MAX_ROWS = 256;
const MAX_BYTES = 4 * 1024 * 1024;

/** Rows in the order of the primary key, so that a page costs the same wherever it begins; and the place of the last, if there are more. */
export async function readPage(
  { build, run }: Database,
  { table, key, columns, expires }: Columns,
  max: number,
  after: string | undefined,
  now: number,
): Promise<{ rows: Row[]; next: string | undefined }> {
  const place = after === undefined ? undefined : placeOf(after, key.length);
  const found: Row[] = [];
  // One range of the index after the other: what shares most of the place's columns first. Asked for all of them as one
  // condition, some databases read the whole table.
  for (let shared = place === undefined ? 0 : key.length - 1; shared >= 0 && found.length <= max; shared--) {
    let query = (build as unknown as Loose).selectFrom(table).select([...columns]);
    for (const column of key) query = query.orderBy(column);
    if (place !== undefined) {
      for (let i = 0; i < shared; i++) query = query.where(key[i] as string, "=", place[i] as string);
      query = query.where(key[shared] as string, ">", place[shared] as string);
    }
    if (expires !== undefined) query = query.where(expires, ">", now);
    found.push(...(await run(query.limit(max + 1 - found.length))));
  }
  const rows = found.slice(0, max);
  const last = found.length > max ? rows.at(-1) : undefined;
  return { rows, next: last && JSON.stringify(key.map((column) => last[column])) };
}

/** Puts rows in over those of the same keys; of several rows of one key the last. */
export function* putRows(database: Database, columns: Columns, rows: readonly Row[]): Steps<void> {
  const { table, key } = columns;
  const changed = columns.columns.filter((column) => !key.includes(column));
  // One statement cannot change a row twice.
  const last = new Map(rows.map((row) => [JSON.stringify(key.map((column) => row[column])), row]));
  for (const some of portions([...last.values()])) {
    const query =
      changed.length === 0
        ? unlessThere(database, table, some as never)
        : upsert(database, table, some as never, key as never, changed as never);
    yield query.compile();
  }
}

/** Portions of powers of two, so that there are few different texts to prepare. */
export function* portions(rows: readonly Row[]): Generator<Row[]> {
  for (let start = 0; start < rows.length; ) {
    let size = 2 ** Math.floor(Math.log2(Math.min(MAX_ROWS, rows.length - start)));
    while (size > 1 && bytesOf(rows.slice(start, start + size)) > MAX_BYTES) size /= 2;
    yield rows.slice(start, start + size);
    start += size;
  }
}

function bytesOf(rows: readonly Row[]): number {
  return rows.reduce((sum, { value }) => sum + (typeof value === "string" ? Buffer.byteLength(value) : 0), 0);
}

function placeOf(after: string, columns: number): readonly string[] {
  const place = parsed(after);
  if (Array.isArray(place) && place.length === columns && place.every((part) => typeof part === "string")) return place;
  throw new TypeError(`"${after}" is no place in a table`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
