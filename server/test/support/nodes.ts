/** Several clusters in one process that know of each other: what a Redis Cluster is to real nodes, without the network. */
import type { Bus, Cluster, SessionEntry } from "../../src/cluster/cluster.ts";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { LocalCluster } from "../../src/cluster/local/local-cluster.ts";

export class Neighbourhood {
  readonly #registry = new LocalCluster({ kind: "local", nodeId: "shared" }).registry;
  readonly #handlers = new Map<string, Map<string, (message: string, from: string) => void>>();

  join(nodeId: string): Cluster {
    const handlers = new Map<string, (message: string, from: string) => void>();
    this.#handlers.set(nodeId, handlers);
    const bus: Bus = {
      nodeId,
      // A turn later, as between processes.
      send: async (node, channel, message) => {
        await undefined;
        const heard = this.#handlers.get(node)?.get(channel);
        if (heard === undefined) throw new ClusterError(`${node} is not there`);
        heard(message, nodeId);
      },
      broadcast: (channel, message) => {
        for (const [node, others] of this.#handlers) if (node !== nodeId) others.get(channel)?.(message, nodeId);
      },
      receive: (channel, heard) => void handlers.set(channel, heard),
    };
    const registry = this.#registry;
    return {
      bus,
      registry: {
        claim: async (entry) => registry.claim(entry),
        update: async (entry) => registry.update(entry),
        release: async (entry) => registry.release(entry),
        locate: async (account) => registry.locate(account),
        locateEach: async (accounts) => registry.locateEach(accounts),
        count: () => registry.count(),
      },
      nodes: () => [...this.#handlers.keys()].sort(),
      onLost: (run) => void this.#lost.push(run),
      onFenced() {},
      onRejoined() {},
      onDisplaced() {},
      start: async () => {},
      healthy: () => true,
      stop: async () => void this.#handlers.delete(nodeId),
      stats: () => ({}),
    };
  }

  /** What a survivor hears when a node has died with this session. */
  async lose(entry: SessionEntry): Promise<void> {
    await this.#registry.release(entry);
    this.#lost[0]?.(entry);
  }

  readonly #lost: ((entry: SessionEntry) => void)[] = [];
}
