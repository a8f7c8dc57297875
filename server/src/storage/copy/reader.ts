import { setImmediate as turn } from "node:timers/promises";
import type { Capability, Contents, StoredRecord } from "../specs.ts";
import { type Persistence, persistently } from "./persistence.ts";

/** Where the target keeps how far a copy has come; no copy takes it along. */
export const STATE_TABLE = "storage_copy";

export interface Page {
  readonly records: readonly StoredRecord[];
  readonly next: string | undefined;
}

/** Records of a page at most, and the bytes that pages are meant to have. */
const MAX_RECORDS = 500;
const MEANT_BYTES = 2 * 1024 * 1024;

/**
 * The pages of a capability, from a place on. The next is asked for while one is worked on; there are fewer records on a page
 * when they are large, so that two pages fit into memory.
 */
export async function* pages(
  contents: Contents,
  capability: Capability,
  from: string | undefined,
  persistence: Persistence,
): AsyncGenerator<Page> {
  let max = MAX_RECORDS / 10;
  const ask = (place: string | undefined): Promise<Page> => {
    const asked = persistently(persistence, async () => {
      const { records, next } = await contents.read(capability, max, place);
      return { records, next };
    });
    // It is heard of when its turn comes, or never.
    asked.catch(() => {});
    return asked;
  };
  for (let pending: Promise<Page> | undefined = ask(from); pending !== undefined; ) {
    const { records, next }: Page = await pending;
    if (records.length > 0) {
      const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
      max = Math.max(1, Math.min(MAX_RECORDS, Math.floor((MEANT_BYTES * records.length) / bytes)));
    }
    pending = next === undefined ? undefined : ask(next);
    // A driver inside this process answers at once: without a turn of the event loop nobody would hear of Ctrl-C.
    await turn();
    persistence.signal.throwIfAborted();
    yield { records: records.filter(isKept), next };
  }
}

function isKept(record: StoredRecord): boolean {
  return record.capability === "accounts" || record.table !== STATE_TABLE;
}

function sizeOf(record: StoredRecord): number {
  return record.capability === "accounts" ? 1000 : record.value.length + 100;
}
