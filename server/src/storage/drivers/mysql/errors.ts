import { StorageError } from "../../specs.ts";

/** Error numbers of MySQL and MariaDB that a later try, or the operator, can cure; all others are mistakes in a query. */
const OUTSIDE = new Set([
  // The disk, a table's file, memory.
  1021, 1026, 1028, 1030, 1034, 1036, 1037, 1038, 1041, 1114, 1194, 1195, 1206, 1637,
  // Too many connections, or too much of something else for this account.
  1040, 1129, 1203, 1226, 1461,
  // Refused: the login, the database, the right to do it, the address, an expired or locked account, no TLS.
  1044, 1045, 1049, 1130, 1142, 1143, 1227, 1251, 1524, 1698, 1820, 1862, 3118, 3159, 4151,
  // A node of a cluster that is not ready, shutdown, a killed or idle connection, the network, a packet beyond the limit.
  1047,
  1053, 1077, 1078, 1079, 1080, 1152, 1153, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1927, 4031,
  // Other transactions.
  1020, 1205, 1213, 3572,
  // A commit or rollback that failed in the engine, an engine's passing trouble.
  1180, 1181, 1297,
  // Read-only: a replica, or a full disk's guard.
  1290, 1792, 1836,
  // Interrupted, or too slow.
  1317, 1969, 3024,
]);

/** After these the server closes the connection, if it has not already. */
const LAST_WORDS = new Set([1053, 1077, 1078, 1079, 1080, 1152, 1153, 1184, 1927, 4031]);

/** A transaction that the server ended in favour of another one: the same again will do. */
const BEATEN = new Set([1020, 1213]);

/** What the driver says of lost or refused connections; servers' own errors have numbers as well. */
const OF_CONNECTION =
  /^(E[A-Z]+$|PROTOCOL_|HANDSHAKE_|AUTH_|ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|NOT_SUPPORTED_AUTH|MISSING_AUTH)/;

type Known = Error & { errno?: number; code?: string; sqlState?: string; fatal?: boolean; errors?: readonly Error[] };

/** Makes a StorageError of a failure that lies outside the query; others, such as a mistake in SQL, stay as they are. */
export function translated(error: unknown, where: string): unknown {
  if (error instanceof StorageError || !(error instanceof Error)) return error;
  const { errno, code, fatal, errors, message } = error as Known;
  const outside = fromServer(error)
    ? OUTSIDE.has(errno as number)
    : fatal === true || errors !== undefined || OF_CONNECTION.test(code ?? "");
  if (!outside) return error;
  // A name with several addresses fails with one error for each and no words of its own.
  const words = errors?.map((each) => each.message).join("; ") || message || code || error.name;
  return new StorageError(`${where}: ${words}`, { cause: error });
}

/** Whether the connection that brought this error can take no other query. */
export function breaksConnection(error: unknown): boolean {
  // Refusals of our own, a value too large for instance, have no cause.
  if (!(error instanceof StorageError) || error.cause === undefined) return false;
  const { errno, fatal } = error.cause as Known;
  return fatal === true || !fromServer(error.cause) || LAST_WORDS.has(errno as number);
}

/** Whether the transaction was rolled back for another one's sake. */
export function wasBeaten(error: unknown): boolean {
  return error instanceof StorageError && fromServer(error.cause) && BEATEN.has((error.cause as Known).errno as number);
}

function fromServer(error: unknown): boolean {
  const { errno, sqlState } = (error ?? {}) as Known;
  return typeof errno === "number" && errno > 0 && typeof sqlState === "string";
}
