import type { Compilable } from "kysely";
import { sql } from "kysely";
import type { Write } from "../batches.ts";
import { intoParts } from "./archive-parts.ts";
import type { ArchiveRow } from "./archive-queries.ts";
import type { Database } from "./database.ts";
import { unlessThere } from "./dialects.ts";
import { prepared, preparedRows } from "./prepared.ts";

type Columns = { readonly [K in keyof ArchiveRow]: readonly string[] };

const COLUMNS = ["kind", "owner", "id", "with_key", "with_full", "value"] as const;

/** Writes rows of archives as one step; those that are there already stay as they are. */
export function archiveAppends(database: Database): Write<ArchiveRow, void> {
  const insert = inserting(database);
  return (rows) => {
    // In one order everywhere, so that two nodes that write the same rows never wait for each other.
    const sorted = rows.toSorted((a, b) => (a.owner === b.owner ? order(a.id, b.id) : order(a.owner, b.owner)));
    return intoParts(database, sorted, () => insert(sorted));
  };
}

function inserting(database: Database): Write<ArchiveRow, void> {
  const { dialect, run } = database;
  if (dialect === "postgres") {
    // One text for any number of rows.
    const many = prepared((columns: Columns) => fromArrays(database, columns));
    return async (rows) => {
      await run(many(byColumn(rows)));
      return undefined;
    };
  }
  const many = preparedRows<ArchiveRow, unknown>(COLUMNS, (rows) => {
    const ordered = rows.map(({ kind, owner, id, with_key, with_full, value }) => ({
      kind,
      owner,
      id,
      with_key,
      with_full,
      value,
    }));
    return unlessThere(database, "archive_items", ordered);
  });
  return async (rows) => {
    await run(many(rows));
    return undefined;
  };
}

function fromArrays({ build }: Database, columns: Columns): Compilable<unknown> {
  const arrays = sql.join(COLUMNS.map((name) => sql`${columns[name]}::text[]`));
  return build
    .insertInto("archive_items")
    .columns([...COLUMNS])
    .expression(sql`select * from unnest(${arrays})`)
    .onConflict((conflict) => conflict.doNothing());
}

function byColumn(rows: readonly ArchiveRow[]): Columns {
  return Object.fromEntries(COLUMNS.map((name) => [name, rows.map((row) => row[name])])) as unknown as Columns;
}

function order(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1;
}
