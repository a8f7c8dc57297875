/** What the nodes of one cluster know of each other: who holds which session, and a way to send to another node. */
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Jid } from "../xmpp/jid.ts";

/** A bound resource anywhere in the cluster, as its owner last described it. */
export interface SessionEntry {
  readonly jid: Jid;
  readonly node: string;
  /** Tells two sessions of the same full JID apart: unique for all time. */
  readonly id: string;
  /** Undefined until the client has sent available presence (RFC 6121 4.2), and after it has gone unavailable. */
  readonly priority: number | undefined;
  /** What the session asked for, such as "roster": small, few, sorted. */
  readonly marks: readonly string[];
}

/**
 * The table of all sessions. Rejects with a ClusterError when the other nodes' store cannot be reached.
 * Entries of a node whose lease has lapsed are never returned.
 */
export interface SessionRegistry {
  /** Puts a session in, atomically replacing another of the same full JID, which is returned. */
  claim(entry: SessionEntry): MaybePromise<SessionEntry | undefined>;
  /** Tells the others of a new priority or marks; does nothing when the session has been replaced meanwhile. */
  update(entry: SessionEntry): MaybePromise<void>;
  /** Takes it out, unless another session has replaced it: then that one stays. */
  release(entry: SessionEntry): MaybePromise<void>;
  /** Every session of an account, on this node and others; in order of resource. */
  locate(account: Jid): MaybePromise<readonly SessionEntry[]>;
  /** `locate` for many accounts together, by bare JID. */
  locateEach(accounts: readonly Jid[]): MaybePromise<ReadonlyMap<string, readonly SessionEntry[]>>;
  /** Sessions in the whole cluster, kept as a counter. */
  count(): MaybePromise<number>;
}

/** Messages between nodes. `channel` names the handler on the other side. Text in, text out; order kept per node pair. */
export interface Bus {
  readonly nodeId: string;
  /** Resolves once the other node's subscriber took it; rejects with a ClusterError when nobody did. */
  send(node: string, channel: string, message: string): MaybePromise<void>;
  /** To every living node but this one. */
  broadcast(channel: string, message: string): void;
  /** One handler a channel. A handler that throws is logged; the next message still comes. */
  receive(channel: string, heard: (message: string, fromNode: string) => void): void;
}

export interface Cluster {
  readonly registry: SessionRegistry;
  readonly bus: Bus;
  /** Living nodes, this one included, in order of id. */
  nodes(): readonly string[];
  /** Called once, on one node of the cluster, for each session that a dead node left behind, after its removal. */
  onLost(run: (entry: SessionEntry) => void): void;
  /**
   * Called when this node's own lease has lapsed: it was paused or cut off, the others may by now treat its sessions as
   * lost, and until `onRejoined` is called nothing can be claimed.
   */
  onFenced(run: () => void): void;
  /** Called after this node is in again and the sessions it still holds are back in the registry. */
  onRejoined(run: () => void): void;
  /** Called for a session of this node that turned out to have been replaced elsewhere: it must end with a conflict. */
  onDisplaced(run: (entry: SessionEntry) => void): void;
  /** Joins; rejects with a ClusterError naming what cannot be reached. */
  start(): Promise<void>;
  /** Whether this node can presently reach the others; never rejects. */
  healthy(): boolean;
  /** Leaves: the lease is given up at once. */
  stop(): Promise<void>;
  /** What happened since the start, and what is held now, by name: plain numbers for the metrics. */
  stats(): Readonly<Record<string, number>>;
}

/** Hears of what went wrong and was put right: an event, dotted and past tense, and its details. */
export type ClusterLog = (event: string, details: Readonly<Record<string, unknown>>) => void;

/** Another node, or what lies between, did not answer. */
export class ClusterError extends Error {
  override readonly name = "ClusterError";
}
