/** Time as the cluster needs it, so that a test can wind it by hand. */

export interface Clock {
  /** Milliseconds that never go back and go on while the process is stopped. */
  now(): number;
  /** Runs once after so many milliseconds; the returned function calls it off. Never keeps the process alive. */
  after(milliseconds: number, run: () => void): () => void;
}

export const realClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
