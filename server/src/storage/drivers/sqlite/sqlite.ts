import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import { type StorageDriver, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import type { Database, Steps, Tables } from "../sql/database.ts";
import { migrations, type Spelling } from "../sql/migrations.ts";
import { type SqlOptions, sqlStores } from "../sql/stores.ts";

export interface SqliteOptions extends Omit<SqlOptions, "batchWriters"> {
  /** A file, made with its folder when missing, or ":memory:". */
  readonly path: string;
  /** Milliseconds to wait for another process's write. The event loop waits along. Default 5000. */
  readonly busyTimeout?: number | undefined;
  /**
   * "full": a commit is on the disk before it is answered. "normal": it survives a crash of the process, but the newest may be
   * lost with the power. Default "full".
   */
  readonly synchronous?: "full" | "normal" | undefined;
}

interface Statement {
  readonly statement: StatementSync;
  /** Of the columns that it answers with. */
  readonly names: readonly string[];
}

/** Milliseconds in which batches are written when it closes. */
const CLOSE_WITHIN = 5000;

const SPELLING: Spelling = {
  text: "text",
  key: () => "text",
  integer: "integer",
  bytes: "blob",
  quote: (name) => `"${name}"`,
  changesCommit: false,
  tableOptions: "strict, without rowid",
  lock: "",
  // Pages of the file hold few items, and each owner's are elsewhere: it writes them one behind the other, and only the
  // indexes in order.
  archiveOptions: "strict",
};

/** SQLite inside this process: a complete server needs no other service. Throws a StorageError if it cannot open. */
export function sqliteDriver(options: SqliteOptions): StorageDriver {
  const database = translating(options.path, () => open(options));
  const statements = new Map<string, Statement>();

  function execute(query: CompiledQuery): readonly unknown[] {
    let prepared = statements.get(query.sql);
    if (prepared === undefined) {
      // The texts are those of the stores, a few dozen; only parameters differ.
      const statement = database.prepare(query.sql);
      statement.setReturnArrays(true);
      prepared = { statement, names: statement.columns().map(({ name }) => name) };
      statements.set(query.sql, prepared);
    }
    const { statement, names } = prepared;
    const found = statement.all(...(query.parameters as readonly SQLInputValue[]));
    // The library's own objects take twice as long to make and to read.
    return (found as unknown as readonly unknown[][]).map((values) => {
      const row: Record<string, unknown> = {};
      for (let n = 0; n < names.length; n++) row[names[n] as string] = values[n];
      return row;
    });
  }

  // A transaction begins and ends within one call: another instance in this process that met it half-way would block
  // the very event loop it waits for.
  function transact<R>(steps: () => Steps<R>): R {
    translating(options.path, () => database.exec("begin immediate"));
    try {
      const running = steps();
      let step = running.next();
      while (!step.done) {
        const query = step.value;
        step = running.next(translating(options.path, () => execute(query)));
      }
      translating(options.path, () => database.exec("commit"));
      return step.value;
    } catch (error) {
      // SQLite may have rolled back by itself, as it does when the disk is full.
      if (database.isTransaction) database.exec("rollback");
      throw error;
    }
  }

  const stores: Database = {
    dialect: "sqlite",
    build: new Kysely<Tables>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    }),
    locksRows: false,
    run: async <T>(query: { compile(): CompiledQuery<T> }) =>
      translating(options.path, () => execute(query.compile()) as readonly T[]),
    transact: async (steps) => transact(steps),
  };

  // A second batch could not be under way: the first is written within one call.
  const { stores: offered, finish } = sqlStores(stores, { ...options, batchWriters: 1 });

  return {
    name: "sqlite",
    ...offered,
    migrate: async () => transact(() => migrations(SPELLING)),
    async healthy() {
      try {
        database.prepare("select 1").all();
        return true;
      } catch {
        return false;
      }
    },
    async close() {
      await finish(CLOSE_WITHIN);
      if (database.isOpen) database.close();
    },
  };
}

function open({ path, busyTimeout, synchronous = "full" }: SqliteOptions): DatabaseSync {
  if (path !== ":memory:") {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // SQLite gives its log and shared memory the mode of the file, which it would itself make readable by all.
    closeSync(openSync(path, "a", 0o600));
  }
  const database = new DatabaseSync(path, { timeout: positive("busy_timeout", busyTimeout, 5000) });
  database.exec(`pragma journal_mode = wal; pragma synchronous = ${synchronous}; pragma foreign_keys = on`);
  return database;
}

/** SQLite's primary result codes that speak of the file, the disk or other writers, not of a mistake in a query. */
const OUTSIDE = new Set([
  3, // PERM
  5, // BUSY
  6, // LOCKED
  8, // READONLY
  10, // IOERR
  11, // CORRUPT
  13, // FULL
  14, // CANTOPEN
  15, // PROTOCOL
  26, // NOTADB
]);

function translating<R>(path: string, run: () => R): R {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { errcode, syscall } = error as Error & { errcode?: number; syscall?: string };
    // An extended code carries the primary one in its low byte.
    const outside = errcode === undefined ? syscall !== undefined : OUTSIDE.has(errcode & 0xff);
    throw outside ? new StorageError(`sqlite at ${path}: ${error.message}`, { cause: error }) : error;
  }
}
