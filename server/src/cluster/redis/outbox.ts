/**
 * What waits to go to one other node. Messages of one tick go in one frame, and only one frame is under way at a time: a
 * redirected or retried publication can then never overtake, so that the order between two nodes holds.
 */
import type { Clock } from "../clock.ts";
import { ClusterError } from "../cluster.ts";
import { encodeFrame, encodeMessage } from "./frame.ts";

export interface OutboxOptions {
  readonly from: string;
  readonly to: string;
  /** Names this queue's numbering; never used again. */
  readonly link: string;
  /** Resolves with the number of subscribers that took the frame. */
  readonly publish: (frame: string) => Promise<number>;
  readonly clock: Clock;
  /** Runs at the end of the present tick. */
  readonly atTickEnd: (run: () => void) => void;
  readonly maxFrameBytes: number;
  readonly maxQueuedBytes: number;
  /** Milliseconds after which a frame counts as lost. */
  readonly sendWithin: number;
}

/** Counted over all outboxes of a bus. */
export interface OutboxCounters {
  sent: number;
  sentBytes: number;
  frames: number;
  refused: number;
  publishErrors: number;
}

/** Messages that share a frame share a fate, and so a promise. */
interface Batch {
  readonly encoded: string[];
  bytes: number;
  readonly settled: PromiseWithResolvers<void>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #counters: OutboxCounters;
  /** The last is still being filled. */
  readonly #waiting: Batch[] = [];
  #underWay: Batch | undefined;
  #next = 1;
  #flushComing = false;
  queuedBytes = 0;

  constructor(options: OutboxOptions, counters: OutboxCounters) {
    this.#options = options;
    this.#counters = counters;
  }

  get idle(): boolean {
    return this.queuedBytes === 0;
  }

  send(channel: string, message: string): Promise<void> {
    const { maxFrameBytes, maxQueuedBytes, to } = this.#options;
    const encoded = encodeMessage(channel, message);
    const bytes = Buffer.byteLength(encoded);
    if (this.queuedBytes + bytes > maxQueuedBytes) {
      this.#counters.refused++;
      return Promise.reject(new ClusterError(`the queue to node ${to} is full (${this.queuedBytes} bytes)`));
    }

    let batch = this.#waiting.at(-1);
    if (batch === undefined || batch.bytes + bytes > maxFrameBytes) {
      batch = { encoded: [], bytes: 0, settled: Promise.withResolvers<void>() };
      this.#waiting.push(batch);
    }
    batch.encoded.push(encoded);
    batch.bytes += bytes;
    this.queuedBytes += bytes;
    this.#counters.sent++;

    if (this.#waiting.length > 1 || batch.bytes >= maxFrameBytes) this.#flush();
    else if (this.#underWay === undefined && !this.#flushComing) {
      this.#flushComing = true;
      this.#options.atTickEnd(() => {
        this.#flushComing = false;
        this.#flush();
      });
    }
    return batch.settled.promise;
  }

  /** Resolves when everything handed in so far has been settled, one way or the other. */
  async drained(): Promise<void> {
    const last = this.#waiting.at(-1) ?? this.#underWay;
    await last?.settled.promise.catch(() => {});
  }

  #flush(): void {
    if (this.#underWay !== undefined) return;
    const batch = this.#waiting.shift();
    if (batch === undefined) return;
    this.#underWay = batch;

    const { from, to, link, publish, clock, sendWithin } = this.#options;
    const frame = encodeFrame(from, link, this.#next, batch.encoded);
    this.#next += batch.encoded.length;
    this.#counters.frames++;
    this.#counters.sentBytes += batch.bytes;

    let settled = false;
    const settle = (problem?: string) => {
      if (settled) return;
      settled = true;
      callOff();
      this.#underWay = undefined;
      this.queuedBytes -= batch.bytes;
      if (problem === undefined) batch.settled.resolve();
      else {
        this.#counters.publishErrors++;
        batch.settled.reject(new ClusterError(`node ${to}: ${problem}`));
      }
      this.#flush();
    };
    // A frame given up for lost may still arrive; its numbers are then too low, and the receiver drops it.
    const callOff = clock.after(sendWithin, () => settle(`no answer within ${sendWithin} ms`));
    publish(frame).then(
      (receivers) => settle(receivers > 0 ? undefined : "nobody listens on its channel"),
      (error: unknown) => settle(error instanceof Error ? error.message : String(error)),
    );
  }
}
