/** A cluster over Redis Cluster: joins, keeps its lease, sweeps after the dead, and comes back after having been away. */
import { randomUUID } from "node:crypto";
import type { Cluster as IoRedisCluster } from "ioredis";
import { type Clock, realClock } from "../clock.ts";
import { type Cluster, ClusterError, type ClusterLog, type SessionEntry } from "../cluster.ts";
import { Commands, type ConnectionCounters, type ConnectionOptions, openClient } from "./connection.ts";
import { checkNodeId } from "./keys.ts";
import { Membership } from "./membership.ts";
import { RedisBus } from "./redis-bus.ts";
import { RedisRegistry } from "./redis-registry.ts";
import type { Opening } from "./subscriber.ts";

/** All times in milliseconds. */
export interface RedisClusterOptions extends ConnectionOptions {
  readonly kind: "redis";
  /** One per process that lives at the same time; may come again after a restart. */
  readonly nodeId: string;
  readonly log?: ClusterLog;
  readonly clock?: Clock;
  readonly newEpoch?: () => string;
  /** How long `start` tries. Default 10,000. */
  readonly startWithin?: number;
  /** Default 2,000. */
  readonly renewEvery?: number;
  /** Default 10,000. */
  readonly leaseFor?: number;
  /** Default 500. */
  readonly heartbeatEvery?: number;
  /** Silence after which the subscriber is built anew. Default 2,000. */
  readonly heartbeatWithin?: number;
  /** How long a command, or a frame to another node, may take. Default 5,000. */
  readonly answerWithin?: number;
  /** Commands waiting for an answer. Default 10,000. */
  readonly maxPending?: number;
  /** Bytes waiting for one other node. Default 4 MiB. */
  readonly maxQueuedBytes?: number;
  /** Default 16 KiB; a single longer message goes in a frame of its own. */
  readonly maxFrameBytes?: number;
  /** How often each session is written again. Default 60,000. */
  readonly refreshEvery?: number;
  /** Default 900,000. */
  readonly entryFor?: number;
}

/** On which channel the nodes tell each other that they came or went: look at the leases. */
const LEASES_CHANGED = "cluster.leases";
/** How long a sweeper that died in office is waited for. */
const SWEEP_FOR = 30_000;
/** How soon a failed renewal is tried again, as a part of `renewEvery`. */
const RETRY_PART = 4;

export class RedisCluster implements Cluster {
  readonly registry: RedisRegistry;
  readonly bus: RedisBus;
  readonly #options: RedisClusterOptions;
  readonly #clock: Clock;
  readonly #log: ClusterLog;
  readonly #client: IoRedisCluster;
  readonly #commands: Commands;
  readonly #membership: Membership;
  readonly #connection: ConnectionCounters = { connectionErrors: 0, lastError: "" };
  readonly #lost: ((entry: SessionEntry) => void)[] = [];
  readonly #displaced: ((entry: SessionEntry) => void)[] = [];
  readonly #fenced: (() => void)[] = [];
  readonly #rejoined: (() => void)[] = [];
  readonly #sweeping = new Set<string>();
  readonly #renewEvery: number;
  #state: "out" | "joining" | "in" | "fenced" = "out";
  #callOff: (() => void) | undefined;
  #fencings = 0;
  #swept = 0;

