import { Buffer } from "node:buffer";

const EMPTY = Buffer.alloc(0);

/** Bytes in the order they came. Costs a copy of each, and no more than twice their room however small the pieces. */
export class ByteQueue {
  #buffer = EMPTY;
  #from = 0;
  #to = 0;

  get length(): number {
    return this.#to - this.#from;
  }

  push(bytes: Uint8Array): void {
    if (this.#to + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length);
    this.#buffer.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  /** Takes up to `most` bytes out; they are good until the next `push`. */
  shift(most: number): Buffer {
    const end = Math.min(this.#to, this.#from + most);
    const bytes = this.#buffer.subarray(this.#from, end);
    this.#from = end;
    if (end === this.#to) this.clear();
    return bytes;
  }

  clear(): void {
    this.#buffer = EMPTY;
    this.#from = 0;
    this.#to = 0;
  }

  #makeRoom(more: number): void {
    const needed = this.length + more;
    const buffer = Buffer.allocUnsafeSlow(Math.max(needed, this.length * 2));
    this.#buffer.copy(buffer, 0, this.#from, this.#to);
    this.#to = this.length;
    this.#from = 0;
    this.#buffer = buffer;
  }
}
