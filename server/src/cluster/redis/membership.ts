/**
 * This node's lease, and what it knows of the others'.
 *
 * Every `renewEvery` one script renews the own lease and answers all leases, by the clock of Redis; between two answers the
 * others' leases run on by the local clock. A lease that is not renewed lapses after `leaseFor`, and two things follow:
 *
 * - Its own node notices by its own clock, counted from before the last renewal was sent and so never later than the others:
 *   it is fenced, and claims nothing. After a pause or a cut it finds its lease either untouched, and goes on, or condemned
 *   or forgotten, and joins again under a new epoch.
 * - The others no longer return its sessions. One of them sweeps: it condemns the lease in one script, which elects it and
 *   bars the old life from renewing. A survivor condemns only what it has seen lapsed for a whole `renewEvery` without missing
 *   an answer itself, so that after an outage of Redis every node has time to renew first.
 */
import type { Clock } from "../clock.ts";
import { ClusterError, type ClusterLog } from "../cluster.ts";
import type { Commands } from "./connection.ts";
import { LEASES, memberOf, nodeOf } from "./keys.ts";

export interface MembershipOptions {
  readonly nodeId: string;
  readonly newEpoch: () => string;
  readonly commands: Commands;
  readonly clock: Clock;
  readonly log: ClusterLog;
  /** Sessions this node holds, told to the others with each renewal. */
  readonly sessions: () => number;
  readonly renewEvery: number;
  readonly leaseFor: number;
}

interface Lease {
  readonly member: string;
  /** By the local clock. */
  readonly until: number;
  readonly sessions: number;
  readonly condemned: boolean;
  /** Given up by a node that left, or ended by its next life. */
  readonly givenUp: boolean;
}

/** As the own lease was found when it was to be renewed: condemned by a survivor, or unknown to Redis. */
export type LeaseState = "kept" | "dead" | "lost";

export class Membership {
  readonly #options: MembershipOptions;
  #leases = new Map<string, Lease>();
  /** When a lease was first seen lapsed, since the last answer missed. */
  readonly #lapsedSince = new Map<string, number>();
  #member = "";
  #renewedAt = Number.NEGATIVE_INFINITY;
  #joinedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<LeaseState> | undefined;
  misses = 0;
  joins = 0;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** This life of the node, as written into Redis. */
  get member(): string {
    return this.#member;
  }

  /** Whether the own lease has run out as far as this node can tell; the others can not have noticed before. */
  lapsed(): boolean {
    return this.#options.clock.now() - this.#renewedAt >= this.#options.leaseFor;
  }

  /** Rejects with a ClusterError when the lease has lapsed. */
  mustHold(): void {
    if (this.lapsed()) throw new ClusterError("this node has lost touch with Redis, its lease has lapsed");
  }

