import type { HttpOptions } from "./drivers/http/http.ts";
import type { LdapOptions } from "./drivers/ldap/ldap.ts";
import type { MemoryOptions } from "./drivers/memory.ts";
import type { MysqlOptions } from "./drivers/mysql/mysql.ts";
import type { PostgresOptions } from "./drivers/postgres/postgres.ts";
import type { RedisOptions } from "./drivers/redis/redis.ts";
import type { RiakOptions } from "./drivers/riak/riak.ts";
import type { SqliteOptions } from "./drivers/sqlite/sqlite.ts";
import { completed } from "./shims.ts";
import type { StorageDriver } from "./specs.ts";

export type DriverOptions =
  | ({ readonly driver: "memory" } & MemoryOptions)
  | ({ readonly driver: "sqlite" } & SqliteOptions)
  | ({ readonly driver: "postgres" } & PostgresOptions)
  | ({ readonly driver: "mysql" } & MysqlOptions)
  | ({ readonly driver: "redis" } & RedisOptions)
  | ({ readonly driver: "riak" } & RiakOptions)
  | ({ readonly driver: "ldap" } & LdapOptions)
  | ({ readonly driver: "http" } & HttpOptions);

/**
 * Opens the driver the operator chose; the libraries of the others are not loaded. PostgreSQL, MySQL, Redis,
 * Riak, LDAP and HTTP are first contacted by `migrate` or a request. Rejects with a TypeError for options that make no sense.
 */
export async function openDriver(options: DriverOptions): Promise<StorageDriver> {
  return completed(await opened(options), {
    maxValueBytes: "maxValueBytes" in options ? options.maxValueBytes : undefined,
  });
}

async function opened(options: DriverOptions): Promise<StorageDriver> {
  switch (options.driver) {
    case "memory":
      return (await import("./drivers/memory.ts")).memoryDriver(options);
    case "sqlite":
      return (await import("./drivers/sqlite/sqlite.ts")).sqliteDriver(options);
    case "postgres":
      return (await import("./drivers/postgres/postgres.ts")).postgresDriver(options);
    case "mysql":
      return (await import("./drivers/mysql/mysql.ts")).mysqlDriver(options);
    case "redis":
      return (await import("./drivers/redis/redis.ts")).redisDriver(options);
    case "riak":
      return (await import("./drivers/riak/riak.ts")).riakDriver(options);
    case "ldap":
      return (await import("./drivers/ldap/ldap.ts")).ldapDriver(options);
    case "http":
      return (await import("./drivers/http/http.ts")).httpDriver(options);
  }
}
