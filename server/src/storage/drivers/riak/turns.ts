import { StorageError } from "../../specs.ts";

/** Lets the writers of one object in this process go one after the other, since Riak would take them all at once. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #max: number;
  readonly #timeout: number;
  #waiting = 0;

  /** So many may wait, each so many milliseconds. */
  constructor(max: number, timeout: number) {
    this.#max = max;
    this.#timeout = timeout;
  }

  async take<R>(name: string, run: () => Promise<R>): Promise<R> {
    const before = this.#last.get(name);
    const { promise: done, resolve } = Promise.withResolvers<void>();
    // Whoever gave up waiting passes the turn on when it comes.
    const mine = before === undefined ? done : before.then(() => done);
    this.#last.set(name, mine);
    void mine.then(() => {
      if (this.#last.get(name) === mine) this.#last.delete(name);
    });
    try {
      if (before !== undefined) await this.#wait(before);
      return await run();
    } finally {
      resolve();
    }
  }

  async #wait(before: Promise<unknown>): Promise<void> {
    if (this.#waiting >= this.#max) throw new StorageError(`riak: ${this.#max} writes wait for others already`);
    this.#waiting++;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const words = `riak: earlier writes of the same object took longer than ${this.#timeout} ms`;
      timer = setTimeout(() => reject(new StorageError(words)), this.#timeout);
    });
    try {
      await Promise.race([before, late]);
    } finally {
      clearTimeout(timer);
      this.#waiting--;
    }
  }
}
