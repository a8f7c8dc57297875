/**
 * Capabilities that a driver lacks, made of its map. They stand in tables of their own there, and promise no more than the
 * map does: what is one step is one `update`, or one `updateTogether`.
 */
import { parseJid } from "../xmpp/jid.ts";
import { checkedKind, encodeBounded } from "./drivers/bounds.ts";
import { expiringOver, ownerOf, textOf, timeOf, withTime } from "./shims/expiring.ts";
import { keyValueOver, ONLY } from "./shims/key-value.ts";
import { isItem, putItem, queueOver } from "./shims/queue.ts";
import type { Capability, Codec, Contents, MapStore, StorageDriver, StoredRecord } from "./specs.ts";

type Shimmed = "keyValue" | "expiring" | "queue";
type ShimmedRecord = StoredRecord & { readonly capability: Shimmed };
type MapRecord = StoredRecord & { readonly capability: "map" };

/** What a shim's table is called in the map. */
const PREFIX: Readonly<Record<Shimmed, string>> = { keyValue: "kv__", expiring: "ex__", queue: "qu__" };
const TEXT: Codec<string> = { encode: (value) => value, decode: (stored) => stored };
/** Records looked through at a time. */
const PAGE = 500;

export interface ShimOptions {
  /** Bytes of one value. The map's own bound is on what a shim adds to it too: 15 bytes for a time. */
  readonly maxValueBytes?: number | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

/** The driver with what can be made of its map. One that others fill is left as it is. */
export function completed(
  driver: StorageDriver,
  { maxValueBytes = Number.POSITIVE_INFINITY, now = Date.now }: ShimOptions = {},
): StorageDriver {
  const { contents } = driver;
  if (driver.map === undefined || driver.readOnly === true) return driver;
  const itemsOf = (capability: Shimmed, table: string) =>
    driver.map?.(`${PREFIX[capability]}${checkedKind(table)}`, TEXT) as MapStore<string>;
  const lacking = (Object.keys(PREFIX) as Shimmed[]).filter(
    // Only its contents tell of all the owners that have something waiting.
    (each) => driver[each] === undefined && (each !== "queue" || contents?.holds.includes("map") === true),
  );
  if (lacking.length === 0) return driver;

  async function* everything(capability: Shimmed, table: string): AsyncGenerator<MapRecord> {
    for (let after: string | undefined, more = true; more; more = after !== undefined) {
      const page = await contents?.read("map", PAGE, after);
      for (const record of page?.records ?? []) {
        if (record.capability === "map" && record.table === `${PREFIX[capability]}${table}`) yield record;
      }
      after = page?.next;
    }
  }

  const bounded = <T>(codec: Codec<T>, table: string): Codec<T> => ({
    encode: (value) => encodeBounded(codec, value, table, maxValueBytes),
    decode: (stored) => codec.decode(stored),
  });
  const made: Pick<StorageDriver, Shimmed> = {
    keyValue: (table, codec) => keyValueOver(itemsOf("keyValue", table), bounded(codec, table)),
    expiring: (table, codec) => expiringOver(itemsOf("expiring", table), bounded(codec, table), now),
    queue: (table, codec) =>
      queueOver(itemsOf("queue", table), bounded(codec, table), () => everything("queue", table)),
  };
  return {
    ...driver,
    migrate: () => driver.migrate(),
    healthy: () => driver.healthy(),
    close: () => driver.close(),
    ...Object.fromEntries(lacking.map((each) => [each, made[each]])),
    ...(contents?.holds.includes("map") && { contents: throughShims(contents, lacking, itemsOf, now) }),
  };
}

/** Contents in which what a shim keeps is what it is for, and not an item of a map. */
function throughShims(
  contents: Contents,
  shims: readonly Shimmed[],
  itemsOf: (capability: Shimmed, table: string) => MapStore<string>,
  now: () => number,
): Contents {
  const isShimmed = (capability: Capability): capability is Shimmed =>
    (shims as readonly string[]).includes(capability);
  const shimOf = (record: StoredRecord) =>
    record.capability === "map" ? shims.find((each) => record.table.startsWith(PREFIX[each])) : undefined;

  const isOfShim = (record: StoredRecord): record is ShimmedRecord => isShimmed(record.capability);

  async function write(record: StoredRecord): Promise<StoredRecord | undefined> {
    if (!isOfShim(record)) return record;
    const items = itemsOf(record.capability, record.table);
    if (record.capability === "queue") {
      const owner = parseJid(record.owner);
      if (owner !== undefined) await putItem(items, owner, record.id, record.value);
      return undefined;
    }
    const table = `${PREFIX[record.capability]}${record.table}`;
    if (record.capability === "keyValue") {
      return { capability: "map", table, owner: record.owner, key: ONLY, value: record.value };
    }
    const { key, value, expires } = record;
    return { capability: "map", table, owner: ownerOf(key).bare, key, value: withTime(expires, value) };
  }

  return {
    holds: [...contents.holds, ...shims],
    async read(capability, max, after) {
      const { records, next } = await contents.read(isShimmed(capability) ? "map" : capability, max, after);
      const wanted = records.filter((record) => (isShimmed(capability) ? capability : undefined) === shimOf(record));
      return { records: wanted.flatMap((record) => restored(record, capability, now())), next };
    },
    async write(records) {
      const rest = await Promise.all(records.map(write));
      await contents.write(rest.filter((record) => record !== undefined));
    },
  };
}

/** What a record of the map is for a shim; nothing for what has died, and for what is only the shim's own. */
function restored(record: StoredRecord, capability: Capability, now: number): StoredRecord[] {
  if (record.capability !== "map" || capability === "map") return [record];
  const { owner, key, value } = record;
  const table = record.table.slice(PREFIX[capability as Shimmed].length);
  if (capability === "keyValue") return [{ capability, table, owner, value }];
  if (capability === "queue") return isItem(record) ? [{ capability, table, owner, id: key, value }] : [];
  const expires = timeOf(value);
  return expires > now ? [{ capability: "expiring", table, key, value: textOf(value), expires }] : [];
}
