import {
  type Compilable,
  CompiledQuery,
  DummyDriver,
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
} from "kysely";
import { type StorageDriver, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import { answers } from "../deadline.ts";
import type { Database, Steps, Tables } from "../sql/database.ts";
import { migrations } from "../sql/migrations.ts";
import { type SqlOptions, sqlStores } from "../sql/stores.ts";
import { GRACE, MysqlConnection, type Server } from "./connection.ts";
import { wasBeaten } from "./errors.ts";
import { MysqlPool } from "./pool.ts";
import { MIGRATION_LOCK, SPELLING, sessionOf, timeLimits } from "./session.ts";

export interface MysqlOptions extends SqlOptions {
  readonly host: string;
  /** Default 3306. */
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

/** How often a transaction is tried that the server ended in favour of another one. */
const ATTEMPTS = 5;

/** MySQL or MariaDB behind a pool. Opening connects to nothing; a lost database is found again by itself. */
export function mysqlDriver(options: MysqlOptions): StorageDriver {
  const port = positive("port", options.port, 3306);
  const where = `mysql at ${options.host}:${port}`;
  const connectionTimeout = positive("connection_timeout", options.connectionTimeout, 5000);
  const idleTimeout = positive("idle_timeout", options.idleTimeout, 30_000);
  const statementTimeout = positive("statement_timeout", options.statementTimeout, 10_000);
  const migrationTimeout = positive("migration_timeout", options.migrationTimeout, 600_000);
  const { host, database, username, password, tls } = options;
  const ssl = tls && { rejectUnauthorized: true, verifyIdentity: true, ...(tls.ca !== undefined && { ca: tls.ca }) };
  const max = positive("max", options.max, 10);
  // A server keeps 16,382 of all nodes together, unless told otherwise.
  const prepared = Math.max(16, Math.min(128, Math.floor(4000 / max)));
  const session = sessionOf({ statementTimeout, idleTimeout });
  const server: Server = { where, host, port, database, username, password, ssl, prepared, session };
  const pool = new MysqlPool(
    where,
    (timeout) => MysqlConnection.open(server, statementTimeout, timeout),
    {
      max,
      queue: positive("queue", options.queue, 1000),
      timeout: connectionTimeout,
      idleTimeout,
    },
    (message) => options.warn?.(message),
  );

  const run = <T>(query: Compilable<T>) =>
    pool.use((connection) => unbeaten(() => connection.execute(query.compile()))) as Promise<readonly T[]>;

  /** Changes of tables commit one by one, so that the lock cannot be the transaction's. */
  const migrate = () =>
    pool.use(async (connection) => {
      try {
        await connection.execute(CompiledQuery.raw(timeLimits(migrationTimeout + GRACE)));
        const lock = CompiledQuery.raw(MIGRATION_LOCK, [Math.ceil(migrationTimeout / 1000)]);
        const [answer] = (await connection.execute(lock, migrationTimeout + GRACE)) as [{ held: number | null }];
        if (answer.held !== 1) {
          throw new StorageError(`${where}: another node's migration is not over after ${migrationTimeout} ms`);
        }
        await follow(migrations(SPELLING), (query) => connection.execute(query, migrationTimeout + GRACE));
      } finally {
        // The lock goes with it, and so do the limits.
        await connection.end();
      }
    });

  const stores: Database = {
    dialect: "mysql",
    build: new Kysely<Tables>({
      dialect: {
        createAdapter: () => new MysqlAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new MysqlIntrospector(db),
        createQueryCompiler: () => new MysqlQueryCompiler(),
      },
    }),
    locksRows: true,
    run,
    transact: (steps) => pool.use((connection) => unbeaten(() => transaction(connection, steps()))),
  };

  const { stores: offered, finish } = sqlStores(stores, options);

  /** A database that hangs does not answer a good-bye either. */
  const end = () => pool.close(connectionTimeout).catch((error: unknown) => options.warn?.(String(error)));

  let closed: Promise<void> | undefined;
  return {
    name: "mysql",
    ...offered,
    migrate,
    healthy: () => answers(pool.use((connection) => connection.execute(CompiledQuery.raw("select 1")))),
    close() {
      closed ??= finish(connectionTimeout).then(end);
      return closed;
    },
  };
}

async function transaction<R>(connection: MysqlConnection, steps: Steps<R>): Promise<R> {
  await connection.execute(CompiledQuery.raw("start transaction"));
  try {
    const result = await follow(steps, (query) => connection.execute(query));
    await connection.execute(CompiledQuery.raw("commit"));
    return result;
  } catch (error) {
    // One that cannot even roll back is not lent again with a transaction open.
    if (connection.usable) await connection.execute(CompiledQuery.raw("rollback")).catch(() => connection.destroy());
    throw error;
  }
}

async function follow<R>(
  running: Steps<R>,
  execute: (query: CompiledQuery) => Promise<readonly unknown[]>,
): Promise<R> {
  let step = running.next();
  while (!step.done) step = running.next(await execute(step.value));
  return step.value;
}

async function unbeaten<R>(attempt: () => Promise<R>): Promise<R> {
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || !wasBeaten(error)) throw error;
    }
  }
}
