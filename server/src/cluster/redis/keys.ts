/**
 * The names of everything kept in Redis, and how an entry is written there.
 *
 *   meerkat:sessions:{bare JID}      hash    resource -> [member, id, priority, marks]
 *   meerkat:index:{member}           hash    id -> [local, domain, resource]: every session the member may hold
 *   meerkat:{leases}                 hash    member -> [until, sessions, sweeper, swept until]
 *   meerkat:bus:{node id}            sharded channel
 *
 * A member is one life of a node: `node id # epoch`. A container that starts again keeps its host name and so its node id;
 * the epoch, new with each life, is what makes the sessions of the former life dead.
 */
import { Jid } from "../../xmpp/jid.ts";
import type { SessionEntry } from "../cluster.ts";

export const LEASES = "meerkat:{leases}";

/**
 * Redis takes what stands between the first "{" and the first "}" after it as the hash tag, and a localpart may hold both
 * (RFC 7622 3.3.1 forbids only "&'/:<>@). Escaped, all keys of an account share a slot and no account can choose another's.
 */
export function sessionsKey(account: Jid): string {
  return `meerkat:sessions:{${account.bare.replace(/[%{}]/g, percentEncode)}}`;
}

export function indexKey(member: string): string {
  return `meerkat:index:{${member}}`;
}

export function busChannel(nodeId: string): string {
  return `meerkat:bus:{${nodeId}}`;
}

const NODE_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** A node id goes into keys, channels and frame headers as it is. */
export function checkNodeId(nodeId: string): void {
  if (!NODE_ID.test(nodeId)) throw new TypeError(`node id "${nodeId}": 1 to 64 of A-Z a-z 0-9 . _ -`);
}

export function memberOf(nodeId: string, epoch: string): string {
  return `${nodeId}#${epoch}`;
}

export function nodeOf(member: string): string {
  return member.slice(0, member.indexOf("#"));
}

/** An entry as found, with the life of the node that wrote it. */
export interface StoredEntry extends SessionEntry {
  readonly member: string;
}

export function writeEntry(entry: SessionEntry, member: string): string {
  return JSON.stringify([member, entry.id, entry.priority ?? null, entry.marks]);
}

export function readEntry(jid: Jid, value: string): StoredEntry {
  const [member, id, priority, marks] = JSON.parse(value) as [string, string, number | null, string[]];
  return { jid, node: nodeOf(member), id, priority: priority ?? undefined, marks, member };
}

export function writeAddress(jid: Jid): string {
  return JSON.stringify([jid.local, jid.domain, jid.resource]);
}

export function readAddress(value: string): Jid {
  const [local, domain, resource] = JSON.parse(value) as [string, string, string];
  return new Jid(local, domain, resource);
}

function percentEncode(character: string): string {
  return `%${character.charCodeAt(0).toString(16)}`;
}
