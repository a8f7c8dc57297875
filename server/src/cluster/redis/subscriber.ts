/**
 * Listens to one node's channel and proves to itself that it does. A sharded subscriber whose Redis hangs stays connected and
 * silent for ever, so this one publishes to its own channel, and when it has not heard itself for a while it is torn down
 * and built anew.
 */
import type { Clock } from "../clock.ts";
import type { ClusterLog } from "../cluster.ts";

export interface Opening {
  readonly ready: Promise<unknown>;
  readonly close: () => void;
}

export interface SubscriberOptions {
  readonly clock: Clock;
  readonly log: ClusterLog;
  /** Told apart from another process on the same channel by mistake. */
  readonly boot: string;
  /** Connects and subscribes; can be closed before it is ready. */
  readonly open: (heard: (text: string) => void) => Opening;
  readonly publish: (text: string) => Promise<unknown>;
  readonly heard: (text: string) => void;
  readonly beatEvery: number;
  readonly beatWithin: number;
}

/**
 * How many times `beatWithin` a connection may take to come about, and a silence last in which Redis answers no beat: then it
 * is Redis that is slow, and a new connection would be no better.
 */
const PATIENCE = 3;

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #beatText: string;
  #generation = 0;
  #close: (() => void) | undefined;
  #callOff: (() => void) | undefined;
  /** When silence began to count. */
  #silentSince = 0;
  #heardAt = Number.NEGATIVE_INFINITY;
  #openingSince: number | undefined;
  /** Whether Redis took a beat that was sent since it last was heard. */
  #beatTaken = false;
  /** How often it was built anew. */
  resubscribes = 0;
  beatsHeard = 0;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#beatText = `B1 ${options.boot}`;
  }

  start(): void {
    this.#reopen();
    this.#tick();
  }

  /** Whether it has heard itself within so many milliseconds. */
  heardWithin(milliseconds: number): boolean {
    return this.#options.clock.now() - this.#heardAt <= milliseconds;
  }

  stop(): void {
    this.#generation++;
    this.#callOff?.();
    this.#close?.();
    this.#close = undefined;
  }

  #tick(): void {
    const { clock, log, beatEvery, beatWithin } = this.#options;
    this.#beat();
    const now = clock.now();
    const deaf = this.#openingSince === undefined && this.#beatTaken;
    const patience = deaf ? beatWithin : beatWithin * PATIENCE;
    const since = this.#openingSince ?? this.#silentSince;
    if (now - since > patience) {
      this.resubscribes++;
      log("cluster.subscriber.reopened", { silentFor: Math.round(now - since) });
      this.#reopen();
    }
    this.#callOff = clock.after(beatEvery, () => this.#tick());
  }

  #beat(): void {
    const heardBefore = this.beatsHeard;
    this.#options.publish(this.#beatText).then(
      () => {
        // The answer may come before the beat itself, and then the beat is heard next.
        if (this.beatsHeard === heardBefore) this.#beatTaken = true;
      },
      () => {
        // A beat that cannot be published is a beat not heard, and that is noticed.
      },
    );
  }

  #reopen(): void {
    const { clock, log, open, heard } = this.#options;
    const generation = ++this.#generation;
    this.#close?.();
    this.#openingSince = clock.now();
    this.#beatTaken = false;
    const opening = open((text) => {
      if (generation !== this.#generation) return;
      if (text === this.#beatText) {
        this.beatsHeard++;
        this.#heardAt = clock.now();
        this.#silentSince = this.#heardAt;
        this.#beatTaken = false;
      } else if (!text.startsWith("B1 ")) heard(text);
    });
    this.#close = opening.close;
    opening.ready.then(
      () => {
        if (generation !== this.#generation) return;
        this.#openingSince = undefined;
        this.#silentSince = clock.now();
        this.#beat();
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        log("cluster.subscriber.failed", { error });
        // Tried again after the same silence as any other.
        this.#openingSince = undefined;
        this.#silentSince = clock.now();
      },
    );
  }
}
