/**
 * The table of sessions in Redis. Each account is one hash on one slot, changed only by scripts that compare the session id;
 * whatever a node does late, it does to its own session or to none.
 *
 * A session is written into its node's index before it is claimed and taken out after its release: a node that dies at any
 * point between leaves an index that names all it held, for the sweeper. Each node keeps its own entries at hand too, and
 * writes them again from time to time: that keeps their expiry away, and repairs what a failover or an emptied Redis lost.
 */
import type { Jid } from "../../xmpp/jid.ts";
import type { Clock } from "../clock.ts";
import { ClusterError, type ClusterLog, type SessionEntry, type SessionRegistry } from "../cluster.ts";
import { byResource, mustBeFull } from "../entries.ts";
import type { Commands } from "./connection.ts";
import { indexKey, readAddress, readEntry, type StoredEntry, sessionsKey, writeAddress, writeEntry } from "./keys.ts";
import type { Membership } from "./membership.ts";

export interface RedisRegistryOptions {
  readonly commands: Commands;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly log: ClusterLog;
  /** Milliseconds after which a session is written again. */
  readonly refreshEvery: number;
  /** Milliseconds that an account's hash outlives its last writing. */
  readonly entryFor: number;
  /** Releases to be tried again; beyond it the oldest is left to the expiry. */
  readonly maxUnreleased: number;
  readonly lost: (entry: SessionEntry) => void;
  readonly displaced: (entry: SessionEntry) => void;
}

interface Own {
  readonly entry: SessionEntry;
  writtenAt: number;
}

/** Commands sent together when many sessions are written or swept. */
const AT_ONCE = 200;
/** An index outlives its node long enough for the whole cluster to be started again and sweep it. */
const INDEX_FOR = 86_400_000;

export class RedisRegistry implements SessionRegistry {
  readonly #options: RedisRegistryOptions;
  /** What this node holds, by id; the one written longest ago first. */
  readonly #own = new Map<string, Own>();
  /** What may still stand in Redis although its session is over. */
  readonly #unreleased = new Map<string, SessionEntry>();

  constructor(options: RedisRegistryOptions) {
    this.#options = options;
  }

  /** Sessions of this node. */
  get size(): number {
    return this.#own.size;
  }

  get unreleased(): number {
    return this.#unreleased.size;
  }

