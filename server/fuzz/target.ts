import type { MaybePromise } from "../src/util/maybe-promise.ts";
import { Random } from "./random.ts";

/** Something that reads what strangers send. */
export interface Target {
  readonly name: string;
  start?(): void;
  /** One input. */
  make(random: Random): Buffer;
  /** Throws when something is wrong with how the input is taken. Returns whether it was taken, not refused. */
  check(input: Buffer, random: Random): MaybePromise<boolean>;
  /** What could not be tried, or was not counted as a fault; for the summary. */
  remarks?(): string;
  stop?(): void;
}

export interface Summary {
  readonly cases: number;
  readonly taken: number;
}

const CLOCK_EVERY = 16;
const SHRINK_MS = 3000;

/**
 * Case after case, each from a seed of its own: the first has `seed`, the next `seed` + 1, so that giving a failed case's
 * seed repeats it at once. Throws at the first fault, with that seed and the smallest input found that shows it.
 */
export async function fuzz(target: Target, seed: number, ms: number): Promise<Summary> {
  const end = performance.now() + ms;
  let taken = 0;
  let cases = 0;
  do {
    for (let n = 0; n < CLOCK_EVERY; n++, cases++) {
      const own = (seed + cases) >>> 0;
      const random = new Random(own);
      const input = target.make(random);
      const fault = await faultOf(target, input, own);
      if (fault instanceof Error) throw await report(target, input, own, fault);
      if (fault) taken++;
    }
  } while (performance.now() < end);
  return { cases, taken };
}

/** The fault, or whether the input was taken. How an input is cut follows from the seed too. */
async function faultOf(target: Target, input: Buffer, seed: number): Promise<Error | boolean> {
  try {
    return await target.check(input, new Random(~seed));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function report(target: Target, input: Buffer, seed: number, fault: Error): Promise<Error> {
  const small = await shrink(target, input, seed);
  const how = `make fuzz SEED=${seed} TARGET="${target.name}"`;
  const text = `${fault.message}\n\nagain: ${how}\nbytes, the smallest found: ${JSON.stringify(small.toString("latin1"))}`;
  return new Error(text, { cause: fault });
}

/** Leaves out halves, quarters and so on, as long as the rest is at fault. */
async function shrink(target: Target, input: Buffer, seed: number): Promise<Buffer> {
  const end = performance.now() + SHRINK_MS;
  let best = input;
  for (let size = input.length >> 1; size > 0 && performance.now() < end; ) {
    let smaller = false;
    for (let from = 0; from < best.length && performance.now() < end; from += size) {
      const rest = Buffer.concat([best.subarray(0, from), best.subarray(from + size)]);
      if (!((await faultOf(target, rest, seed)) instanceof Error)) continue;
      best = rest;
      from -= size;
      smaller = true;
    }
    if (!smaller) size >>= 1;
  }
  return best;
}
