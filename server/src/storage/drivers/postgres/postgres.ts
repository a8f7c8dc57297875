import {
  type Compilable,
  CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from "kysely";
import { Pool, type PoolClient, type QueryConfig } from "pg";
import { type StorageDriver, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import { answers, deadline } from "../deadline.ts";
import type { Database, Steps, Tables } from "../sql/database.ts";
import { migrations, type Spelling } from "../sql/migrations.ts";
import { isPrepared } from "../sql/prepared.ts";
import { type SqlOptions, sqlStores } from "../sql/stores.ts";
import { archiveMonths } from "./archive-months.ts";
import { breaksConnection, translated } from "./errors.ts";

export interface PostgresOptions extends SqlOptions {
  readonly host: string;
  /** Default 5432. */
  readonly port?: number | undefined;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** Encrypts, and checks that `ca` (PEM), or else an authority of the system's, vouches for `host`. Default: no TLS. */
  readonly tls?: { readonly ca?: string | undefined } | undefined;
  /** Connections of this node. Default 10. */
  readonly max?: number | undefined;
  /** Requests that may wait for a connection; more are refused at once. Default 1000. */
  readonly queue?: number | undefined;
  /** Milliseconds to wait for a connection, waiting in the queue included. Default 5000. */
  readonly connectionTimeout?: number | undefined;
  /** Milliseconds after which an unused connection is closed. Default 30000. */
  readonly idleTimeout?: number | undefined;
  /** Milliseconds one statement may take. Default 10000. */
  readonly statementTimeout?: number | undefined;
  /** Milliseconds `migrate` may take, waiting for other nodes' migrations included. Default 600000. */
  readonly migrationTimeout?: number | undefined;
  /** Hears of connections lost while nobody used them. */
  readonly warn?: ((message: string) => void) | undefined;
}

const SPELLING: Spelling = {
  text: 'text collate "C"',
  key: () => 'text collate "C"',
  integer: "bigint",
  bytes: "bytea",
  quote: (name) => `"${name}"`,
  changesCommit: false,
  tableOptions: "",
  // Any number that nothing else in this database locks.
  lock: "select pg_advisory_xact_lock(7202170116)",
  archiveOptions: "partition by list (kind)",
};

/** How much longer than the server's own limit an answer is waited for, before the server counts as lost. */
const GRACE = 1000;

/** PostgreSQL behind a pool. Opening connects to nothing; a lost database is found again by itself. */
export function postgresDriver(options: PostgresOptions): StorageDriver {
  const port = positive("port", options.port, 5432);
  const where = `postgres at ${options.host}:${port}`;
  const max = positive("max", options.max, 10);
  const queue = positive("queue", options.queue, 1000);
  const connectionTimeout = positive("connection_timeout", options.connectionTimeout, 5000);
  const statementTimeout = positive("statement_timeout", options.statementTimeout, 10_000);
  const migrationTimeout = positive("migration_timeout", options.migrationTimeout, 600_000);
  const pool = new Pool({
    host: options.host,
    port,
    database: options.database,
    user: options.username,
    password: options.password,
    ssl: options.tls
      ? { rejectUnauthorized: true, ...(options.tls.ca !== undefined && { ca: options.tls.ca }) }
      : false,
    max,
    connectionTimeoutMillis: connectionTimeout,
    idleTimeoutMillis: positive("idle_timeout", options.idleTimeout, 30_000),
    statement_timeout: statementTimeout,
    idle_in_transaction_session_timeout: statementTimeout,
    query_timeout: statementTimeout + GRACE,
    keepAlive: true,
    application_name: "meerkat",
  });
  const clients = new Set<PoolClient>();
  pool.on("connect", (client) => clients.add(client));
  pool.on("remove", (client) => clients.delete(client));
  pool.on("error", (error) => options.warn?.(`${where}: ${error.message}`));

  /** What prepared texts are called: the same on every connection, for as long as this driver lives. */
  const names = new Map<string, string>();

  let requests = 0;
  async function lend<R>(use: (client: PoolClient) => Promise<R>): Promise<R> {
    if (requests >= max + queue) throw new StorageError(`${where}: ${queue} requests wait for a connection already`);
    requests++;
    try {
      return await lendConnected(use);
    } finally {
      requests--;
    }
  }

  async function lendConnected<R>(use: (client: PoolClient) => Promise<R>): Promise<R> {
    const client = await pool.connect().catch((error: unknown) => {
      throw translated(error, where);
    });
    // What breaks the connection also rejects the query that was under way.
    client.on("error", ignored);
    let broken = false;
    try {
      return await use(client);
    } catch (error) {
      broken = breaksConnection(error);
      throw error;
    } finally {
      client.off("error", ignored);
      client.release(broken);
    }
  }

  async function execute(client: PoolClient, query: CompiledQuery, timeout?: number): Promise<readonly unknown[]> {
    const config: QueryConfig & { query_timeout?: number } = { text: query.sql, values: [...query.parameters] };
    if (isPrepared(query)) config.name = nameOf(query.sql);
    if (timeout !== undefined) config.query_timeout = timeout;
    try {
      return (await client.query(config)).rows;
    } catch (error) {
      throw translated(error, where);
    }
  }

  function nameOf(text: string): string {
    const name = names.get(text) ?? `meerkat_${names.size}`;
    names.set(text, name);
    return name;
  }

  function transact<R>(steps: () => Steps<R>, timeout?: number): Promise<R> {
    return lend(async (client) => {
      await execute(client, CompiledQuery.raw("begin isolation level read committed"));
      try {
        if (timeout !== undefined) await execute(client, CompiledQuery.raw(`set local statement_timeout = ${timeout}`));
        const running = steps();
        let step = running.next();
        while (!step.done) step = running.next(await execute(client, step.value, timeout && timeout + GRACE));
        await execute(client, CompiledQuery.raw("commit"));
        return step.value;
      } catch (error) {
        if (!breaksConnection(error)) await execute(client, CompiledQuery.raw("rollback"));
        throw error;
      }
    });
  }

  const run = <T>(query: Compilable<T>) => lend((client) => execute(client, query.compile())) as Promise<readonly T[]>;

  const months = archiveMonths({ transact: (steps) => transact(steps) }, options.now ?? Date.now);
  const stores: Database = {
    dialect: "postgres",
    build: new Kysely<Tables>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new PostgresIntrospector(db),
        createQueryCompiler: () => new PostgresQueryCompiler(),
      },
    }),
    locksRows: true,
    parts: months,
    run,
    transact: (steps) => transact(steps),
  };

  const { stores: offered, finish } = sqlStores(stores, options);

  /** A database that hangs does not answer a good-bye either. */
  const end = () =>
    deadline(pool.end(), connectionTimeout, `${where}: did not close`, () => {
      for (const client of clients) destroy(client);
    }).catch((error: unknown) => options.warn?.(String(error)));

  let closed: Promise<void> | undefined;
  return {
    name: "postgres",
    ...offered,
    async migrate() {
      await transact(() => migrations(SPELLING), migrationTimeout);
      await months.ahead();
    },
    healthy: () => answers(lend((client) => execute(client, CompiledQuery.raw("select 1")))),
    close() {
      closed ??= finish(connectionTimeout).then(end);
      return closed;
    },
  };
}

function destroy(client: PoolClient): void {
  (client as PoolClient & { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

function ignored(): void {}
