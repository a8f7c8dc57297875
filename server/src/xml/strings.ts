import { Buffer } from "node:buffer";

/**
 * A copy that owns its characters. What the parser hands out may be a slice that keeps some KiB of the input alive
 * with it: a map key or anything else that outlives its stanza by long should be copied.
 */
export function ownedCopy(text: string): string {
  const encoding = text.isWellFormed() ? "utf8" : "utf16le";
  return Buffer.from(text, encoding).toString(encoding);
}

/**
 * Values computed once per string, for the few names and namespaces that come again and again. Two generations
 * of at most `size` entries: what is not asked for between two turnovers is forgotten, so no peer can fill it for good.
 */
export class Interned<T> {
  readonly #make: (key: string) => T;
  readonly #size: number;
  readonly #maxLength: number;
  #young = new Map<string, T>();
  #old = new Map<string, T>();

  /** `make` gets a copy that pins nothing; keys over `maxLength` are made anew each time. */
  constructor(make: (key: string) => T, size: number, maxLength: number) {
    this.#make = make;
    this.#size = size;
    this.#maxLength = maxLength;
  }

  get(key: string): T {
    return this.#young.get(key) ?? this.#remember(key);
  }

  get count(): number {
    return this.#young.size + this.#old.size;
  }

  #remember(key: string): T {
    if (key.length > this.#maxLength) return this.#make(ownedCopy(key));
    const own = ownedCopy(key);
    const value = this.#old.get(key) ?? this.#make(own);
    if (this.#young.size >= this.#size) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(own, value);
    return value;
  }
}
