/** A cluster of one process: everything is at hand, so nothing returns a promise on the path of a stanza. */
import type { Jid } from "../../xmpp/jid.ts";
import {
  type Bus,
  type Cluster,
  ClusterError,
  type ClusterLog,
  type SessionEntry,
  type SessionRegistry,
} from "../cluster.ts";
import { byResource, mustBeFull } from "../entries.ts";
import { Handlers } from "../handlers.ts";

export interface LocalClusterOptions {
  readonly kind: "local";
  readonly nodeId: string;
  readonly log?: ClusterLog;
}

export class LocalCluster implements Cluster {
  readonly registry: LocalRegistry;
  readonly bus: LocalBus;
  #joined = false;

  constructor(options: LocalClusterOptions) {
    this.registry = new LocalRegistry();
    this.bus = new LocalBus(options.nodeId, new Handlers(options.log ?? (() => {})));
  }

  nodes(): readonly string[] {
    return [this.bus.nodeId];
  }

  /** There is no other node whose sessions could be lost. */
  onLost(): void {}
  /** There is no lease that could lapse. */
  onFenced(): void {}
  onRejoined(): void {}
  onDisplaced(): void {}

  async start(): Promise<void> {
    this.#joined = true;
  }

  healthy(): boolean {
    return this.#joined;
  }

  async stop(): Promise<void> {
    this.#joined = false;
  }

  stats(): Readonly<Record<string, number>> {
    return { sessions: this.registry.count(), nodes: 1, sent: this.bus.sent, received: this.bus.sent };
  }
}

class LocalRegistry implements SessionRegistry {
  readonly #accounts = new Map<string, Map<string, SessionEntry>>();
  #count = 0;

  claim(entry: SessionEntry): SessionEntry | undefined {
    mustBeFull(entry);
    const { bare, resource } = entry.jid;
    let sessions = this.#accounts.get(bare);
    if (sessions === undefined) {
      sessions = new Map();
      this.#accounts.set(bare, sessions);
    }
    const replaced = sessions.get(resource);
    sessions.set(resource, entry);
    if (replaced === undefined) this.#count++;
    return replaced?.id === entry.id ? undefined : replaced;
  }

  update(entry: SessionEntry): void {
    const sessions = this.#accounts.get(entry.jid.bare);
    if (sessions?.get(entry.jid.resource)?.id === entry.id) sessions.set(entry.jid.resource, entry);
  }

  release(entry: SessionEntry): void {
    const { bare, resource } = entry.jid;
    const sessions = this.#accounts.get(bare);
    if (sessions?.get(resource)?.id !== entry.id) return;
    sessions.delete(resource);
    this.#count--;
    if (sessions.size === 0) this.#accounts.delete(bare);
  }

  locate(account: Jid): readonly SessionEntry[] {
    const sessions = this.#accounts.get(account.bare);
    return sessions === undefined ? [] : [...sessions.values()].sort(byResource);
  }

  locateEach(accounts: readonly Jid[]): ReadonlyMap<string, readonly SessionEntry[]> {
    return new Map(accounts.map((account) => [account.bare, this.locate(account)]));
  }

  count(): number {
    return this.#count;
  }
}

class LocalBus implements Bus {
  readonly nodeId: string;
  readonly #handlers: Handlers;
  sent = 0;

  constructor(nodeId: string, handlers: Handlers) {
    this.nodeId = nodeId;
    this.#handlers = handlers;
  }

  send(node: string, channel: string, message: string): undefined | Promise<void> {
    if (node !== this.nodeId) return Promise.reject(new ClusterError(`there is no node ${node}: this one is alone`));
    this.sent++;
    this.#handlers.dispatch(channel, message, this.nodeId);
    return undefined;
  }

  broadcast(): void {}

  receive(channel: string, heard: (message: string, fromNode: string) => void): void {
    this.#handlers.add(channel, heard);
  }
}
