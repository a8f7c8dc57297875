import { Buffer } from "node:buffer";
import { ByteQueue } from "./byte-queue.ts";
import { CharacterReader } from "./characters.ts";
import { DocumentReader, type StreamSink } from "./document-reader.ts";
import type { Element } from "./element.ts";
import { notWellFormed, XmlError } from "./errors.ts";
import { DEFAULT_LIMITS, type XmlLimits } from "./limits.ts";

export type { StreamSink } from "./document-reader.ts";
export { type XmlCondition, XmlError } from "./errors.ts";
export { DEFAULT_LIMITS, type XmlLimits } from "./limits.ts";

/** Input is decoded by so many bytes, so a slice that lives on keeps no more than that alive. */
const PIECE_BYTES = 8192;

/**
 * Reads an XML stream (RFC 6120 4 and 11) from bytes in any cut. All that is not allowed there is refused with an
 * `XmlError`; after one, or after an error that the sink threw, each further `write` and `resume` throws the same again.
 */
export class StreamParser {
  readonly #characters = new CharacterReader();
  readonly #document: DocumentReader;
  readonly #waiting = new ByteQueue();
  #suspended = false;
  #halted = false;
  #busy = false;
  #failure: { readonly error: unknown } | undefined = undefined;

  constructor(sink: StreamSink, limits: Partial<XmlLimits> = {}) {
    this.#document = new DocumentReader(sink, { ...DEFAULT_LIMITS, ...limits }, 1);
  }

  /** Bytes that wait for `resume`. */
  get kept(): number {
    return this.#suspended ? this.#document.unread + this.#waiting.length : 0;
  }

  /** Takes the next bytes and hands on what they complete before it returns. The chunk may be reused afterwards. */
  write(chunk: Uint8Array): void {
    if (this.#halted) return;
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#suspended || this.#busy) this.#keep(chunk);
    else this.#read(chunk);
  }

  /** Hands nothing more to the sink until `resume`. What is written meanwhile is kept, up to `maxStanzaBytes` and a chunk. */
  suspend(): void {
    this.#suspended = true;
    this.#document.paused = true;
  }

  /** Goes on with what was kept; the sink may be called before this returns. */
  resume(): void {
    if (this.#halted) return;
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#suspended = false;
    this.#document.paused = false;
    if (!this.#busy) this.#read(undefined);
  }

  /** To be called from `sink.element`, or while suspended: what follows is a new document (RFC 6120 4.3.3). */
  restart(): void {
    this.#document.restart();
  }

  /** Takes nothing further, ever, and drops what is kept: before TLS (RFC 6120 5.4.3.3), and at the end. */
  halt(): void {
    this.#halted = true;
    this.#document.paused = true;
    this.#document.clear();
    this.#waiting.clear();
  }

  /** Changes limits from here on, such as a smaller stanza until the peer has authenticated. */
  setLimits(limits: Partial<XmlLimits>): void {
    this.#document.limits = { ...this.#document.limits, ...limits };
  }

  #keep(chunk: Uint8Array): void {
    if (this.kept >= this.#document.limits.maxStanzaBytes) {
      const error = new XmlError("policy-violation", "too much sent ahead");
      this.#fail(error);
      throw error;
    }
    this.#waiting.push(chunk);
  }

  #read(chunk: Uint8Array | undefined): void {
    this.#busy = true;
    try {
      if (chunk === undefined) this.#document.run();
      else this.#readChunk(chunk);
      while (this.#waiting.length > 0 && !this.#document.paused) this.#readPiece(this.#waiting.shift(PIECE_BYTES));
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  #readChunk(chunk: Uint8Array): void {
    const bytes = asBuffer(chunk);
    if (bytes.length > PIECE_BYTES) this.#waiting.push(bytes.subarray(PIECE_BYTES));
    this.#readPiece(bytes.length > PIECE_BYTES ? bytes.subarray(0, PIECE_BYTES) : bytes);
  }

  #readPiece(piece: Buffer): void {
    readPiece(piece, this.#characters, this.#document);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#document.clear();
    this.#waiting.clear();
  }
}

/**
 * Reads exactly one element, such as a WebSocket message holds (RFC 7395 3.3). White space may stand around it, and,
 * as it is a document of its own, an XML declaration before it. Throws `XmlError`.
 */
export function parseElement(text: Uint8Array, limits: Partial<XmlLimits> = {}): Element {
  let found: Element | undefined;
  const sink: StreamSink = {
    open() {},
    element(element) {
      found = element;
    },
    close() {},
  };
  const characters = new CharacterReader();
  const document = new DocumentReader(sink, { ...DEFAULT_LIMITS, ...limits }, 0);
  const bytes = asBuffer(text);
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    readPiece(bytes.subarray(from, from + PIECE_BYTES), characters, document);
  }
  if (found === undefined || characters.midCharacter || !document.complete)
    throw notWellFormed("not one whole element");
  return found;
}

function readPiece(piece: Buffer, characters: CharacterReader, document: DocumentReader): void {
  const text = characters.read(piece);
  document.load(text, characters.sawAscii, characters.sawControls);
  document.run();
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
