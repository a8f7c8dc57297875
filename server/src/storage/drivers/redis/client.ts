/** The connection to Redis: a cluster, or one server alone. One TCP connection for each node, shared by all requests. */
import { Cluster, Redis } from "ioredis";
import { readEndpoint } from "../../../cluster/redis/connection.ts";
import { SCRIPTS } from "./scripts.ts";

export interface ConnectionOptions {
  /** `host:port` of some nodes of the cluster, from which the others are learned; of one server alone where `cluster` is false. */
  readonly nodes: readonly string[];
  /** Default true. */
  readonly cluster?: boolean | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Where to reach an address that Redis announces, when it is another from here: `{ "10.0.0.1:6379": { host, port } }`. */
  readonly natMap?: Readonly<Record<string, { host: string; port: number }>> | undefined;
}

export type Client = Redis | Cluster;
export type Script = keyof typeof SCRIPTS;

/**
 * Not connected before its first command. Nothing waits in ioredis for a connection, nor is sent again by it: who asked
 * decides that, for a command whose connection was lost may have been carried out.
 */
export function openClient(options: ConnectionOptions, timeout: number, failed: (error: Error) => void): Client {
  const nodes = options.nodes.map(readEndpoint) as { host: string; port: number }[];
  const shared = {
    connectTimeout: timeout,
    // A node that hangs closes no connection.
    socketTimeout: timeout,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    protocol: 2 as const,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
  };
  const common = { lazyConnect: true, enableOfflineQueue: false, scripts: named() };
  const retry = (times: number) => Math.min(100 + times * 50, 1000);
  const client =
    options.cluster === false
      ? new Redis({ ...shared, ...common, ...nodes[0], retryStrategy: retry })
      : new Cluster(nodes, {
          ...common,
          slotsRefreshTimeout: timeout,
          // `Topology` does that: a refresh that is under way when the client is closed would start the next one, for ever.
          slotsRefreshInterval: 0,
          retryDelayOnFailover: 0,
          retryDelayOnMoved: 100,
          clusterRetryStrategy: retry,
          redisOptions: shared,
          ...(options.natMap === undefined ? {} : { natMap: { ...options.natMap } }),
        });
  const heard = (error: Error & { lastNodeError?: Error }) => failed(error.lastNodeError ?? error);
  client.on("error", heard);
  client.on("node error", heard);
  return client;
}

export function script(
  client: Client,
  name: Script,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> {
  const scripts = client as unknown as Record<string, (...args: readonly (string | number)[]) => Promise<unknown>>;
  return scripts[scriptName(name)]?.(key, ...args) as Promise<unknown>;
}

/** Apart from the names of Redis' own commands, which ioredis gives to methods of the client. */
function scriptName(name: string): string {
  return `meerkat_${name}`;
}

function named(): Record<string, { lua: string; numberOfKeys: number }> {
  return Object.fromEntries(Object.entries(SCRIPTS).map(([name, lua]) => [scriptName(name), { lua, numberOfKeys: 1 }]));
}
