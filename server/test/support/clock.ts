import type { Clock } from "../../src/module/api.ts";
import { HandClock } from "../cluster/hand-clock.ts";

/** The time that modules see, moving only when it is wound. */
export class WoundClock implements Clock {
  readonly #clock = new HandClock();

  seconds(): number {
    return Math.floor(this.milliseconds() / 1000);
  }

  milliseconds(): number {
    return 1_700_000_000_000 + Math.floor(this.#clock.now());
  }

  after(milliseconds: number, run: () => void): () => void {
    return this.#clock.after(milliseconds, run);
  }

  /** Runs all that falls due on the way. */
  wind(seconds: number): Promise<void> {
    return this.#clock.wind(seconds * 1000);
  }
}
