import { archiveBound } from "../../archive-id.ts";
import type { ArchiveRow } from "./archive-queries.ts";
import type { Database } from "./database.ts";
import { removeOld } from "./removals.ts";

/** How a database keeps archives in tables of their own for each kind and span of time. */
export interface ArchiveParts {
  /** Whether an insert failed because there is no part for a row yet. */
  isMissing(error: unknown): boolean;
  /** Whether a statement failed because another node has dropped its part meanwhile. */
  isGone(error: unknown): boolean;
  /** Makes the parts that these rows, and those written soon, belong into. */
  make(rows: readonly Pick<ArchiveRow, "kind" | "id">[]): Promise<void>;
  /** Drops the parts of a kind whose ids are all below this text; the names of those that have some of them. */
  drop(kind: string, below: string): Promise<readonly string[]>;
}

/** Runs what inserts rows, making the parts that they need. Whoever inserts into `archive_items` does it through this. */
export async function intoParts<R>(
  { parts }: Database,
  rows: readonly Pick<ArchiveRow, "kind" | "id">[],
  insert: () => Promise<R>,
): Promise<R> {
  try {
    return await insert();
  } catch (error) {
    if (parts === undefined || !parts.isMissing(error)) throw error;
    await parts.make(rows);
    return await insert();
  }
}

/** Removes what is older than this, milliseconds since 1970, from all archives of a kind. */
export async function expireArchive(database: Database, kind: string, before: number): Promise<void> {
  const below = archiveBound(before);
  const tables = (await database.parts?.drop(kind, below)) ?? ["archive_items"];
  for (const table of tables) {
    try {
      await removeOld(database, "archive_items", kind, below, table);
    } catch (error) {
      if (!database.parts?.isGone(error)) throw error;
    }
  }
}
