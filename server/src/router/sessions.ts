/** The sessions of this node, and through the registry those of the others. */
import type { Cluster, SessionEntry } from "../cluster/cluster.ts";
import type { Envelope, Session, SessionTable } from "../module/api.ts";
import type { Logger } from "../observe/log.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { CHECKED_BEFORE } from "../xml/limits.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError, type StreamCondition } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";

/** A session as the router needs it. */
export interface LocalSession extends Session {
  /** How the other nodes know it. */
  readonly entry: SessionEntry;
  /** Past the `userReceive` filters and onto the stream; never rejects. `alone` when no other session gets the stanza. */
  deliver(envelope: Envelope, alone: boolean): MaybePromise<void>;
  /**
   * Another session has the same full JID now (RFC 6120 7.7.2.2): closes with conflict; settles when all good-byes are
   * out. What it could not pass on goes to the other, once `successor` settles.
   */
  replaced(successor: Promise<void>): Promise<void>;
  /** Ends it, wherever its client is; settles when all is done. */
  end(): Promise<void>;
}

/** A session that has claimed its address and is not in the table yet. */
interface Opening {
  readonly session: LocalSession;
  /** Settles when it is in the table, or never will be. */
  readonly ready: Promise<void>;
}

const STANZA = "stanza";
const FAN_OUT = "fan-out";
const REPLACED = "replaced";
const RELEASED = "released";
const END = "end";

export interface SessionsOptions {
  readonly maxPerAccount: number;
  /** How long a new session waits for the one it replaces to be gone from another node, milliseconds. */
  readonly replaceTimeoutMs: number;
}

export class Sessions implements SessionTable {
  readonly #cluster: Cluster;
  readonly #log: Logger;
  readonly #options: SessionsOptions;
  readonly #byAccount = new Map<string, Map<string, LocalSession>>();
  /** Sessions that have claimed their address but are not in the table yet, by id. */
  readonly #opening = new Map<string, Opening>();
  /** What to do when another node says that a session there has gone, by its id. */
  readonly #leaving = new Map<string, () => void>();
  #count = 0;
  #missed: (envelope: Envelope) => void = () => {};

