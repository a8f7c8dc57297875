/**
 * Keeps a client's idea of which node serves which slot fresh: soon when something fails or hangs, else now and then. A master
 * that hangs closes no connection, so nothing but this would lead the client to its successor.
 */
import type { Clock } from "../clock.ts";

export interface TopologyOptions {
  readonly clock: Clock;
  readonly commands: {
    /** How many failed so far. */
    readonly failures: number;
    /** Milliseconds that the oldest without an answer has waited. */
    waitingFor(): number;
  };
  readonly refresh: () => void;
}

const LOOK_EVERY = 1000;
/** A command without an answer for this long hints at a master that hangs. */
const SLOW = 1000;
/** Looks without a hint after which it is refreshed all the same. */
const AT_LEAST_EVERY = 5;

export class Topology {
  readonly #options: TopologyOptions;
  #callOff: (() => void) | undefined;
  #failuresSeen = 0;
  #quietLooks = 0;
  #stopped = false;

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#callOff?.();
    this.#callOff = this.#options.clock.after(LOOK_EVERY, () => this.#look());
  }

  stop(): void {
    this.#stopped = true;
    this.#callOff?.();
  }

  #look(): void {
    if (this.#stopped) return;
    const { commands, refresh } = this.#options;
    const failed = commands.failures !== this.#failuresSeen;
    this.#failuresSeen = commands.failures;
    this.#quietLooks++;
    if (failed || commands.waitingFor() > SLOW || this.#quietLooks >= AT_LEAST_EVERY) {
      this.#quietLooks = 0;
      refresh();
    }
    this.start();
  }
}
