import { Buffer, isUtf8 } from "node:buffer";
import { notWellFormed, XmlError } from "./errors.ts";

const AMPERSAND = 0x26;
const HASH = 0x23;

/** A reference longer than this between `&` and `;` is refused: leading zeros aside, `#1114111` is the longest. */
const MAX_REFERENCE = 16;

/** With its ampersand: the most that `referenceTail` leaves for later. */
const MAX_TAIL = MAX_REFERENCE + 1;

/** Up to here a loop over the bytes is quicker than asking the runtime about all of them several times. */
const SHORT = 256;

// XML 1.0 2.2. UTF-8 that was checked holds no lone surrogates.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ILLEGAL = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: likewise
const CONTROL_OR_ILLEGAL = /[\0-\x1f\ufffe\uffff]/;

// XML 1.0 4.6: the only entities there are without a DTD.
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["apos", "'"],
  ["quot", '"'],
]);

/** Bytes in any cut to checked characters: UTF-8 only (RFC 6120 11.6), legal characters, one kind of line end. */
export class CharacterReader {
  /** Whether the last text that was read may hold a tab or a line end. */
  sawControls = false;
  /** Whether each character of it is one byte. */
  sawAscii = true;
  #unfinished: Buffer | undefined = undefined;
  #afterReturn = false;

  /** Whether a character was begun that has not ended. */
  get midCharacter(): boolean {
    return this.#unfinished !== undefined;
  }

  read(chunk: Buffer): string {
    if (chunk.length <= SHORT && this.#unfinished === undefined && !this.#afterReturn && isPlain(chunk)) {
      this.sawAscii = true;
      this.sawControls = false;
      return latin1(chunk);
    }
    let bytes = chunk;
    if (this.#unfinished !== undefined) {
      bytes = Buffer.concat([this.#unfinished, chunk]);
      this.#unfinished = undefined;
    }
    const whole = wholeCharacters(bytes);
    if (whole < bytes.length) {
      this.#unfinished = Buffer.from(bytes.subarray(whole));
      bytes = bytes.subarray(0, whole);
    }
    // RFC 6120 4.9.3.22: bytes that are not UTF-8 are an encoding that is not supported.
    if (!isUtf8(bytes)) throw new XmlError("unsupported-encoding", "not UTF-8");
    const text = bytes.toString("utf8");
    this.sawAscii = text.length === bytes.length;
    this.sawControls = CONTROL_OR_ILLEGAL.test(text);
    if (!this.sawControls && !this.#afterReturn) return text;
    if (ILLEGAL.test(text)) throw notWellFormed("a character that XML has not");
    return this.#normaliseLineEnds(text);
  }

  /** XML 1.0 2.11: CR LF and CR alone are read as LF; the two may come in two chunks. */
  #normaliseLineEnds(text: string): string {
    if (text === "") return text;
    const rest = this.#afterReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterReturn = text.endsWith("\r");
    return rest.includes("\r") ? rest.replace(/\r\n?/g, "\n") : rest;
  }
}

/** Whether nothing has to be done to the bytes but to take them as characters. */
function isPlain(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte > 0x7f) return false;
  }
  return true;
}

/** What `toString("latin1")` calls in the end. */
function latin1(bytes: Buffer): string {
  return (bytes as Buffer & { latin1Slice(): string }).latin1Slice();
}

/** How many of the bytes make whole characters; what is left is at most three bytes. */
function wholeCharacters(bytes: Buffer): number {
  const length = bytes.length;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back] as number;
    if (byte < 0x80) return length;
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needed > back ? length - back : length;
    }
  }
  return length;
}

export function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x09 || code === 0x0d;
}

/** Puts the five entities and the character references in place; `text` must not end inside of one. */
export function resolveReferences(text: string): string {
  let at = text.indexOf("&");
  if (at < 0) return text;
  let resolved = "";
  let from = 0;
  while (at >= 0) {
    const end = text.indexOf(";", at);
    const reference = text.slice(at + 1, end < 0 || end > at + MAX_TAIL ? at + MAX_TAIL : end);
    if (end < 0 || reference.length > MAX_REFERENCE || end > at + MAX_TAIL) throw brokenReference(reference);
    resolved += text.slice(from, at) + resolve(reference);
    from = end + 1;
    at = text.indexOf("&", from);
  }
  return resolved + text.slice(from);
}

/** Where text that goes on in the next chunk has to be cut so that no reference is torn. */
export function referenceTail(text: string, from: number, to: number): number {
  const earliest = Math.max(from, to - MAX_TAIL);
  for (let at = to - 1; at >= earliest; at--) {
    const code = text.charCodeAt(at);
    if (code === 0x3b) return to;
    if (code === AMPERSAND) return at;
  }
  return to;
}

function resolve(reference: string): string {
  if (reference.charCodeAt(0) === HASH) return String.fromCodePoint(characterReference(reference));
  const value = ENTITIES.get(reference);
  if (value === undefined) throw brokenReference(reference);
  return value;
}

/** XML 1.0 4.1. */
function characterReference(reference: string): number {
  const hex = /^#x([0-9a-fA-F]+)$/.exec(reference);
  const decimal = /^#([0-9]+)$/.exec(reference);
  const code = hex ? Number.parseInt(hex[1] as string, 16) : decimal ? Number.parseInt(decimal[1] as string, 10) : -1;
  if (!isLegal(code)) throw notWellFormed("a character reference that names none");
  return code;
}

function isLegal(code: number): boolean {
  if (code < 0x20) return code === 0x09 || code === 0x0a || code === 0x0d;
  return code <= 0xd7ff || (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff);
}

/** RFC 6120 11.1: a reference to any other entity is restricted; an ampersand that begins none is just wrong. */
function brokenReference(text: string): XmlError {
  return /^[^\s#&<;=]+$/.test(text)
    ? new XmlError("restricted-xml", "an entity that is not predefined")
    : notWellFormed("an ampersand that begins no reference");
}
