/**
 * Places between the ids of an archive, as they are written in the terms of an index: before or behind all ids that
 * begin with some digits. Riak reads an index upwards only, so each item stands in a second one under its reversed id,
 * and a range is reversed with it.
 */
import { archiveBound, isArchiveId } from "../../archive-id.ts";
import type { ArchiveRange } from "../../specs.ts";

const DIGITS = "0123456789abcdefghijklmnopqrstuv";
/** Above all digits. */
const ABOVE = "~";

/** Digits, and a "~" at the end where the cut is behind the ids that begin so, and not before them. */
export type Cut = string;

const FIRST: Cut = "";
const LAST: Cut = ABOVE;

/** Before the first of some ids, and behind the last of them. */
export interface Cuts {
  readonly low: Cut;
  readonly high: Cut;
}

/** The id whose place, counted from the other end, is this one's. */
export function reversedId(id: string): string {
  let reversed = "";
  for (const digit of id) reversed += DIGITS[DIGITS.length - 1 - DIGITS.indexOf(digit)];
  return reversed;
}

/** What times and ids make of a range; undefined if nothing can be in it. */
export function cutsOf({ start, end, after, before }: ArchiveRange): Cuts | undefined {
  for (const id of [after, before]) if (id !== undefined && !isArchiveId(id)) return undefined;
  const low = later(start === undefined ? FIRST : archiveBound(start), after === undefined ? FIRST : after + ABOVE);
  const high = earlier(end === undefined ? LAST : archiveBound(Math.floor(end) + 1), before ?? LAST);
  return low < high ? { low, high } : undefined;
}

export function reversedCuts({ low, high }: Cuts): Cuts {
  return { low: reversedCut(high), high: reversedCut(low) };
}

function reversedCut(cut: Cut): Cut {
  return cut.endsWith(ABOVE) ? reversedId(cut.slice(0, -ABOVE.length)) : reversedId(cut) + ABOVE;
}

function later(a: Cut, b: Cut): Cut {
  return a > b ? a : b;
}

function earlier(a: Cut, b: Cut): Cut {
  return a < b ? a : b;
}
