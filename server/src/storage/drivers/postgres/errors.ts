import { DatabaseError } from "pg";
import { StorageError } from "../../specs.ts";

/** SQLSTATE classes (PostgreSQL manual, appendix A) that a later try, or the operator, can cure. */
const OUTSIDE = [
  "08", // connection
  "25006", // read-only: a standby, while it takes over
  "25P", // was idle for too long in a transaction
  "28", // refused the login
  "3D", // no such database
  "40", // serialization, deadlock
  "42501", // no right to
  "53", // out of connections, memory or disk
  "55P03", // lock not available
  "57", // shut down, cancelled, timed out
  "58", // system error
  "XX", // internal error
];

/** Makes a StorageError of a failure that lies outside the query; others, such as a mistake in SQL, stay as they are. */
export function translated(error: unknown, where: string): unknown {
  if (error instanceof StorageError || !(error instanceof Error)) return error;
  if (error instanceof DatabaseError) {
    return OUTSIDE.some((start) => error.code?.startsWith(start)) ? storageError(error, where) : error;
  }
  const { code, errors } = error as Error & { code?: string; errors?: readonly Error[] };
  const fromSocket =
    code !== undefined && /^(E[A-Z]+$|ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code);
  return fromSocket || errors !== undefined || OWN_WORDS.test(error.message) ? storageError(error, where) : error;
}

/** What pg and its pool say of lost or late connections, in errors that carry no code. */
const OWN_WORDS =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|The server does not support SSL|Client was closed|SASL|Cannot use a pool|Received unexpected|There was an error establishing an SSL)/;

/** Whether the connection that brought this error can take no other query. */
export function breaksConnection(error: unknown): boolean {
  // Refusals of our own, a value too large for instance, have no cause.
  if (!(error instanceof StorageError) || error.cause === undefined) return false;
  if (!(error.cause instanceof DatabaseError)) return true;
  // A former primary: behind an address that follows the primary, the next connection leads to the new one.
  if (error.cause.code === "25006") return true;
  return ["FATAL", "PANIC"].includes(error.cause.severity ?? "");
}

function storageError(error: Error, where: string): StorageError {
  const { code, errors } = error as Error & { code?: string; errors?: readonly Error[] };
  // A name with several addresses fails with one error for each and no words of its own.
  const words = errors?.map(({ message }) => message).join("; ") || error.message || code || error.name;
  return new StorageError(`${where}: ${words}`, { cause: error });
}
