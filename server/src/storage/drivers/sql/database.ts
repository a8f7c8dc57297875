import type { Compilable, CompiledQuery, Kysely } from "kysely";
import type { ScramHash } from "../../specs.ts";
import type { ArchiveParts } from "./archive-parts.ts";

/** The tables, alike in every SQL database. Texts are compared byte by byte. */
export interface Tables {
  accounts: { domain: string; local: string };
  account_keys: {
    domain: string;
    local: string;
    hash: ScramHash;
    salt: Uint8Array;
    iterations: number;
    stored_key: Uint8Array;
    server_key: Uint8Array;
  };
  key_values: { kind: string; owner: string; value: string };
  map_items: { kind: string; owner: string; key: string; long_key: string | null; value: string };
  /** `with_key` is the bare JID of `with_full`, or what stands for a long one in the index. */
  archive_items: { kind: string; owner: string; id: string; with_key: string; with_full: string; value: string };
  queue_items: { kind: string; owner: string; id: string; value: string };
  /** Rows to lock for queues, which may have none of their own. */
  queue_locks: { number: number };
  /** `expires` in milliseconds since 1970. */
  expiring_items: { kind: string; key: string; long_key: string | null; value: string; expires: number };
}

/** A row of any of them. */
export type Row = Record<string, string | number | Uint8Array | null>;

/**
 * The queries of one transaction, each yielded and answered by its rows: so the same text runs awaiting every answer,
 * or in one go where the database is a library and a transaction left open would hold up the process itself.
 */
export type Steps<R> = Generator<CompiledQuery, R, readonly unknown[]>;

/** What MySQL, which cannot return rows of a change, answers instead: how many it changed or, for an update, found. */
export interface Touched {
  readonly touched: number;
}

/** A query as a step of a transaction, its rows typed. */
export function* rows<T>(query: Compilable<T>): Steps<readonly T[]> {
  return (yield query.compile()) as readonly T[];
}

/** What a database's own SQL is called; where they differ is in dialects.ts. */
export type Dialect = "sqlite" | "postgres" | "mysql";

/** What the shared stores need of a database. Rejects with a StorageError as the contract of the stores says. */
export interface Database {
  readonly dialect: Dialect;
  /** Builds queries in the database's dialect; it executes none. */
  readonly build: Kysely<Tables>;
  /** Whether a transaction must lock the row it reads, or is alone anyway. */
  readonly locksRows: boolean;
  /** Where archives are kept in parts. */
  readonly parts?: ArchiveParts;
  /** In MySQL a change answers with one row of its own: `Touched`. */
  run<T>(query: Compilable<T>): Promise<readonly T[]>;
  /** Runs all steps or none; what the steps throw goes through as it is. */
  transact<R>(steps: () => Steps<R>): Promise<R>;
}
