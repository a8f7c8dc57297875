/** What all stores of the driver stand on. */
import { StorageError } from "../../specs.ts";
import type { RiakClient } from "./client.ts";
import type { Pushes } from "./pushes.ts";
import type { Turns } from "./turns.ts";
import type { Place } from "./wire.ts";

export interface Ground {
  readonly client: RiakClient;
  readonly turns: Turns;
  readonly pushes: Pushes;
  /** Bytes of one encoded value. */
  readonly valueBytes: number;
}

/** The index that every object of a bucket stands in, in the order of its parts: table, owner, id. */
export const BY_PLACE = "place";
/** By table and time, across all owners. */
export const BY_TIME = "time";

/** Requests that one call of a store has under way at a time. */
const PARALLEL = 16;

/** Runs for each, a few at a time; results in order. Begins no more after a failure, and rejects when all that was begun is over. */
export async function forEach<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  async function work(): Promise<void> {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await run(items[index] as T);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  }
  const outcomes = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL, items.length) }, work));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return results;
}

/** Index entries asked for at a time, at most. */
export const PAGE = 1000;

/** The entries of an index in a range, so many at most, a page at a time. */
export async function* pagesOf(
  client: RiakClient,
  bucket: string,
  index: string,
  range: readonly [string, string],
  most = Number.POSITIVE_INFINITY,
) {
  let continuation: string | undefined;
  for (let left = most; left > 0; ) {
    const page = await client.query(bucket, index, range, Math.min(left, PAGE), continuation);
    // The page behind the last entry may be empty.
    if (page.entries.length > 0) yield page.entries;
    left -= page.entries.length;
    continuation = page.continuation;
    if (continuation === undefined) return;
  }
}

/** Removes every object that an index names in a range. */
export async function sweep(client: RiakClient, bucket: string, index: string, range: readonly [string, string]) {
  for await (const entries of pagesOf(client, bucket, index, range)) {
    // An object with several entries in the range is named more than once.
    const keys = [...new Set(entries.map(({ key }) => key))];
    await forEach(keys, (key) => client.remove({ bucket, key }));
  }
}

/** How often an object is looked at again after it was removed. */
const LOOKS = 5;

/** Removes an object for good: what was written while it was removed stays beside the removal, and is removed as well. */
export async function removeForGood(client: RiakClient, place: Place): Promise<void> {
  for (let look = 0; look <= LOOKS; look++) {
    const { siblings, vclock } = await client.fetch(place);
    if (siblings.every((body) => body === undefined)) return;
    await client.remove(place, vclock);
  }
}

/** Reads an object of ours; what others put there is no answer. */
export function parsed<D>(bucket: string, body: string): D {
  try {
    return JSON.parse(body) as D;
  } catch (error) {
    throw new StorageError(`riak: an object of ${bucket} is not one of Meerkat's`, { cause: error });
  }
}
