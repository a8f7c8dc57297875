/**
 * A bounded map that forgets what was not read for longest, roughly: entries live in two generations, and when the
 * young one is full the old one is dropped whole. A hit in the young generation is one Map lookup.
 */
export class Lru<K, V extends {}> {
  readonly #generation: number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();

  /** Keeps at most `size` entries, and once full never fewer than half of them; below 2 it keeps none. */
  constructor(size: number) {
    this.#generation = Math.floor(size / 2);
  }

  /** How many entries are kept now. */
  get count(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: K): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: K, value: V): void {
    this.#old.delete(key);
    if (this.#young.size >= this.#generation && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    if (this.#generation > 0) this.#young.set(key, value);
  }
}