  constructor(cluster: Cluster, log: Logger, options: SessionsOptions) {
    this.#cluster = cluster;
    this.#log = log;
    this.#options = options;
    cluster.bus.receive(STANZA, (message, node) => this.#stanzaFromNode(message, node));
    cluster.bus.receive(FAN_OUT, (message, node) => this.#fannedOut(message, node));
    cluster.bus.receive(REPLACED, (message, node) => void this.#replacedByNode(message, node));
    cluster.bus.receive(RELEASED, (id) => this.#leaving.get(id)?.());
    cluster.bus.receive(END, (message) => this.#endedByNode(message));
  }

  /** Says what becomes of a stanza that another node sent here for a session that has just gone. */
  whenMissed(run: (envelope: Envelope) => void): void {
    this.#missed = run;
  }

  get nodeId(): string {
    return this.#cluster.bus.nodeId;
  }

  /** Sessions on this node. */
  get count(): number {
    return this.#count;
  }

  all(): LocalSession[] {
    return [...this.#byAccount.values()].flatMap((sessions) => [...sessions.values()]);
  }

  of(account: Jid): readonly LocalSession[] {
    const sessions = this.#byAccount.get(account.bare);
    return sessions === undefined ? [] : [...sessions.values()];
  }

  at(jid: Jid): LocalSession | undefined {
    return this.#byAccount.get(jid.bare)?.get(jid.resource);
  }

  /** An entry of this node that is not in its table is of a session just ending, which takes nothing any more. */
  locate(account: Jid): MaybePromise<readonly SessionEntry[]> {
    return then(this.#cluster.registry.locate(account), (entries) =>
      entries.every((entry) => this.#isLive(entry)) ? entries : entries.filter((entry) => this.#isLive(entry)),
    );
  }

  locateEach(accounts: readonly Jid[]): MaybePromise<ReadonlyMap<string, readonly SessionEntry[]>> {
    return then(
      this.#cluster.registry.locateEach(accounts),
      (found) => new Map([...found].map(([bare, entries]) => [bare, entries.filter((entry) => this.#isLive(entry))])),
    );
  }

  online(account: Jid): MaybePromise<boolean> {
    if (this.of(account).some((session) => session.available)) return true;
    return then(this.locate(account), (entries) => entries.some(({ priority }) => priority !== undefined));
  }

  total(): MaybePromise<number> {
    return this.#cluster.registry.count();
  }

  end({ jid, id, node }: SessionEntry, condition: StreamCondition, text = ""): MaybePromise<void> {
    const session = this.at(jid);
    if (session?.id === id) return session.close(condition, text);
    if (node !== this.nodeId) return this.#cluster.bus.send(node, END, JSON.stringify([jid.full, id, condition, text]));
  }

  /**
   * Takes a new session in, on all nodes at once; one that has the same full JID is closed, and gone when this settles.
   * Throws resource-constraint when the account has too many already.
   */
  async open(session: LocalSession): Promise<void> {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    this.#opening.set(session.id, { session, ready });
    try {
      const older = await this.#cluster.registry.claim(session.entry);
      if (older !== undefined) await this.#evict(older, ready);
      else await this.#checkRoom(session);
      // Unless a still newer one has come by meanwhile, and has closed it.
      if (this.#opening.has(session.id)) this.#add(session);
    } finally {
      this.#opening.delete(session.id);
      resolve();
    }
  }

  /** Asked when the address is claimed already, so that of two who come at once both may be refused, but never both let in. */
  async #checkRoom(session: LocalSession): Promise<void> {
    const { maxPerAccount } = this.#options;
    let refusal: unknown = new StanzaError("resource-constraint", `no more than ${maxPerAccount} sessions`);
    try {
      const entries = await this.#cluster.registry.locate(session.jid);
      const present = entries.filter((entry) => this.#isLive(entry) || this.#opening.has(entry.id));
      if (present.length <= maxPerAccount) return;
    } catch (error) {
      refusal = error;
    }
    await this.#cluster.registry.release(session.entry);
    throw refusal;
  }

  /** A promise that the session which is about to have this address has it; undefined when there is none. */
  opening(jid: Jid): Promise<void> | undefined {
    for (const { session, ready } of this.#opening.values()) if (session.jid.full === jid.full) return ready;
    return undefined;
  }

  /** Takes a session out, if it is still the one in the table. */
  close(session: LocalSession): MaybePromise<void> {
    this.#remove(session);
    return this.#cluster.registry.release(session.entry);
  }

  /** Tells the other nodes what has changed about a session. */
  describe(session: LocalSession): MaybePromise<void> {
    if (this.at(session.jid) === session) return this.#cluster.registry.update(session.entry);
  }

  /** The cluster found that another node's session has this one's address: it ends with a conflict. */
  displaced(entry: SessionEntry): void {
    void this.#drop(entry, Promise.resolve());
  }

  /** Hands a stanza to the node that holds the session; `alone` when no other session gets it too. */
  forward(entry: SessionEntry, { from, stanza }: Envelope, alone: boolean): MaybePromise<void> {
    const message = JSON.stringify([entry.jid.full, from.full, stanza.toXml(), alone]);
    return this.#cluster.bus.send(entry.node, STANZA, message);
  }

  /** To every available session of a bare JID that is on this node. */
  deliverHere(envelope: Envelope): MaybePromise<void> {
    const waiting: Promise<void>[] = [];
    for (const session of this.of(envelope.to)) {
      const pending = session.available ? session.deliver({ ...envelope }, false) : undefined;
      if (pending instanceof Promise) waiting.push(pending);
    }
    if (waiting.length > 0) return Promise.all(waiting).then(() => {});
  }

  /** Has every other node deliver a presence to the available sessions it holds of these bare JIDs. */
  fanOut(from: Jid, presence: Element, to: readonly string[]): MaybePromise<void> {
    const others = this.#cluster.nodes().filter((node) => node !== this.nodeId);
    if (others.length === 0 || to.length === 0) return;
    const message = JSON.stringify([from.full, presence.with({ from: from.full }).toXml(), to]);
    // What a node does not get is lost with its sessions, or as a presence to one of them would be.
    return Promise.allSettled(others.map((node) => this.#cluster.bus.send(node, FAN_OUT, message))).then(() => {});
  }

  #isLive({ node, jid, id }: SessionEntry): boolean {
    return node !== this.nodeId || this.at(jid)?.id === id;
  }

  #add(session: LocalSession): void {
    let sessions = this.#byAccount.get(session.jid.bare);
    if (sessions === undefined) {
      sessions = new Map();
      this.#byAccount.set(session.jid.bare, sessions);
    }
    const present = sessions.get(session.jid.resource);
    if (present === undefined) this.#count++;
    else void present.replaced(Promise.resolve());
    sessions.set(session.jid.resource, session);
  }

  #remove(session: LocalSession): void {
    const sessions = this.#byAccount.get(session.jid.bare);
    if (sessions?.get(session.jid.resource) !== session) return;
    sessions.delete(session.jid.resource);
    if (sessions.size === 0) this.#byAccount.delete(session.jid.bare);
    this.#count--;
  }

  async #evict(older: SessionEntry, successor: Promise<void>): Promise<void> {
    if (older.node === this.nodeId) {
      await Promise.race([this.#drop(older, successor), timeout(this.#options.replaceTimeoutMs)]);
      return;
    }
    const gone = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#options.replaceTimeoutMs);
      this.#leaving.set(older.id, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    try {
      await this.#cluster.bus.send(older.node, REPLACED, JSON.stringify([older.jid.full, older.id]));
      await gone;
    } catch (error) {
      // Its node is gone or cut off; the claim has already taken the address from it.
      this.#log.warn("session.not_evicted", { jid: older.jid.full, node: older.node, error });
    } finally {
      this.#leaving.get(older.id)?.();
      this.#leaving.delete(older.id);
    }
  }

  async #drop({ jid, id }: { readonly jid: Jid; readonly id: string }, successor: Promise<void>): Promise<void> {
    const present = this.at(jid);
    const session = present?.id === id ? present : this.#opening.get(id)?.session;
    if (session === undefined) return;
    this.#opening.delete(id);
    this.#remove(session);
    await session.replaced(successor);
  }

  async #replacedByNode(message: string, node: string): Promise<void> {
    const [full, id] = JSON.parse(message) as [string, string];
    const jid = parseJid(full);
    const { promise: told, resolve } = Promise.withResolvers<void>();
    try {
      if (jid !== undefined) await this.#drop({ jid, id }, told);
      await this.#cluster.bus.send(node, RELEASED, id);
    } catch (error) {
      // The new session's node does not wait for ever.
      this.#log.debug("session.eviction_not_told", { jid: full, node, error });
    } finally {
      resolve();
    }
  }

  #endedByNode(message: string): void {
    const [full, id, condition, text] = JSON.parse(message) as [string, string, StreamCondition, string];
    const jid = parseJid(full);
    const session = jid === undefined ? undefined : this.at(jid);
    if (session?.id === id) session.close(condition, text);
  }

  #fannedOut(message: string, node: string): void {
    const [from, xml, accounts] = JSON.parse(message) as [string, string, string[]];
    const sender = parseJid(from);
    if (sender === undefined) return;
    const presence = parseElement(Buffer.from(xml), CHECKED_BEFORE);
    for (const bare of accounts) {
      const to = this.#byAccount.has(bare) ? parseJid(bare) : undefined;
      if (to === undefined) continue;
      const stanza = presence.with({ to: to.full });
      void this.deliverHere({ from: sender, to, origin: { kind: "node", node }, stanza });
    }
  }

  #stanzaFromNode(message: string, node: string): void {
    const [to, from, xml, alone] = JSON.parse(message) as [string, string, string, boolean];
    const toJid = parseJid(to);
    const fromJid = parseJid(from);
    if (toJid === undefined || fromJid === undefined) return;
    const stanza = parseElement(Buffer.from(xml), CHECKED_BEFORE);
    // What it says itself decides where else it may go.
    const addressee = parseJid(stanza.attrs.to ?? "") ?? toJid;
    const envelope: Envelope = { from: fromJid, to: addressee, origin: { kind: "node", node }, stanza };
    const session = this.at(toJid);
    // Where others got it too, nothing is lost.
    if (session === undefined && alone) this.#missed(envelope);
    else void session?.deliver(envelope, alone);
  }
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
