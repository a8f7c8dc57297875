/** Numbers that follow from a seed alone, and well spread also for seeds that are neighbours (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  }

  /** In [0, limit). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  /** Up to `most` of them. */
  many<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

/** The bytes in pieces of at most `longest`. */
export function cutUp(random: Random, bytes: Uint8Array, longest: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; ) {
    const length = 1 + random.below(longest);
    pieces.push(bytes.subarray(from, from + length));
    from += length;
  }
  return pieces;
}

/** The bytes with a few places changed: a fragment put in, a byte replaced, a stretch left out, doubled or repeated. */
export function mutate(random: Random, sample: Buffer, fragments: readonly string[], most = 4000): Buffer {
  let bytes = sample;
  const splice = (from: number, to: number, middle: Uint8Array) => {
    bytes = Buffer.concat([bytes.subarray(0, from), middle, bytes.subarray(to)]);
  };
  for (let n = random.below(4); n >= 0; n--) {
    const from = random.below(bytes.length + 1);
    const to = from + random.below(bytes.length + 1 - from);
    const change = random.below(10);
    if (change < 4) splice(from, from, Buffer.from(random.pick(fragments)));
    else if (change < 6) splice(from, from + 1, Buffer.of(random.below(256)));
    else if (change < 8) splice(from, Math.min(to, from + random.below(16)), Buffer.alloc(0));
    else if (change < 9) splice(from, from, bytes.subarray(from, to));
    else splice(from, from, Buffer.from(random.pick(fragments).repeat(random.below(400))));
  }
  return bytes.subarray(0, most);
}
