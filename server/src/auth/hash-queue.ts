import { StanzaError } from "../xmpp/errors.ts";

/** Of libuv's four threads, which also read files and look names up, so many hash passwords. */
export const HASH_QUEUE_DEFAULTS = { running: 2, waiting: 500 };

/** Lets a few slow hashes run at a time and a bounded number wait; refuses the rest with resource-constraint. */
export class HashQueue {
  readonly #running: number;
  readonly #waiting: number;
  readonly #waiters: (() => void)[] = [];
  #active = 0;

  constructor({ running, waiting }: { readonly running: number; readonly waiting: number } = HASH_QUEUE_DEFAULTS) {
    this.#running = running;
    this.#waiting = waiting;
  }

  async run<T>(hash: () => Promise<T>): Promise<T> {
    if (this.#active < this.#running) this.#active += 1;
    else await this.#turn();
    try {
      return await hash();
    } finally {
      // The next one takes over this one's place.
      const next = this.#waiters.shift();
      if (next === undefined) this.#active -= 1;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiters.length >= this.#waiting)
      throw new StanzaError("resource-constraint", "too many passwords to check");
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}
