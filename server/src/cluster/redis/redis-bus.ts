/** The bus over sharded pub/sub: one channel a node, frames out through an outbox a node, frames in through one receiver. */

import type { MaybePromise } from "../../util/maybe-promise.ts";
import type { Clock } from "../clock.ts";
import { type Bus, ClusterError, type ClusterLog } from "../cluster.ts";
import { Handlers } from "../handlers.ts";
import { busChannel, checkNodeId } from "./keys.ts";
import { Outbox, type OutboxCounters } from "./outbox.ts";
import { Receiver } from "./receiver.ts";
import { type Opening, Subscriber } from "./subscriber.ts";

export interface RedisBusOptions {
  readonly nodeId: string;
  /** New with each life of the node. */
  readonly boot: string;
  readonly clock: Clock;
  readonly log: ClusterLog;
  readonly publish: (channel: string, text: string) => Promise<number>;
  readonly subscribe: (channel: string, heard: (text: string) => void) => Opening;
  /** Living nodes, for `broadcast`. */
  readonly living: () => readonly string[];
  readonly heartbeatEvery: number;
  readonly heartbeatWithin: number;
  readonly maxFrameBytes: number;
  readonly maxQueuedBytes: number;
  readonly sendWithin: number;
  /** Other nodes that are sent to at a time, and whose numbering is remembered. */
  readonly maxNodes: number;
}

export class RedisBus implements Bus {
  readonly nodeId: string;
  readonly #options: RedisBusOptions;
  readonly #handlers: Handlers;
  readonly #receiver: Receiver;
  readonly #subscriber: Subscriber;
  readonly #outboxes = new Map<string, Outbox>();
  readonly #counters: OutboxCounters = { sent: 0, sentBytes: 0, frames: 0, refused: 0, publishErrors: 0 };
  #links = 0;
  #stopped = false;

  constructor(options: RedisBusOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
    this.#handlers = new Handlers(options.log);
    this.#receiver = new Receiver(options.maxNodes, (channel, message, from) =>
      this.#handlers.dispatch(channel, message, from),
    );
    const own = busChannel(options.nodeId);
    this.#subscriber = new Subscriber({
      clock: options.clock,
      log: options.log,
      boot: options.boot,
      open: (heard) => options.subscribe(own, heard),
      publish: (text) => options.publish(own, text),
      heard: (text) => this.#receiver.take(text),
      beatEvery: options.heartbeatEvery,
      beatWithin: options.heartbeatWithin,
    });
  }

  send(node: string, channel: string, message: string): MaybePromise<void> {
    if (node === this.nodeId) {
      this.#handlers.dispatch(channel, message, this.nodeId);
      return undefined;
    }
    if (this.#stopped) return Promise.reject(new ClusterError("this node has left the cluster"));
    const outbox = this.#outboxes.get(node) ?? this.#openOutbox(node);
    if (outbox === undefined) {
      this.#counters.refused++;
      return Promise.reject(new ClusterError(`${this.#options.maxNodes} other nodes are being sent to already`));
    }
    return outbox.send(channel, message);
  }

  broadcast(channel: string, message: string): void {
    for (const node of this.#options.living()) {
      if (node === this.nodeId) continue;
      // Whoever does not get it is dead or will be told by what it reads when it is back.
      Promise.resolve(this.send(node, channel, message)).catch(() => {});
    }
  }

  receive(channel: string, heard: (message: string, fromNode: string) => void): void {
    this.#handlers.add(channel, heard);
  }

  start(): void {
    this.#stopped = false;
    this.#subscriber.start();
  }

  /** Whether this node's own channel was known to work so many milliseconds ago. */
  heardItself(within: number): boolean {
    return this.#subscriber.heardWithin(within);
  }

  /** Drops the idle outboxes of nodes that are gone. */
  tidy(): void {
    const living = new Set(this.#options.living());
    for (const [node, outbox] of this.#outboxes) {
      if (outbox.idle && !living.has(node)) this.#outboxes.delete(node);
    }
  }

  /** Lets what is queued go out while that does not take long, and hears nothing more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const { clock, sendWithin } = this.#options;
    const drained = Promise.all([...this.#outboxes.values()].map((outbox) => outbox.drained()));
    const late = Promise.withResolvers<void>();
    const callOff = clock.after(sendWithin, late.resolve);
    await Promise.race([drained, late.promise]);
    callOff();
    this.#outboxes.clear();
    this.#subscriber.stop();
  }

  stats(): Record<string, number> {
    let queuedBytes = 0;
    for (const outbox of this.#outboxes.values()) queuedBytes += outbox.queuedBytes;
    return {
      ...this.#counters,
      ...this.#receiver.counters,
      queuedBytes,
      unclaimed: this.#handlers.unclaimed,
      handlerFailures: this.#handlers.failed,
      resubscribes: this.#subscriber.resubscribes,
      heartbeats: this.#subscriber.beatsHeard,
    };
  }

  #openOutbox(node: string): Outbox | undefined {
    checkNodeId(node);
    if (this.#outboxes.size >= this.#options.maxNodes) this.tidy();
    if (this.#outboxes.size >= this.#options.maxNodes) return undefined;
    const { boot, clock, publish, maxFrameBytes, maxQueuedBytes, sendWithin } = this.#options;
    const channel = busChannel(node);
    const outbox = new Outbox(
      {
        from: this.nodeId,
        to: node,
        link: `${boot}.${++this.#links}`,
        publish: (frame) => publish(channel, frame),
        clock,
        atTickEnd: (run) => void setImmediate(run),
        maxFrameBytes,
        maxQueuedBytes,
        sendWithin,
      },
      this.#counters,
    );
    this.#outboxes.set(node, outbox);
    return outbox;
  }
}
