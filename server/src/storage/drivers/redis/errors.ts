import { StorageError } from "../../specs.ts";

/** The first word of what Redis refuses with, where a later try or the operator can cure it, and what to say besides. */
const OUTSIDE: Readonly<Record<string, string>> = {
  OOM: "Redis is full",
  CLUSTERDOWN: "the cluster does not serve all of its slots",
  MASTERDOWN: "the replica has lost its master",
  LOADING: "Redis has just started, and still reads what it kept",
  READONLY: "the node is a replica now",
  TRYAGAIN: "slots are being moved",
  MOVED: "the nodes do not agree on who serves the slot",
  ASK: "slots are being moved",
  NOAUTH: "Redis wants a password",
  WRONGPASS: "the password, or the user's name, is wrong",
  NOPERM: "the user may not do that",
  BUSY: "Redis is busy with a script",
  MISCONF: "Redis cannot write to its disk",
  NOREPLICAS: "too few replicas",
  UNBLOCKED: "the node is a replica now",
};

/** Refusals after which nothing was done, and a moment later may be. */
const NOT_YET = new Set(["CLUSTERDOWN", "MASTERDOWN", "LOADING", "READONLY", "TRYAGAIN", "MOVED", "ASK"]);

/** What ioredis says when it did not send a command at all. */
const NOT_SENT = /isn't (ready|writeable) and enableOfflineQueue|^Cluster is ended|^None of startup nodes/;
/** Of a command that was sent, or may have been, on a connection that is gone. */
const LOST =
  /^(Connection is closed|Socket timeout|Command timed out|Reached the max retries|read |write |connect |getaddrinfo )/;
const REDIRECTED = /^Too many Cluster redirections/;

/** Whether the command was certainly not carried out. */
export function untouched(error: unknown): boolean {
  const { message } = error as Error;
  return NOT_SENT.test(message) || NOT_YET.has(firstWord(message)) || REDIRECTED.test(message);
}

/** Whether nobody can tell if the command was carried out. */
export function lost(error: unknown): boolean {
  return LOST.test((error as Error).message) || typeof (error as { code?: unknown }).code === "string";
}

/** A StorageError of what lies outside this server; others, such as a mistake in a script, stay as they are. */
export function translated(error: unknown, where: string, cause = ""): unknown {
  if (error instanceof StorageError || !(error instanceof Error)) return error;
  const { message } = error;
  if (meaning(message) === undefined && !untouched(error) && !lost(error)) return error;
  // What closed the connection says more than that it is closed.
  const words = meaning(message) === undefined && cause !== "" ? cause : message;
  const means = meaning(words);
  return new StorageError(`${where}: ${means === undefined ? words : `${means} (${words})`}`, { cause: error });
}

function meaning(words: string): string | undefined {
  if (/^ERR .*AUTH/.test(words)) return OUTSIDE.WRONGPASS;
  if (/cluster support disabled/.test(words)) return "it is no cluster; set cluster = false";
  return OUTSIDE[firstWord(words)];
}

function firstWord(message: string): string {
  return /^[A-Z]+(?= )/.exec(message)?.[0] ?? "";
}
