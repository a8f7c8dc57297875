/** The databases that bench/archive.ts runs, and each with its driver's library alone: the same statements, nothing around them. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { createPool } from "mysql2/promise";
import { Pool } from "pg";
import type { BatchOptions } from "../../src/storage/drivers/batches.ts";
import { type DriverOptions, openDriver } from "../../src/storage/open.ts";
import type { StorageDriver } from "../../src/storage/specs.ts";
import { startDatabase } from "../../test/conformance/storage/containers.ts";

/** A row as it is stored. */
export interface Row {
  readonly kind: string;
  readonly owner: string;
  readonly id: string;
  readonly with_key: string;
  readonly with_full: string;
  readonly value: string;
}

/** The library alone. */
export interface Raw {
  write(rows: readonly Row[]): Promise<unknown>;
  /** The newest items before an id. */
  page(kind: string, owner: string, below: string, max: number): Promise<readonly unknown[]>;
  close(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  /** Whether it works within this thread. */
  readonly within?: boolean;
  open(batches?: BatchOptions): Promise<StorageDriver>;
  raw?(): Promise<Raw>;
  close(): Promise<void>;
}

const COLUMNS = ["kind", "owner", "id", "with_key", "with_full", "value"] as const;
const PAGE = "select id, with_full, value from archive_items where kind = ";

async function opened(options: DriverOptions): Promise<StorageDriver> {
  const driver = await openDriver(options);
  await driver.migrate();
  return driver;
}

export function memory(): Contender {
  return { name: "memory", within: true, open: () => opened({ driver: "memory" }), close: async () => {} };
}

export function sqlite(): Contender {
  const folder = mkdtempSync(join(tmpdir(), "meerkat-bench-"));
  const path = join(folder, "bench.sqlite");
  return {
    name: "sqlite",
    within: true,
    open: (batches) => opened({ driver: "sqlite", path, ...batches }),
    async raw() {
      const database = new DatabaseSync(path, { timeout: 5000 });
      database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on");
      const insert = database.prepare("insert into archive_items values (?, ?, ?, ?, ?, ?) on conflict do nothing");
      const page = database.prepare(`${PAGE} ? and owner = ? and id > ? and id < ? order by id desc limit ?`);
      return {
        async write(rows) {
          await setImmediate();
          database.exec("begin immediate");
          for (const row of rows) insert.run(...COLUMNS.map((name) => row[name]));
          database.exec("commit");
        },
        page: async (kind, owner, below, max) => page.all(kind, owner, "", below, max),
        close: async () => database.close(),
      };
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
}

export async function postgres(): Promise<Contender> {
  const container = await startDatabase("postgres", [5432]);
  const access = {
    host: "localhost",
    port: container.ports.get(5432) ?? 0,
    database: "postgres",
  };
  return {
    name: "postgres",
    open: (batches) => opened({ driver: "postgres", ...access, username: "meerkat", password: "secret", ...batches }),
    async raw() {
      const pool = new Pool({ ...access, user: "meerkat", password: "secret", max: 10 });
      pool.on("error", () => {});
      const arrays = COLUMNS.map((_, n) => `$${n + 1}::text[]`).join(", ");
      const insert = `insert into archive_items select * from unnest(${arrays}) on conflict do nothing`;
      const page = `${PAGE} $1 and owner = $2 and id > $3 and id < $4 order by id desc limit $5`;
      return {
        write: (rows) =>
          pool.query({ name: "w", text: insert, values: COLUMNS.map((name) => rows.map((row) => row[name])) }),
        page: async (...[kind, owner, below, max]) =>
          (await pool.query({ name: "p", text: page, values: [kind, owner, "", below, max] })).rows,
        close: () => pool.end(),
      };
    },
    close: () => container.remove(),
  };
}

export async function mariadb(): Promise<Contender> {
  const container = await startDatabase("mariadb", [3306]);
  const access = { host: "localhost", port: container.ports.get(3306) ?? 0, database: "meerkat", password: "secret" };
  return {
    name: "mariadb",
    open: (batches) => opened({ driver: "mysql", ...access, username: "meerkat", ...batches }),
    async raw() {
      const pool = createPool({ ...access, user: "meerkat", connectionLimit: 10 });
      pool.on("connection", (connection) => connection.query("set session autocommit = 1, session sql_mode = ''"));
      const one = `(${COLUMNS.map(() => "?").join(", ")})`;
      const insert = (rows: number) =>
        `insert into archive_items values ${new Array<string>(rows).fill(one).join(", ")} on duplicate key update kind = kind`;
      const page = `${PAGE} ? and owner = ? and id > ? and id < ? order by id desc limit ?`;
      return {
        write: (rows) =>
          pool.execute(
            insert(rows.length),
            rows.flatMap((row) => COLUMNS.map((name) => row[name])),
          ),
        page: async (...[kind, owner, below, max]) =>
          (await pool.execute(page, [kind, owner, "", below, max]))[0] as unknown[],
        close: () => pool.end(),
      };
    },
    close: () => container.remove(),
  };
}

/** A cluster of somebody's own, whose address is given; its interface is HTTP, so there is no library to compare with. */
export function riak(addresses: string): Contender {
  const urls = addresses.split(",").map((address) => new URL(address));
  const tls = urls[0]?.protocol === "https:" ? {} : undefined;
  return {
    name: "riak",
    open: () => opened({ driver: "riak", nodes: urls.map(({ host }) => host), tls }),
    close: async () => {},
  };
}
