/** What a client has received and no expectation has taken yet, in the order of arrival. */
export class Inbox<T> {
  readonly #items: T[] = [];
  readonly #waiting: { accepts(item: T): boolean; take(item: T): void; give(error: Error): void }[] = [];
  readonly #show: (item: T) => string;
  #ended: Error | undefined;

  constructor(show: (item: T) => string) {
    this.#show = show;
  }

  push(item: T): void {
    const at = this.#waiting.findIndex((waiter) => waiter.accepts(item));
    if (at === -1) this.#items.push(item);
    else this.#waiting.splice(at, 1)[0]?.take(item);
  }

  /** Nothing more will come: whoever waits hears so at once. */
  end(error: Error): void {
    this.#ended = error;
    for (const waiter of this.#waiting.splice(0)) waiter.give(error);
  }

  /** Takes out the first item that fits, waiting for it if need be; on time-out the error lists what there was instead. */
  async next(accepts: (item: T) => boolean, { withinMs = 10_000, what = "an expected item" } = {}): Promise<T> {
    const at = this.#items.findIndex(accepts);
    if (at !== -1) return this.#items.splice(at, 1)[0] as T;
    if (this.#ended !== undefined) throw this.#ended;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter = { accepts, take: resolve, give: reject };
    this.#waiting.push(waiter);
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      const instead = this.#items.map(this.#show).join("\n  ");
      reject(new Error(`no ${what} within ${withinMs} ms; instead:\n  ${instead || "nothing"}`));
    }, withinMs);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Everything that fits and has come so far, taken out. */
  takeAll(accepts: (item: T) => boolean): T[] {
    const taken: T[] = [];
    for (let i = 0; i < this.#items.length; ) {
      if (accepts(this.#items[i] as T)) taken.push(...this.#items.splice(i, 1));
      else i++;
    }
    return taken;
  }
}
