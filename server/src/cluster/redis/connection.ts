/** Connections to Redis Cluster: made with the options that let them heal, and used with a deadline and a bound. */
import { type ClusterNode, Cluster as IoRedisCluster } from "ioredis";
import type { Clock } from "../clock.ts";
import { ClusterError, type ClusterLog } from "../cluster.ts";
import { SCRIPTS } from "./scripts.ts";

export interface ConnectionOptions {
  /** `host:port` of some nodes of the Redis Cluster; the others are learned from them. */
  readonly nodes: readonly string[];
  readonly password?: string;
  /** Where to reach an address that Redis announces, when it is another from here: `{ "10.0.0.1:6379": { host, port } }`. */
  readonly natMap?: Readonly<Record<string, { host: string; port: number }>>;
}

/** ioredis reports a dead shard every 10 ms: one line a second says as much. */
const LOG_EVERY = 1000;
const CLOSED = "Connection is closed.";

export function openClient(
  options: ConnectionOptions,
  clock: Clock,
  log: ClusterLog,
  counters: ConnectionCounters,
): IoRedisCluster {
  const client = new IoRedisCluster(options.nodes.map(readEndpoint), {
    lazyConnect: true,
    shardedSubscribers: true,
    slotsRefreshInterval: 1000,
    clusterRetryStrategy: (times) => Math.min(100 + times * 50, 1000),
    scripts: Object.fromEntries(
      Object.entries(SCRIPTS).map(([name, lua]) => [scriptName(name), { lua, numberOfKeys: 1 }]),
    ),
    redisOptions: {
      connectTimeout: 800,
      commandTimeout: 1500,
      maxRetriesPerRequest: 1,
      ...(options.password === undefined ? {} : { password: options.password }),
    },
    ...(options.natMap === undefined ? {} : { natMap: { ...options.natMap } }),
  });

  let loggedAt = Number.NEGATIVE_INFINITY;
  let silenced = 0;
  const failed = (error: Error & { lastNodeError?: Error }) => {
    counters.connectionErrors++;
    const { message } = error.lastNodeError ?? error;
    // What closed the connection says more than that it is closed.
    if (message !== CLOSED || counters.lastError === "") counters.lastError = message;
    if (clock.now() - loggedAt < LOG_EVERY) {
      silenced++;
      return;
    }
    log("cluster.redis.failed", { error: counters.lastError, silenced });
    loggedAt = clock.now();
    silenced = 0;
  };
  client.on("error", failed);
  client.on("node error", failed);
  return client;
}

export interface ConnectionCounters {
  connectionErrors: number;
  lastError: string;
}

/** `host:port`, or `[::1]:port`. */
export function readEndpoint(text: string): ClusterNode {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 1 || port > 65535) throw new TypeError(`"${text}" is not host:port`);
  return { host, port };
}

export interface CommandsOptions {
  readonly clock: Clock;
  /** Milliseconds after which a command is given up. */
  readonly answerWithin: number;
  /** Commands without an answer beyond which new ones are refused. */
  readonly maxPending: number;
}

/** The commands the cluster uses. Each settles within `answerWithin`, and fails with nothing but a ClusterError. */
export class Commands {
  readonly #client: IoRedisCluster;
  readonly #options: CommandsOptions;
  pending = 0;
  failures = 0;

  constructor(client: IoRedisCluster, options: CommandsOptions) {
    this.#client = client;
    this.#options = options;
  }

  script(name: keyof typeof SCRIPTS, key: string, ...args: (string | number)[]): Promise<unknown> {
    const scripts = this.#client as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>;
    return this.run(() => scripts[scriptName(name)]?.(key, ...args) as Promise<unknown>);
  }

  run<T>(send: (client: IoRedisCluster) => Promise<T>): Promise<T> {
    const { clock, answerWithin, maxPending } = this.#options;
    if (this.pending >= maxPending) {
      this.failures++;
      return Promise.reject(new ClusterError(`${maxPending} commands to Redis are waiting already`));
    }
    this.pending++;
    return new Promise<T>((resolve, reject) => {
      let settled = false;
      const fail = (problem: string) => {
        if (settled) return;
        settled = true;
        this.pending--;
        this.failures++;
        callOff();
        reject(new ClusterError(`Redis: ${problem}`));
      };
      const callOff = clock.after(answerWithin, () => fail(`no answer within ${answerWithin} ms`));
      send(this.#client).then(
        (value) => {
          if (settled) return;
          settled = true;
          this.pending--;
          callOff();
          resolve(value);
        },
        (error: unknown) => fail(error instanceof Error ? error.message : String(error)),
      );
    });
  }
}

/** Apart from the names of Redis' own commands, which ioredis gives to methods of the client. */
function scriptName(name: string): string {
  return `meerkat_${name}`;
}
