import type { Spelling } from "../sql/migrations.ts";

/**
 * Keys are bytes: MySQL and MariaDB have no collation of one name that tells trailing spaces apart, and one character of
 * theirs counts as four bytes of the 3072 that an index may have, of which an owner and a key would need more
 * (docs/design/0003-keys-are-bytes-in-mysql.md).
 */
export const SPELLING: Spelling = {
  text: "longtext character set utf8mb4 collate utf8mb4_bin",
  key: (bytes) => `varbinary(${bytes})`,
  integer: "bigint",
  bytes: "blob",
  quote: (name) => `\`${name}\``,
  changesCommit: true,
  tableOptions: "engine = InnoDB row_format = dynamic default character set utf8mb4",
  lock: "",
};

/** One of each database; names of locks are the whole server's, and 64 characters at most. */
export const MIGRATION_LOCK = "select get_lock(concat('meerkat ', sha1(database())), ?) as held";

/** What a session begins with, whatever the server's own defaults are. */
export function sessionOf(limits: {
  readonly statementTimeout: number;
  readonly idleTimeout: number;
}): readonly string[] {
  // Should this node vanish without a good-bye, what it locked is let go when it would have closed the connection itself.
  const idle = seconds(limits.idleTimeout + limits.statementTimeout) + 5;
  return [
    "set names utf8mb4 collate utf8mb4_bin",
    "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', " +
      "session time_zone = '+00:00', session autocommit = 1, session foreign_key_checks = 1, session unique_checks = 1, " +
      `session sql_safe_updates = 0, session sql_select_limit = default, session wait_timeout = ${idle}`,
    "set session transaction isolation level read committed",
    timeLimits(limits.statementTimeout),
  ];
}

/**
 * How long a statement may take. MariaDB limits each, and the pause within a transaction; MySQL a select alone, so that
 * a change there is limited by the locks it waits for, in whole seconds, and then by the patience of its caller.
 */
export function timeLimits(milliseconds: number): string {
  const whole = seconds(milliseconds);
  return (
    `set session innodb_lock_wait_timeout = ${whole}, session lock_wait_timeout = ${whole}` +
    `/*M! , session max_statement_time = ${milliseconds / 1000}, session idle_transaction_timeout = ${whole} */` +
    `/*!80000 , session max_execution_time = ${milliseconds} */`
  );
}

function seconds(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000));
}
