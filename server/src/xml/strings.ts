import { Buffer } from "node:buffer";

/**
 * A copy that owns its characters. What the parser hands out may be a slice that keeps some KiB of the input alive
 * with it: a map key or anything else that outlives its stanza by long should be copied.
 */
export function ownedCopy(text: string): string {
  const encoding = text.isWellFormed() ? "utf8" : "utf16le";
  return Buffer.from(text, encoding).toString(encoding);
}

/** What one joint of a string that was not put together yet takes, in bytes. */
const JOINT_BYTES = 32;

/** Joins a string from however many pieces, in time that grows with its length, and in a few times its memory. */
export class Rope {
  #joints = 0;

  join(before: string, piece: string): string {
    const whole = before + piece;
    if (++this.#joints >= 64 && this.#joints * JOINT_BYTES >= whole.length) {
      this.#joints = 0;
      putTogether(whole);
    }
    return whole;
  }
}

const BEGINNING = /^/;

/** Makes one piece of a string that was joined from many: the runtime does so once a pattern is matched against it. */
export function putTogether(joined: string): void {
  BEGINNING.test(joined);
}

/**
 * Values computed once for each of the few names and namespaces that come again and again, found without cutting them
 * out of the text. Each hash has two places and the newer key takes the first of them, so no peer can fill it for good.
 */
export class Interned<T> {
  readonly #make: (key: string) => T;
  readonly #mask: number;
  readonly #maxLength: number;
  readonly #keys: (string | undefined)[];
  readonly #values: (T | undefined)[];

  /** `make` gets a copy that pins nothing; `size`, in pairs, is a power of two; keys over `maxLength` are made anew each time. */
  constructor(make: (key: string) => T, size: number, maxLength: number) {
    this.#make = make;
    this.#mask = size - 1;
    this.#maxLength = maxLength;
    this.#keys = Array<string | undefined>(size * 2).fill(undefined);
    this.#values = Array<T | undefined>(size * 2).fill(undefined);
  }

  /** The value of the key that stands in `text`; `hash` must follow from the key alone. */
  at(text: string, from: number, to: number, hash: number): T {
    const place = (hash & this.#mask) << 1;
    if (isAt(this.#keys[place], text, from, to)) return this.#values[place] as T;
    if (isAt(this.#keys[place + 1], text, from, to)) return this.#values[place + 1] as T;
    return this.#remember(text.slice(from, to), place);
  }

  #remember(key: string, place: number): T {
    const own = ownedCopy(key);
    const value = this.#make(own);
    if (key.length > this.#maxLength) return value;
    this.#keys[place + 1] = this.#keys[place];
    this.#values[place + 1] = this.#values[place];
    this.#keys[place] = own;
    this.#values[place] = value;
    return value;
  }
}

function isAt(key: string | undefined, text: string, from: number, to: number): boolean {
  return key !== undefined && key.length === to - from && text.startsWith(key, from);
}
