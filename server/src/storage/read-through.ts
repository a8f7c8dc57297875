import { Lru } from "../util/lru.ts";

export interface ReadThroughOptions {
  /** Answers kept, and owners remembered. */
  readonly entries: number;
  /** Milliseconds, of a clock that never goes back. */
  readonly now: () => number;
}

/** Longer answers, in UTF-16 units, are not kept: so the bound on entries is one on memory too. */
export const LONGEST_KEPT = 32 * 1024;

interface Kept {
  readonly stored: string | undefined;
  readonly until: number;
}

/**
 * Answers of a store, kept for a while. Each owner has an epoch, and answers are filed under it: a write begins a new one
 * before it starts and another when it is over, so what was read before it, or during it, is found by nobody after it.
 */
export class ReadThrough {
  readonly #now: () => number;
  readonly #kept: Lru<string, Kept>;
  readonly #epochs: Lru<string, number>;
  /** Reads that have no answer yet, shared by all who ask for the same. */
  readonly #reading = new Map<string, Promise<string | undefined>>();
  #lastEpoch = 0;

  constructor({ entries, now }: ReadThroughOptions) {
    this.#now = now;
    this.#kept = new Lru(entries);
    this.#epochs = new Lru(entries);
  }

  /** How many answers are kept now. */
  get count(): number {
    return this.#kept.count;
  }

  /** `told` hears whether the store was spared. */
  read(
    owner: string,
    what: string,
    freshFor: number,
    ask: () => Promise<string | undefined>,
    told: (hit: boolean) => void,
  ): Promise<string | undefined> {
    const key = `${this.#epochs.get(owner) ?? this.#begin(owner)}\0${what}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > this.#now()) {
      told(true);
      return Promise.resolve(kept.stored);
    }
    const reading = this.#reading.get(key);
    told(reading !== undefined);
    if (reading !== undefined) return reading;
    const until = this.#now() + freshFor;
    const answer = ask().then((stored) => {
      if (stored === undefined || stored.length <= LONGEST_KEPT) this.#kept.set(key, { stored, until });
      return stored;
    });
    this.#reading.set(key, answer);
    const over = () => void this.#reading.delete(key);
    answer.then(over, over);
    return answer;
  }

  /** Does what changes something of an owner; a failure may have changed it too. */
  async write<T>(owner: string, change: () => Promise<T>): Promise<T> {
    this.#begin(owner);
    try {
      return await change();
    } finally {
      this.#begin(owner);
    }
  }

  #begin(owner: string): number {
    this.#lastEpoch++;
    this.#epochs.set(owner, this.#lastEpoch);
    return this.#lastEpoch;
  }
}
