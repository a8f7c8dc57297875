import type { Timers } from "./timers.ts";

export interface ShaperOptions {
  /** Bytes a second in the long run. */
  readonly rate: number;
  /** Bytes that may come at once after a silence. */
  readonly burst: number;
}

/**
 * A token bucket. What was read cannot be given back, so the bucket may go below empty; the debt is waited off, and the
 * rate holds in the long run whatever the size of a read.
 */
export class Shaper {
  readonly #rate: number;
  readonly #burst: number;
  readonly #timers: Timers;
  #tokens: number;
  #at: number;

  constructor({ rate, burst }: ShaperOptions, timers: Timers) {
    if (!(rate > 0) || !(burst > 0))
      throw new RangeError(`a shaper needs a rate and a burst above 0: ${rate}, ${burst}`);
    this.#rate = rate;
    this.#burst = burst;
    this.#timers = timers;
    this.#tokens = burst;
    this.#at = timers.now();
  }

  /** Spends `bytes`, and says how many milliseconds to read nothing more; 0 is go on. */
  take(bytes: number): number {
    const now = this.#timers.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#rate) - bytes;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#rate) * 1000);
  }
}

/** Whether a transport reads: not while its receiver paused it, and not while its shaper's debt is waited off. */
export class ReadGate {
  readonly #stop: () => void;
  readonly #go: () => void;
  readonly #timers: Timers;
  #shaper: Shaper | undefined;
  #paused = false;
  #shaped = false;
  #cancel: (() => void) | undefined;

  /** `stop` and `go` are called only on a change. */
  constructor(timers: Timers, shaper: ShaperOptions | undefined, stop: () => void, go: () => void) {
    this.#timers = timers;
    this.#shaper = shaper === undefined ? undefined : new Shaper(shaper, timers);
    this.#stop = stop;
    this.#go = go;
  }

  get isOpen(): boolean {
    return !this.#paused && !this.#shaped;
  }

  pause(): void {
    const wasOpen = this.isOpen;
    this.#paused = true;
    if (wasOpen) this.#stop();
  }

  resume(): void {
    const wasOpen = this.isOpen;
    this.#paused = false;
    if (!wasOpen && this.isOpen) this.#go();
  }

  /** Another rate from here on, or none; a debt at the old one is still waited off. */
  shape(shaper: ShaperOptions | undefined): void {
    this.#shaper = shaper === undefined ? undefined : new Shaper(shaper, this.#timers);
  }

  /** Counts what was read. */
  took(bytes: number): void {
    const wait = this.#shaper?.take(bytes) ?? 0;
    if (wait === 0) return;
    const wasOpen = this.isOpen;
    this.#shaped = true;
    this.#cancel?.();
    this.#cancel = this.#timers.after(wait, () => {
      this.#cancel = undefined;
      this.#shaped = false;
      if (this.isOpen) this.#go();
    });
    if (wasOpen) this.#stop();
  }

  dispose(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