  /** Whether a member's lease stands; undefined when nothing is known of it. */
  living(member: string): boolean | undefined {
    if (member === this.#member) return !this.lapsed();
    const lease = this.#leases.get(member);
    return lease === undefined ? undefined : stands(lease, this.#options.clock.now());
  }

  /** Living members other than this one. */
  others(): string[] {
    const now = this.#options.clock.now();
    const others: string[] = [];
    for (const lease of this.#leases.values()) {
      if (lease.member !== this.#member && stands(lease, now)) others.push(lease.member);
    }
    return others;
  }

  /** Ids of living nodes, this one included, in order. */
  nodes(): string[] {
    return [...new Set([this.#options.nodeId, ...this.others().map(nodeOf)])].sort();
  }

  /** Sessions of the other living nodes, as they last told. */
  othersSessions(): number {
    const now = this.#options.clock.now();
    let sessions = 0;
    for (const lease of this.#leases.values()) {
      if (lease.member !== this.#member && stands(lease, now)) sessions += lease.sessions;
    }
    return sessions;
  }

  /** Whether it has been in long enough for every living node to have shown itself. */
  settled(): boolean {
    return this.#options.clock.now() - this.#joinedAt > 2 * this.#options.leaseFor;
  }

  /** Members whose sessions a survivor should now sweep. */
  condemnable(): string[] {
    const longAgo = this.#options.clock.now() - this.#options.renewEvery;
    return [...this.#leases.values()]
      .filter(({ member, givenUp, condemned }) => {
        if (member === this.#member) return false;
        return givenUp || condemned || (this.#lapsedSince.get(member) ?? Number.POSITIVE_INFINITY) <= longAgo;
      })
      .map((lease) => lease.member);
  }

  /** A new life: under a new epoch, with the leases of former lives ended. */
  async join(): Promise<void> {
    const { nodeId, newEpoch, commands, clock, leaseFor } = this.#options;
    const member = memberOf(nodeId, newEpoch());
    const sentAt = clock.now();
    const answer = await commands.script("join", LEASES, member, leaseFor, nodeId);
    this.#member = member;
    this.joins++;
    this.#renewedAt = sentAt;
    this.#joinedAt = sentAt;
    // After a loss of memory the others' leases are not back yet: what was known of them stands until it runs out.
    const remembered = this.#leases;
    this.#read(answer);
    for (const [known, lease] of remembered) {
      if (!this.#leases.has(known) && nodeOf(known) !== nodeId) this.#leases.set(known, lease);
    }
  }

  /** Renews the own lease and reads the others'; one at a time, whoever asks. */
  refresh(): Promise<LeaseState> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<LeaseState> {
    const { commands, clock, leaseFor, sessions } = this.#options;
    const sentAt = clock.now();
    try {
      const answer = await commands.script("renew", LEASES, this.#member, leaseFor, sessions());
      const [state] = answer as [LeaseState];
      if (state === "kept") {
        this.#renewedAt = sentAt;
        this.#read(answer);
      } else {
        // Not this life any more: nothing may be claimed until it has joined again.
        this.#renewedAt = Number.NEGATIVE_INFINITY;
        if (state === "dead") this.#read(answer);
      }
      return state;
    } catch (error) {
      this.misses++;
      this.#lapsedSince.clear();
      throw error;
    }
  }

  /** Gives the lease up; sessions that are left are swept by the others at once. */
  async leave(sessionsLeft: boolean): Promise<void> {
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    await this.#options.commands.script("leave", LEASES, this.#member, sessionsLeft ? "keep" : "forget");
  }

  /** Whether this node is the one to sweep that member; it stays so for the given time. */
  async condemn(member: string, forMilliseconds: number): Promise<boolean> {
    return (await this.#options.commands.script("condemn", LEASES, member, this.#member, forMilliseconds)) === 1;
  }

  async forget(member: string): Promise<void> {
    await this.#options.commands.script("forget", LEASES, member, this.#member);
    this.#leases.delete(member);
    this.#lapsedSince.delete(member);
  }

  #read(answer: unknown): void {
    const [, redisNow, flat] = answer as [string, number, string[]];
    const now = this.#options.clock.now();
    const leases = new Map<string, Lease>();
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const member = flat[i] as string;
      const [until, sessions, sweeper] = JSON.parse(flat[i + 1] as string) as [number, number, string];
      const lease = {
        member,
        until: now + until - redisNow,
        sessions,
        condemned: sweeper !== "",
        givenUp: until === 0,
      };
      leases.set(member, lease);
      if (stands(lease, now)) this.#lapsedSince.delete(member);
      else if (!this.#lapsedSince.has(member)) this.#lapsedSince.set(member, now);
    }
    for (const member of this.#lapsedSince.keys()) {
      if (!leases.has(member)) this.#lapsedSince.delete(member);
    }
    this.#leases = leases;
  }
}

function stands(lease: Lease, now: number): boolean {
  return !lease.condemned && !lease.givenUp && lease.until > now;
}
