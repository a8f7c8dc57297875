/** Orders and addresses of session entries, the same for every kind of cluster. */
import type { SessionEntry } from "./cluster.ts";

/** By resource, in order of code units, so that every node lists an account's sessions alike. */
export function byResource(a: SessionEntry, b: SessionEntry): number {
  if (a.jid.resource === b.jid.resource) return 0;
  return a.jid.resource < b.jid.resource ? -1 : 1;
}

/** Refuses a bare JID: only a bound resource is a session (RFC 6120 7). */
export function mustBeFull(entry: SessionEntry): void {
  if (entry.jid.isBare) throw new TypeError(`${entry.jid.bare} is not a full JID`);
}
