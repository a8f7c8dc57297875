import { createHash, randomFillSync } from "node:crypto";

/** Digits whose order by bytes is their order by value. */
const DIGITS = "0123456789abcdefghijklmnopqrstuv";
/** 55 bits of microseconds since 1970, then 65 of chance. */
const TIME_DIGITS = 11;
const RANDOM_DIGITS = 13;
const ID = new RegExp(`^[${DIGITS}]{${TIME_DIGITS + RANDOM_DIGITS}}$`);
/** Microseconds in a number without losing any: until the year 2255. */
const LATEST_MS = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

/**
 * An id for an item that is archived now: behind every other that this process has made, whatever its clock does, and not
 * to be guessed (XEP-0313 5.1).
 */
export const archiveId = archiveIds();

/** Makes ids as `archiveId` does, each behind the others of the same maker. */
export function archiveIds(): (now?: number) => string {
  let last = 0;
  return (now = Date.now()) => {
    last = Math.max(last + 1, now * 1000);
    return digits(last) + chance();
  };
}

/** An id for an item of another time, in milliseconds since 1970, as an import brings them; `nth` orders those of one millisecond. */
export function archiveIdAt(at: number, nth = 0): string {
  return digits(bounded(at) * 1000 + Math.min(nth, 999)) + chance();
}

/**
 * The id of an item of another time, in microseconds since 1970, that is always the same for the same seed: an import that is
 * repeated finds what it has brought before.
 */
export function archiveIdOf(at: number, seed: string): string {
  const digest = createHash("sha256").update(seed).digest();
  let text = digits(Math.min(Math.max(Math.floor(at), 0), Number.MAX_SAFE_INTEGER));
  for (const byte of digest.subarray(0, RANDOM_DIGITS)) text += DIGITS[byte & 31];
  return text;
}

/** When the item of an id was archived, milliseconds since 1970; undefined for what is no id. */
export function archiveTime(id: string): number | undefined {
  if (!ID.test(id)) return undefined;
  return Math.floor(micros(id) / 1000);
}

function micros(id: string): number {
  let value = 0;
  for (const digit of id.slice(0, TIME_DIGITS)) value = value * DIGITS.length + DIGITS.indexOf(digit);
  return value;
}

/** Whether a text has the form of an archive's ids. */
export function isArchiveId(text: string): boolean {
  return ID.test(text);
}

/** An id for an item that is put behind the one that has `last`, now or, where that one's clock was ahead, right after it. */
export function archiveIdBehind(last: string | undefined, now = Date.now()): string {
  const id = archiveId(now);
  if (last === undefined || last < id) return id;
  return digits(micros(last) + 1) + chance();
}

/** The text that all ids of this time or later, milliseconds since 1970, are behind, and no earlier one. */
export function archiveBound(at: number): string {
  return digits(bounded(at) * 1000);
}

function bounded(at: number): number {
  return Math.min(Math.max(Math.floor(at), 0), LATEST_MS);
}

function digits(micros: number): string {
  let text = "";
  let rest = micros;
  for (let i = 0; i < TIME_DIGITS; i++) {
    text = DIGITS[rest % DIGITS.length] + text;
    rest = Math.floor(rest / DIGITS.length);
  }
  return text;
}

/** The system is asked for so much at a time: each question costs as much as fifty ids. */
const pool = new Uint8Array(RANDOM_DIGITS * 256);
let used = pool.length;

function chance(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let text = "";
  for (const end = used + RANDOM_DIGITS; used < end; used++) {
    text += DIGITS[(pool[used] as number) & 31];
    // Nobody finds in memory what was given out.
    pool[used] = 0;
  }
  return text;
}
