import { setImmediate } from "node:timers/promises";
import type { Database, Dialect } from "./database.ts";

/** Tables of items that owners have in the order of their ids. */
type ItemTable = "archive_items" | "queue_items";

/** Rows that one statement removes: SQLite's holds up the process meanwhile, the others' hold locks. */
const CHUNK: Readonly<Record<Dialect, number>> = { sqlite: 100, postgres: 1000, mysql: 1000 };

/** Milliseconds that SQLite may take before everything else has its turn. */
const SLICE = 4;

/**
 * Removes what has ids below this text from every owner's items, the oldest first and few at a time. The owners are found
 * one after the other by the primary key, for an index on ids alone would make every append dearer. `part` is a table that
 * holds some of the items, and is shaped as the whole.
 */
export async function removeOld(
  database: Database,
  table: ItemTable,
  kind: string,
  below: string,
  part: string = table,
): Promise<void> {
  const { build, run } = database;
  const breathe = breather();
  let owner = "";
  for (;;) {
    // The first item of the next owner is also its oldest.
    const next = build
      .selectFrom(part as ItemTable)
      .select(["owner", "id"])
      .where("kind", "=", kind)
      .where("owner", ">", owner)
      .orderBy("owner")
      .orderBy("id")
      .limit(1);
    const [oldest] = await run(next);
    if (oldest === undefined) return;
    owner = oldest.owner;
    if (oldest.id < below) await removeBelow(database, table, kind, owner, below, part);
    await breathe();
  }
}

/** The same for one owner. */
export async function removeBelow(
  { build, dialect, run }: Database,
  table: ItemTable,
  kind: string,
  owner: string,
  below: string,
  part: string = table,
): Promise<void> {
  const breathe = breather();
  for (;;) {
    const [cut] = await run(
      build
        .selectFrom(part as ItemTable)
        .select("id")
        .where("kind", "=", kind)
        .where("owner", "=", owner)
        .where("id", "<", below)
        .orderBy("id")
        .offset(CHUNK[dialect])
        .limit(1),
    );
    await run(
      build
        .deleteFrom(part as ItemTable)
        .where("kind", "=", kind)
        .where("owner", "=", owner)
        .where("id", "<", cut?.id ?? below),
    );
    if (cut === undefined) return;
    await breathe();
  }
}

/** Lets the rest of the process go on, whenever so much time has passed since it last could. */
export function breather(slice = SLICE): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < slice) return;
    await setImmediate();
    since = performance.now();
  };
}
