import { setImmediate } from "node:timers/promises";
import type { Capabilities, Contents } from "../../specs.ts";
import { Batches, type BatchOptions, type Write } from "../batches.ts";
import { checkedKind, MAX_VALUE_BYTES, positive, type ValueBounds } from "../bounds.ts";
import { accountStore } from "./accounts.ts";
import { archiveStore } from "./archive.ts";
import { archiveAppends } from "./archive-appends.ts";
import { type ArchiveRow, archiveQueries } from "./archive-queries.ts";
import { sqlContents } from "./contents.ts";
import type { Database } from "./database.ts";
import { expiringStore } from "./expiring.ts";
import { keyValueStore } from "./key-value.ts";
import { mapStore } from "./map.ts";
import { queueStore } from "./queue.ts";
import { type Pushed, queuePushes } from "./queue-pushes.ts";

/** What every SQL driver may be told. */
export interface SqlOptions extends ValueBounds, BatchOptions {
  /** Milliseconds since 1970, by which things expire. */
  readonly now?: (() => number) | undefined;
}

/** What every SQL driver offers. */
export interface SqlStores {
  readonly stores: Capabilities & { readonly contents: Contents };
  /** Writes what waits in batches, and refuses what is not written within so many milliseconds, and all that comes later. */
  finish(within: number): Promise<void>;
}

export function sqlStores(database: Database, options: SqlOptions): SqlStores {
  const limit = positive("max_value_bytes", options.maxValueBytes, MAX_VALUE_BYTES);
  const now = options.now ?? Date.now;
  const appends = new Batches<ArchiveRow, void>(paced(database, archiveAppends(database)), options);
  const pushes = new Batches<Pushed, "stored" | "full">(paced(database, queuePushes(database)), options);
  const archives = { database, queries: archiveQueries(database), appends };
  return {
    stores: {
      accounts: () => accountStore(database),
      keyValue: (table, codec) => keyValueStore(database, checkedKind(table), codec, limit),
      map: (table, codec) => mapStore(database, checkedKind(table), codec, limit),
      archive: (table, codec) => archiveStore(archives, checkedKind(table), codec, limit),
      queue: (table, codec) => queueStore(database, pushes, checkedKind(table), codec, limit),
      expiring: (table, codec) => expiringStore(database, checkedKind(table), codec, limit, now),
      contents: sqlContents(database, options, now),
    },
    async finish(within) {
      await Promise.all([appends.close(within), pushes.close(within)]);
    },
  };
}

/** SQLite writes within the call: so that the process does something else between two batches, each waits for its turn. */
function paced<Row, Answer>({ dialect }: Database, write: Write<Row, Answer>): Write<Row, Answer> {
  return dialect === "sqlite" ? (rows) => setImmediate().then(() => write(rows)) : write;
}
