/** Time as the transports see it; tests wind it by hand. */
export interface Timers {
  /** Milliseconds since some fixed moment, never going back. */
  now(): number;
  /** Calls `run` once after `ms`; what it returns calls it off. */
  after(ms: number, run: () => void): () => void;
}

export const systemTimers: Timers = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
