/** What is said between the driver and Riak: objects, index entries, and refusals in words. */
import type { NodeAnswer } from "./node.ts";

export interface Place {
  readonly bucket: string;
  readonly key: string;
}

/** An object as it is found: bodies of all siblings, undefined for one that is a removal. */
export interface Found {
  /** What a write must name to come after all of this; also there is one where an object was just removed. */
  readonly vclock: string | undefined;
  readonly siblings: readonly (string | undefined)[];
}

/** Index entries by the name of the index. */
export type Indexes = Readonly<Record<string, readonly string[]>>;

export interface Entry {
  readonly term: string;
  readonly key: string;
}

export interface EntryPage {
  readonly entries: readonly Entry[];
  /** Where the next page begins; it may turn out to be empty. */
  readonly continuation: string | undefined;
}

/** What an answer that nobody can use says, and what to do about it where that is known. */
export function refusal({ status, text }: NodeAnswer): string {
  const said = text
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 200);
  if (status === 426) return "takes requests over TLS alone (426); set tls = true, and the HTTPS port in nodes";
  if (status === 401) return "refuses the username or the password (401)";
  if (status === 403) return `the username has no right to this (403): ${said}`;
  return `answered ${status}: ${said}`;
}
