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

const CLOSED = "Connection is closed.";

export interface ClientOptions extends ConnectionOptions {
  /** Hears what goes wrong with a connection: every 10 ms while a shard is down. */
  readonly failed: (error: Error) => void;
  /** Whether it will subscribe to sharded channels. */
  readonly subscribes: boolean;
}

/**
 * Not yet connected. ioredis' own `slotsRefreshInterval` is not used: a refresh that is under way when the client is closed
 * starts the next one, for ever, and keeps the process alive. `Topology` does that work.
 */
export function openClient(options: ClientOptions): IoRedisCluster {
  const client = new IoRedisCluster(options.nodes.map(readEndpoint), {
    lazyConnect: true,
    shardedSubscribers: options.subscribes,
    slotsRefreshTimeout: 1500,
    clusterRetryStrategy: (times) => Math.min(100 + times * 50, 1000),
    scripts: Object.fromEntries(
      Object.entries(SCRIPTS).map(([name, lua]) => [scriptName(name), { lua, numberOfKeys: 1 }]),
    ),
    redisOptions: {
      connectTimeout: 1500,
      // Longer than a hiccup that nobody need notice.
      commandTimeout: 3000,
      maxRetriesPerRequest: 1,
      ...(options.password === undefined ? {} : { password: options.password }),
    },
    // ioredis looks for the address of a MOVED answer without the map and asks nodes at random, sixteen times at most, until the
    // slots have been looked up again: that takes a moment.
    ...(options.natMap === undefined ? {} : { natMap: { ...options.natMap }, retryDelayOnMoved: 100 }),
  });
  const failed = (error: Error & { lastNodeError?: Error }) => options.failed(error.lastNodeError ?? error);
  client.on("error", failed);
  client.on("node error", failed);
  return client;
}

/** What went wrong with the connections of one cluster, all clients together. */
export class ConnectionErrors {
  readonly #log: ClusterLog;
  count = 0;
  last = "";

  constructor(log: ClusterLog) {
    this.#log = log;
  }

  add(error: Error): void {
    this.count++;
    // What closed the connection says more than that it is closed.
    if (error.message !== CLOSED || this.last === "") this.last = error.message;
    this.#log("cluster.redis.failed", { error: this.last });
  }
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
  readonly #client: () => IoRedisCluster;
  readonly #options: CommandsOptions;
  /** When each command without an answer was sent; the oldest first. */
  readonly #waiting = new Set<{ readonly sentAt: number }>();
  failures = 0;

  /** `client` tells which one is in use: a failed start leaves a closed one behind. */
  constructor(client: () => IoRedisCluster, options: CommandsOptions) {
    this.#client = client;
    this.#options = options;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  /** Milliseconds that the oldest command without an answer has waited. */
  waitingFor(): number {
    for (const { sentAt } of this.#waiting) return this.#options.clock.now() - sentAt;
    return 0;
  }

  script(name: keyof typeof SCRIPTS, key: string, ...args: (string | number)[]): Promise<unknown> {
    const scripts = this.#client() as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>;
    return this.run(() => scripts[scriptName(name)]?.(key, ...args) as Promise<unknown>);
  }

  run<T>(send: (client: IoRedisCluster) => Promise<T>): Promise<T> {
    const { clock, answerWithin, maxPending } = this.#options;
    if (this.pending >= maxPending) {
      this.failures++;
      return Promise.reject(new ClusterError(`${maxPending} commands to Redis are waiting already`));
    }
    const waiting = { sentAt: clock.now() };
    this.#waiting.add(waiting);
    return new Promise<T>((resolve, reject) => {
      let settled = false;
      const fail = (problem: string) => {
        if (settled) return;
        settled = true;
        this.#waiting.delete(waiting);
        this.failures++;
        callOff();
        reject(new ClusterError(`Redis: ${problem}`));
      };
      const callOff = clock.after(answerWithin, () => fail(`no answer within ${answerWithin} ms`));
      send(this.#client()).then(
        (value) => {
          if (settled) return;
          settled = true;
          this.#waiting.delete(waiting);
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