  async claim(entry: SessionEntry): Promise<SessionEntry | undefined> {
    mustBeFull(entry);
    const { commands, membership, entryFor } = this.#options;
    membership.mustHold();
    this.#own.set(entry.id, { entry, writtenAt: this.#options.clock.now() });
    try {
      const { member } = membership;
      await commands.run((redis) => redis.hset(indexKey(member), entry.id, writeAddress(entry.jid)));
      // The lease may have lapsed while the index was written.
      membership.mustHold();
      const key = sessionsKey(entry.jid);
      const replaced = await commands.script(
        "claim",
        key,
        entry.jid.resource,
        entry.id,
        writeEntry(entry, member),
        entryFor,
      );
      if (!this.#own.has(entry.id)) this.#releaseLater(entry);
      return typeof replaced === "string" ? plain(readEntry(entry.jid, replaced)) : undefined;
    } catch (error) {
      // The claim may have been done all the same.
      this.#own.delete(entry.id);
      this.#releaseLater(entry);
      throw error;
    }
  }

  async update(entry: SessionEntry): Promise<void> {
    const { commands, membership, entryFor } = this.#options;
    const own = this.#own.get(entry.id);
    if (own === undefined) return;
    this.#own.set(entry.id, { entry, writtenAt: own.writtenAt });
    const value = writeEntry(entry, membership.member);
    await commands.script("update", sessionsKey(entry.jid), entry.jid.resource, entry.id, value, entryFor);
  }

  async release(entry: SessionEntry): Promise<void> {
    this.#own.delete(entry.id);
    try {
      await this.#release(entry);
    } catch (error) {
      this.#releaseLater(entry);
      throw error;
    }
  }

  async locate(account: Jid): Promise<readonly SessionEntry[]> {
    const { commands, membership } = this.#options;
    membership.mustHold();
    return this.#living(account, await commands.run((redis) => redis.hgetall(sessionsKey(account))));
  }

  async locateEach(accounts: readonly Jid[]): Promise<ReadonlyMap<string, readonly SessionEntry[]>> {
    const { commands, membership } = this.#options;
    membership.mustHold();
    const found = new Map<string, readonly SessionEntry[]>();
    for (let start = 0; start < accounts.length; start += AT_ONCE) {
      const some = accounts.slice(start, start + AT_ONCE);
      const each = await commands.run((redis) =>
        Promise.all(some.map((account) => redis.hgetall(sessionsKey(account)))),
      );
      for (const [i, account] of some.entries()) found.set(account.bare, await this.#living(account, each[i] ?? {}));
    }
    return found;
  }

  /** Of what is stored of an account, the sessions of nodes that live; in order of resource. */
  async #living(account: Jid, fields: Readonly<Record<string, string>>): Promise<readonly SessionEntry[]> {
    const { membership } = this.#options;
    const stored: StoredEntry[] = [];
    let strangers = false;
    for (const [resource, value] of Object.entries(fields)) {
      const entry = readEntry(account.withResource(resource), value);
      stored.push(entry);
      if (membership.living(entry.member) === undefined) strangers = true;
    }
    // A node that has just joined is not known yet.
    if (strangers) await membership.refresh();
    const living: SessionEntry[] = [];
    for (const entry of stored) {
      const lives = membership.living(entry.member);
      if (lives === true) living.push(plain(entry));
      else if (lives === undefined && membership.settled()) this.#buryStranger(entry);
    }
    return living.sort(byResource);
  }

  /** What this node holds now and what the others told with their last renewal. */
  count(): number | Promise<number> {
    const { membership } = this.#options;
    if (membership.lapsed()) return Promise.reject(new ClusterError("this node's lease has lapsed"));
    return this.#own.size + membership.othersSessions();
  }

  /**
   * Writes sessions that this node holds into the registry again, under its present life; another living session of the same
   * full JID stays, and the one of this node is reported as displaced.
   */
  async reannounce(entries: Iterable<SessionEntry> = this.#ownEntries()): Promise<void> {
    let batch: SessionEntry[] = [];
    for (const entry of [...entries]) {
      batch.push(entry);
      if (batch.length < AT_ONCE) continue;
      await this.#announce(batch);
      batch = [];
    }
    if (batch.length > 0) await this.#announce(batch);
  }

  /** Writes again what is due, and releases what could not be released before; called with each renewal. */
  async tend(): Promise<void> {
    const { commands, membership, clock, refreshEvery } = this.#options;
    await commands.run((redis) => redis.pexpire(indexKey(membership.member), INDEX_FOR));
    for (const entry of [...this.#unreleased.values()].slice(0, AT_ONCE)) {
      await this.#release(entry);
      this.#unreleased.delete(entry.id);
    }
    const due: SessionEntry[] = [];
    const now = clock.now();
    for (const { entry, writtenAt } of this.#own.values()) {
      if (now - writtenAt < refreshEvery) break;
      due.push(entry);
    }
    await this.reannounce(due);
  }

  /** Removes all sessions of a dead member, each reported as lost once. `keep` renews the right to do so. */
  async sweep(member: string, keep: () => Promise<boolean>): Promise<boolean> {
    const { commands } = this.#options;
    const index = indexKey(member);
    let cursor = "0";
    do {
      if (!(await keep())) return false;
      const [next, flat] = await commands.run((redis) => redis.hscan(index, cursor, "COUNT", AT_ONCE));
      cursor = next;
      const ids: string[] = [];
      const burials: Promise<void>[] = [];
      for (let i = 0; i + 1 < flat.length; i += 2) {
        ids.push(flat[i] as string);
        burials.push(this.#bury(readAddress(flat[i + 1] as string), flat[i] as string, member));
      }
      await Promise.all(burials);
      if (ids.length > 0) await commands.run((redis) => redis.hdel(index, ...ids));
    } while (cursor !== "0");
    await commands.run((redis) => redis.del(index));
    return true;
  }

  *#ownEntries(): Iterable<SessionEntry> {
    for (const { entry } of this.#own.values()) yield entry;
  }

  async #announce(entries: readonly SessionEntry[]): Promise<void> {
    const { commands, membership, clock } = this.#options;
    membership.mustHold();
    const { member } = membership;
    const addresses = entries.flatMap((entry) => [entry.id, writeAddress(entry.jid)]);
    await commands.run((redis) => redis.hset(indexKey(member), ...addresses));
    const living = [member, ...membership.others()];
    // All are awaited even if one fails, so that no more than these are ever under way.
    const outcomes = await Promise.allSettled(entries.map((entry) => this.#announceOne(entry, member, living)));
    const now = clock.now();
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === "rejected") continue;
      const id = entries[i]?.id ?? "";
      const own = this.#own.get(id);
      if (own === undefined) continue;
      own.writtenAt = now;
      this.#own.delete(id);
      this.#own.set(id, own);
    }
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #announceOne(entry: SessionEntry, member: string, living: readonly string[]): Promise<void> {
    const { commands, entryFor, displaced, log } = this.#options;
    const key = sessionsKey(entry.jid);
    const present = this.#own.get(entry.id)?.entry ?? entry;
    const value = writeEntry(present, member);
    const holder = await commands.script("announce", key, entry.jid.resource, entry.id, value, entryFor, ...living);
    if (typeof holder === "string") {
      if (!this.#own.delete(entry.id)) return;
      this.#releaseLater(entry);
      log("cluster.session.displaced", { id: entry.id });
      displaced(present);
    } else if (!this.#own.has(entry.id)) this.#releaseLater(entry);
  }

  async #release(entry: SessionEntry): Promise<void> {
    const { commands, membership } = this.#options;
    await commands.script("release", sessionsKey(entry.jid), entry.jid.resource, entry.id);
    await commands.run((redis) => redis.hdel(indexKey(membership.member), entry.id));
  }

  #releaseLater(entry: SessionEntry): void {
    this.#unreleased.set(entry.id, entry);
    if (this.#unreleased.size <= this.#options.maxUnreleased) return;
    for (const id of this.#unreleased.keys()) {
      this.#unreleased.delete(id);
      return;
    }
  }

  async #bury(jid: Jid, id: string, member: string): Promise<void> {
    const value = await this.#options.commands.script("bury", sessionsKey(jid), jid.resource, id, member);
    if (typeof value === "string") this.#options.lost(plain(readEntry(jid, value)));
  }

  /** A session of a life that no lease tells of any more: no sweep will find it. */
  #buryStranger(entry: StoredEntry): void {
    this.#bury(entry.jid, entry.id, entry.member).catch(() => {
      // The next one who looks finds it again.
    });
  }
}

function plain({ jid, node, id, priority, marks }: SessionEntry): SessionEntry {
  return { jid, node, id, priority, marks };
}
