/**
 * How addresses and ids become the names of objects and the terms of indexes. Both are visible ASCII, since HTTP
 * headers carry nothing else unharmed, and are bounded, since Riak refuses headers of 8 KiB.
 */
import { createHash } from "node:crypto";

/** Longest encoded part of a name that is written out; a longer one is named by its digest. */
const MAX_PART = 200;

/** Ends every part, and is lower than all that a part is made of, so that names sort part by part. */
const STOP = "!";
/** Right behind STOP, and in no term: where the terms that begin with some parts end. */
const PAST = '"';

/** The name of an object: parts percent-encoded as in an address (RFC 3986 2.3), long ones by their digest. */
export function objectKey(...parts: readonly string[]): string {
  return parts.map((part) => bounded(percentEncoded(part), part, "=")).join(STOP);
}

/** The beginning that all terms about these parts have. */
export function termOf(...parts: readonly string[]): string {
  return parts.map((part) => bounded(sortable(part), part, "%") + STOP).join("");
}

/** A term whose last part can be read back, whatever its length, and whose order is that of the last part's bytes. */
export function orderedTerm(first: string, last: string): string {
  return termOf(first) + sortable(last) + STOP;
}

/** The last part of an ordered term. */
export function lastOf(term: string): string {
  return unsorted(term.slice(term.lastIndexOf(STOP, term.length - 2) + 1, -1));
}

/** Behind this term or beginning, and behind all terms that it begins. */
export function past(term: string): string {
  return term.slice(0, -STOP.length) + PAST;
}

/** Longest beginning of a term that is sent as the start of a range: it has to fit a request line. */
const MAX_START = 1000;

/** At or before where a range starts; what it lets in too early is for the caller to leave out. */
export function rangeStart(term: string): string {
  return term.slice(0, MAX_START);
}

function percentEncoded(text: string): string {
  return escaped(text, isUnreserved, () => "%");
}

function isUnreserved(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x5f ||
    byte === 0x7e
  );
}

/** Bytes from here to there stand for themselves; "#" is lower than them, and "~" is higher. */
const LOWEST = 0x2d;
const HIGHEST = 0x7a;

/** Text whose order by bytes is that of `text` by its UTF-8 bytes. */
export function sortable(text: string): string {
  return escaped(
    text,
    (byte) => byte >= LOWEST && byte <= HIGHEST,
    (byte) => (byte < LOWEST ? "#" : "~"),
  );
}

/** What `sortable` was made of. */
export function unsorted(encoded: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < encoded.length; at++) {
    const char = encoded[at];
    if (char === "#" || char === "~") {
      bytes.push(Number.parseInt(encoded.slice(at + 1, at + 3), 16));
      at += 2;
    } else bytes.push(encoded.charCodeAt(at));
  }
  return Buffer.from(bytes).toString();
}

function escaped(text: string, isPlain: (byte: number) => boolean, mark: (byte: number) => string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    encoded += isPlain(byte) ? String.fromCharCode(byte) : mark(byte) + byte.toString(16).padStart(2, "0");
  }
  return encoded;
}

/** `mark` begins no encoded part, so that no digest can be taken for a name. */
function bounded(encoded: string, part: string, mark: string): string {
  if (encoded.length <= MAX_PART) return encoded;
  return mark + createHash("sha256").update(part).digest("hex");
}
