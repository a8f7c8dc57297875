/** A cluster over Redis Cluster: joins, keeps its lease, sweeps after the dead, and comes back after having been away. */
import { randomUUID } from "node:crypto";
import type { Cluster as IoRedisCluster } from "ioredis";
import { type Clock, realClock } from "../clock.ts";
import { type Cluster, ClusterError, type ClusterLog, type SessionEntry } from "../cluster.ts";
import { Commands, ConnectionErrors, type ConnectionOptions, openClient } from "./connection.ts";
import { diagnose } from "./diagnose.ts";
import { checkNodeId } from "./keys.ts";
import { Membership } from "./membership.ts";
import { quietLog } from "./quiet-log.ts";
import { RedisBus } from "./redis-bus.ts";
import { RedisRegistry } from "./redis-registry.ts";
import type { Opening } from "./subscriber.ts";
import { Topology } from "./topology.ts";

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
  /** Silence after which the subscriber is built anew; three times that while Redis itself does not answer. Default 2,000. */
  readonly heartbeatWithin?: number;
  /** Silence after which the node is not healthy: longer than a hiccup of Redis or a failover. Default 5,000. */
  readonly unhealthyAfter?: number;
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
  /** Other nodes that are sent to at a time, and whose numbering is remembered. Default 1,024. */
  readonly maxNodes?: number;
  /** Releases that failed and are tried again; beyond it the oldest is left to its expiry. Default 10,000. */
  readonly maxUnreleased?: number;
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
  /** For what may fail again and again. */
  readonly #quietLog: ClusterLog;
  #client: IoRedisCluster;
  readonly #commands: Commands;
  readonly #membership: Membership;
  readonly #topology: Topology;
  readonly #connectionErrors: ConnectionErrors;
  readonly #lost: ((entry: SessionEntry) => void)[] = [];
  readonly #displaced: ((entry: SessionEntry) => void)[] = [];
  readonly #fenced: (() => void)[] = [];
  readonly #rejoined: (() => void)[] = [];
  readonly #sweeping = new Set<string>();
  readonly #renewEvery: number;
  readonly #heartbeatWithin: number;
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
    this.#heartbeatWithin = options.heartbeatWithin ?? 2000;
    this.#quietLog = quietLog(log, clock);
    this.#connectionErrors = new ConnectionErrors(this.#quietLog);
    this.#client = this.#openClient(false);
    this.#commands = new Commands(() => this.#client, {
      clock,
      answerWithin,
      maxPending: options.maxPending ?? 10_000,
    });
    this.#topology = new Topology({
      clock,
      commands: this.#commands,
      refresh: () => {
        if (this.#client.status === "ready") this.#client.refreshSlotsCache();
      },
    });
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
      maxUnreleased: options.maxUnreleased ?? 10_000,
      lost: (entry) => this.#tell(this.#lost, entry),
      displaced: (entry) => this.#tell(this.#displaced, entry),
    });
    this.bus = new RedisBus({
      nodeId: options.nodeId,
      boot: newEpoch(),
      clock,
      log: this.#quietLog,
      publish: (channel, text) => this.#commands.run((redis) => redis.spublish(channel, text) as Promise<number>),
      subscribe: (channel, heard) => this.#subscribe(channel, heard),
      living: () => this.#membership.nodes(),
      heartbeatEvery: options.heartbeatEvery ?? 500,
      heartbeatWithin: this.#heartbeatWithin,
      maxFrameBytes: options.maxFrameBytes ?? 16_384,
      maxQueuedBytes: options.maxQueuedBytes ?? 4_194_304,
      sendWithin: answerWithin,
      maxNodes: options.maxNodes ?? 1024,
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
    // A client that has been closed does not reconnect by itself any more.
    if (this.#client.status !== "wait") this.#client = this.#openClient(false);
    // How that goes is seen from the commands.
    this.#client.connect().catch(() => {});
    this.#topology.start();
    this.bus.start();
    this.#state = "joining";
    let problem = "";
    const attempts = this.#join((error) => {
      problem = error instanceof Error ? error.message : String(error);
    });
    if (!(await Promise.race([attempts, this.#pause(startWithin)]))) {
      this.#state = "out";
      await this.#close();
      // The client tells that a connection is closed or that nothing came; each node alone tells why.
      const causes = [await diagnose(this.#options), this.#connectionErrors.last, problem];
      const why = [...new Set(causes)].filter((text) => text !== "").join("; ");
      const hosts = this.#options.nodes.join(", ");
      throw new ClusterError(`Redis Cluster at ${hosts} not usable within ${startWithin} ms: ${why}`);
    }
    this.#state = "in";
    this.bus.broadcast(LEASES_CHANGED, "joined");
    this.#schedule(this.#renewEvery);
    this.#sweepDead();
  }

  healthy(): boolean {
    const heard = this.bus.heardItself(this.#options.unhealthyAfter ?? 5000);
    return this.#state === "in" && !this.#membership.lapsed() && heard;
  }

  async stop(): Promise<void> {
    if (this.#state === "out") return;
    this.#state = "out";
    this.#callOff?.();
    try {
      await this.#membership.leave(this.registry.size + this.registry.unreleased > 0);
      this.bus.broadcast(LEASES_CHANGED, "left");
    } catch (error) {
      // The lease lapses by itself.
      this.#log("cluster.leave.failed", { error });
    }
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#topology.stop();
    await this.bus.stop();
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
      connectionErrors: this.#connectionErrors.count,
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
      if (joined) {
        if (this.bus.heardItself(this.#heartbeatWithin)) return true;
        failed("joined, but messages to this node's own channel do not arrive");
      }
      await this.#pause(50);
    }
    return false;
  }

  #schedule(milliseconds: number): void {
    this.#callOff = this.#clock.after(milliseconds, () => {
      this.#tick().then(
        () => this.#afterTick(this.#renewEvery),
        (error: unknown) => {
          this.#quietLog("cluster.lease.missed", { error });
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
        .catch((error: unknown) => this.#quietLog("cluster.sweep.failed", { member, error }))
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

  #openClient(subscribes: boolean): IoRedisCluster {
    return openClient({ ...this.#options, subscribes, failed: (error) => this.#connectionErrors.add(error) });
  }

  #subscribe(channel: string, heard: (text: string) => void): Opening {
    const client = this.#openClient(true);
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