  constructor(options: RedisClusterOptions) {
    checkNodeId(options.nodeId);
    if (options.nodes.length === 0) throw new TypeError("no Redis node given");
    const clock = options.clock ?? realClock;
    const log = options.log ?? (() => {});
    const answerWithin = options.answerWithin ?? 5000;
    const newEpoch = options.newEpoch ?? randomUUID;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#renewEvery = options.renewEvery ?? 2000;
    this.#client = openClient(options, clock, log, this.#connection);
    this.#commands = new Commands(this.#client, { clock, answerWithin, maxPending: options.maxPending ?? 10_000 });
    this.#membership = new Membership({
      nodeId: options.nodeId,
      newEpoch,
      commands: this.#commands,
      clock,
      log,
      sessions: () => this.registry.size,
      renewEvery: this.#renewEvery,
      leaseFor: options.leaseFor ?? 10_000,
    });
    this.registry = new RedisRegistry({
      commands: this.#commands,
      membership: this.#membership,
      clock,
      log,
      refreshEvery: options.refreshEvery ?? 60_000,
      entryFor: options.entryFor ?? 900_000,
      lost: (entry) => this.#tell(this.#lost, entry),
      displaced: (entry) => this.#tell(this.#displaced, entry),
    });
    this.bus = new RedisBus({
      nodeId: options.nodeId,
      boot: newEpoch(),
      clock,
      log,
      publish: (channel, text) => this.#commands.run((redis) => redis.spublish(channel, text) as Promise<number>),
      subscribe: (channel, heard) => this.#subscribe(channel, heard),
      living: () => this.#membership.nodes(),
      heartbeatEvery: options.heartbeatEvery ?? 500,
      heartbeatWithin: options.heartbeatWithin ?? 2000,
      maxFrameBytes: options.maxFrameBytes ?? 16_384,
      maxQueuedBytes: options.maxQueuedBytes ?? 4_194_304,
      sendWithin: answerWithin,
    });
    this.bus.receive(LEASES_CHANGED, () => {
      this.#membership.refresh().then(
        () => this.#state === "in" && this.#sweepDead(),
        () => {
          // The next renewal reads them too.
        },
      );
    });
  }

  nodes(): readonly string[] {
    return this.#membership.nodes();
  }

  onLost(run: (entry: SessionEntry) => void): void {
    this.#lost.push(run);
  }

  onFenced(run: () => void): void {
    this.#fenced.push(run);
  }

  onRejoined(run: () => void): void {
    this.#rejoined.push(run);
  }

  onDisplaced(run: (entry: SessionEntry) => void): void {
    this.#displaced.push(run);
  }

  async start(): Promise<void> {
    const startWithin = this.#options.startWithin ?? 10_000;
    // Reconnects by itself; how that goes is seen from the commands.
    this.#client.connect().catch(() => {});
    this.bus.start();
    this.#state = "joining";
    let problem = "";
    const attempts = this.#join((error) => {
      problem = error instanceof Error ? error.message : String(error);
    });
    if (!(await Promise.race([attempts, this.#pause(startWithin)]))) {
      this.#state = "out";
      await this.bus.stop();
      this.#client.disconnect();
      const why = [problem, this.#connection.lastError].filter((text) => text !== "").join("; ");
      const hosts = this.#options.nodes.join(", ");
      throw new ClusterError(`Redis Cluster at ${hosts} not usable within ${startWithin} ms: ${why || "no answer"}`);
    }
    this.#state = "in";
    this.bus.broadcast(LEASES_CHANGED, "joined");
    this.#schedule(this.#renewEvery);
    this.#sweepDead();
  }

  healthy(): boolean {
    return this.#state === "in" && !this.#membership.lapsed() && this.bus.hearsItself();
  }

  async stop(): Promise<void> {
    if (this.#state === "out") return;
    this.#state = "out";
    this.#callOff?.();
    try {
      await this.#membership.leave(this.registry.size + this.registry.unreleased > 0);
      this.bus.broadcast(LEASES_CHANGED, "left");
      await this.bus.stop();
    } catch (error) {
      // The lease lapses by itself.
      this.#log("cluster.leave.failed", { error });
      await this.bus.stop();
    }
    this.#client.disconnect();
  }

  stats(): Readonly<Record<string, number>> {
    return {
      ...this.bus.stats(),
      nodes: this.#membership.nodes().length,
      sessions: this.registry.size,
      unreleased: this.registry.unreleased,
      pending: this.#commands.pending,
      commandFailures: this.#commands.failures,
      connectionErrors: this.#connection.connectionErrors,
      leaseMisses: this.#membership.misses,
      joins: this.#membership.joins,
      fencings: this.#fencings,
      swept: this.#swept,
    };
  }

  /** True when the lease is held and the own channel works; false when `start` has given up meanwhile. */
  async #join(failed: (error: unknown) => void): Promise<boolean> {
    let joined = false;
    while (this.#state === "joining") {
      try {
        if (!joined) await this.#membership.join();
        else if ((await this.#membership.refresh()) !== "kept") await this.#membership.join();
        joined = true;
      } catch (error) {
        failed(error);
      }
      if (joined && this.bus.hearsItself()) return true;
      await this.#pause(50);
    }
    return false;
  }

  #schedule(milliseconds: number): void {
    this.#callOff = this.#clock.after(milliseconds, () => {
      this.#tick().then(
        () => this.#afterTick(this.#renewEvery),
        (error: unknown) => {
          this.#log("cluster.lease.missed", { error });
          this.#afterTick(this.#renewEvery / RETRY_PART);
        },
      );
    });
  }

  #afterTick(milliseconds: number): void {
    if (this.#state === "out") return;
    this.#noticeLapse();
    this.#schedule(milliseconds);
  }

  async #tick(): Promise<void> {
    this.#noticeLapse();
    const state = await this.#membership.refresh();
    if (state !== "kept") {
      this.#fence(`lease is ${state}`);
      await this.#membership.join();
    }
    if (this.#state === "fenced") await this.#rejoin();
    this.bus.tidy();
    this.#sweepDead();
    await this.registry.tend();
  }

  #noticeLapse(): void {
    if (this.#membership.lapsed()) this.#fence("lease has lapsed");
  }

  #fence(why: string): void {
    if (this.#state !== "in") return;
    this.#state = "fenced";
    this.#fencings++;
    this.#log("cluster.node.fenced", { why });
    for (const run of this.#fenced) run();
  }

  async #rejoin(): Promise<void> {
    await this.registry.reannounce();
    if (this.#state !== "fenced") return;
    this.#state = "in";
    this.#log("cluster.node.rejoined", { sessions: this.registry.size });
    this.bus.broadcast(LEASES_CHANGED, "joined");
    for (const run of this.#rejoined) run();
  }

  #sweepDead(): void {
    for (const member of this.#membership.condemnable()) {
      if (this.#sweeping.has(member)) continue;
      this.#sweeping.add(member);
      this.#sweep(member)
        .catch((error: unknown) => this.#log("cluster.sweep.failed", { member, error }))
        .finally(() => this.#sweeping.delete(member));
    }
  }

  async #sweep(member: string): Promise<void> {
    const elected = () => this.#membership.condemn(member, SWEEP_FOR);
    if (!(await elected())) return;
    if (!(await this.registry.sweep(member, elected))) return;
    await this.#membership.forget(member);
    this.#swept++;
    this.#log("cluster.node.swept", { member });
  }

  #subscribe(channel: string, heard: (text: string) => void): Opening {
    const client = openClient(this.#options, this.#clock, this.#log, this.#connection);
    client.on("smessage", (from: string, text: string) => {
      if (from === channel) heard(text);
    });
    return { ready: client.ssubscribe(channel), close: () => client.disconnect() };
  }

  #tell(listeners: readonly ((entry: SessionEntry) => void)[], entry: SessionEntry): void {
    for (const run of listeners) {
      try {
        run(entry);
      } catch (error) {
        this.#log("cluster.listener.failed", { error });
      }
    }
  }

  #pause(milliseconds: number): Promise<undefined> {
    return new Promise((resolve) => this.#clock.after(milliseconds, () => resolve(undefined)));
  }
}
