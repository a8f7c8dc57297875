/** The sessions of this node, and through the registry those of the others. */
import type { Cluster, SessionEntry } from "../cluster/cluster.ts";
import type { Envelope, Session, SessionTable } from "../module/api.ts";
import type { Logger } from "../observe/log.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";

/** A session as the router needs it. */
export interface LocalSession extends Session {
  /** How the other nodes know it. */
  readonly entry: SessionEntry;
  /** Past the `userReceive` filters and onto the stream; never rejects. */
  deliver(envelope: Envelope): MaybePromise<void>;
  /** Another session has the same full JID now (RFC 6120 7.7.2.2): close with conflict. */
  replaced(): void;
}

const STANZA = "stanza";
const REPLACED = "replaced";
const RELEASED = "released";

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
  readonly #opening = new Map<string, LocalSession>();
  /** What to do when another node says that a session there has gone, by its id. */
  readonly #leaving = new Map<string, () => void>();
  #count = 0;
  #missed: (envelope: Envelope) => void = () => {};

  constructor(cluster: Cluster, log: Logger, options: SessionsOptions) {
    this.#cluster = cluster;
    this.#log = log;
    this.#options = options;
    cluster.bus.receive(STANZA, (message, node) => this.#stanzaFromNode(message, node));
    cluster.bus.receive(REPLACED, (message, node) => this.#replacedByNode(message, node));
    cluster.bus.receive(RELEASED, (id) => this.#leaving.get(id)?.());
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

  locate(account: Jid): MaybePromise<readonly SessionEntry[]> {
    return this.#cluster.registry.locate(account);
  }

  online(account: Jid): MaybePromise<boolean> {
    if (this.of(account).some((session) => session.available)) return true;
    return then(this.locate(account), (entries) => entries.some(({ priority }) => priority !== undefined));
  }

  /**
   * Takes a new session in, on all nodes at once; one that has the same full JID is closed, and gone when this settles.
   * Throws resource-constraint when the account has too many already.
   */
  async open(session: LocalSession): Promise<void> {
    const others = (await this.locate(session.jid)).filter(({ jid }) => jid.resource !== session.jid.resource);
    if (others.length >= this.#options.maxPerAccount) {
      throw new StanzaError("resource-constraint", `no more than ${this.#options.maxPerAccount} sessions`);
    }
    this.#opening.set(session.id, session);
    try {
      const older = await this.#cluster.registry.claim(session.entry);
      if (older !== undefined) await this.#evict(older);
      // Unless a still newer one has come by meanwhile, and has closed it.
      if (this.#opening.has(session.id)) this.#add(session);
    } finally {
      this.#opening.delete(session.id);
    }
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
    this.#drop(entry);
  }

  /** Hands a stanza to the node that holds the session. */
  forward(entry: SessionEntry, { from, stanza }: Envelope): MaybePromise<void> {
    const message = JSON.stringify([entry.jid.full, from.full, stanza.toXml()]);
    return this.#cluster.bus.send(entry.node, STANZA, message);
  }

  #add(session: LocalSession): void {
    let sessions = this.#byAccount.get(session.jid.bare);
    if (sessions === undefined) {
      sessions = new Map();
      this.#byAccount.set(session.jid.bare, sessions);
    }
    const present = sessions.get(session.jid.resource);
    if (present === undefined) this.#count++;
    else present.replaced();
    sessions.set(session.jid.resource, session);
  }

  #remove(session: LocalSession): void {
    const sessions = this.#byAccount.get(session.jid.bare);
    if (sessions?.get(session.jid.resource) !== session) return;
    sessions.delete(session.jid.resource);
    if (sessions.size === 0) this.#byAccount.delete(session.jid.bare);
    this.#count--;
  }

  async #evict(older: SessionEntry): Promise<void> {
    if (older.node === this.#cluster.bus.nodeId) {
      this.#drop(older);
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

  #drop({ jid, id }: { readonly jid: Jid; readonly id: string }): void {
    const present = this.at(jid);
    const session = present?.id === id ? present : this.#opening.get(id);
    if (session === undefined) return;
    this.#opening.delete(id);
    this.#remove(session);
    session.replaced();
  }

  #replacedByNode(message: string, node: string): void {
    const [full, id] = JSON.parse(message) as [string, string];
    const jid = parseJid(full);
    if (jid !== undefined) this.#drop({ jid, id });
    const answer = this.#cluster.bus.send(node, RELEASED, id);
    if (answer instanceof Promise) answer.catch(() => undefined);
  }

  #stanzaFromNode(message: string, node: string): void {
    const [to, from, xml] = JSON.parse(message) as [string, string, string];
    const toJid = parseJid(to);
    const fromJid = parseJid(from);
    if (toJid === undefined || fromJid === undefined) return;
    // The other node has checked its size; here it must only fit.
    const stanza = parseElement(Buffer.from(xml), { maxStanzaBytes: Number.MAX_SAFE_INTEGER });
    const envelope: Envelope = { from: fromJid, to: toJid, origin: { kind: "node", node }, stanza };
    const session = this.at(toJid);
    if (session === undefined) this.#missed(envelope);
    else void session.deliver(envelope);
  }
}
