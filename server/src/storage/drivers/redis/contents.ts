/** All that is kept, for copies: found by SCAN, node after node. */
import type { Redis } from "ioredis";
import { type Capability, type Contents, StorageError, type StoredRecord } from "../../specs.ts";
import { checkedKind, checkedValue, positive } from "../bounds.ts";
import { type Kind, keysOf, type Place, pattern, placeOf } from "./keys.ts";
import { parts } from "./queue.ts";
import type { Requests } from "./requests.ts";
import type { Shared } from "./stores.ts";

const KINDS = { keyValue: "kv", map: "map", queue: "queue", expiring: "fact" } as const satisfies Partial<
  Record<Capability, Kind>
>;
type Kept = keyof typeof KINDS;

/** Keys that one step looks at; the same at every call, so that a cursor stands for the same keys again. */
const SCAN_COUNT = 100;

/** Records sent to Redis together. */
const WRITTEN_AT_ONCE = 250;

/** Where a reading goes on: the node, its cursor, and the last record taken of what that cursor gives. */
interface Bookmark {
  readonly node: number;
  readonly cursor: string;
  readonly last?: string | undefined;
}

export function contents(shared: Shared): Contents {
  const { requests, maxValueBytes } = shared;
  return {
    holds: Object.keys(KINDS) as Kept[],

    async read(capability, max, after) {
      positive("max", max, max);
      const kept = capability as Kept;
      if (!(kept in KINDS)) throw new TypeError(`there are no records of ${capability}`);
      const nodes = await inOrder(requests);
      let at: Bookmark | undefined = after === undefined ? { node: 0, cursor: "0" } : readBookmark(after);
      const records: StoredRecord[] = [];
      while (at !== undefined && records.length < max) {
        const { node, cursor, last = "" }: Bookmark = at;
        const client = nodes[node];
        if (client === undefined)
          throw new StorageError(`${requests.where}: a master has gone since the reading began`);
        const [next, keys] = await requests.run(
          () => client.scan(cursor, "MATCH", pattern(shared.prefix, KINDS[kept]), "COUNT", SCAN_COUNT),
          "again",
        );
        const rest = await behind(shared, kept, keys, last, max - records.length);
        const taken = rest.slice(0, max - records.length);
        records.push(...taken.map(([, record]) => record));
        if (taken.length < rest.length) at = { node, cursor, last: taken.at(-1)?.[0] ?? last };
        else if (next !== "0") at = { node, cursor: next };
        else at = node + 1 < nodes.length ? { node: node + 1, cursor: "0" } : undefined;
      }
      return { records, next: at && JSON.stringify([at.node, at.cursor, at.last ?? ""]) };
    },

    async write(records) {
      // Only the last of a name counts, and commands that are tried again lose their order.
      const last = new Map<string, StoredRecord>();
      for (const record of records) last.set(nameOf(record), checked(record, maxValueBytes));
      const each = [...last.values()];
      for (let start = 0; start < each.length; start += WRITTEN_AT_ONCE) {
        await Promise.all(each.slice(start, start + WRITTEN_AT_ONCE).map((record) => write(shared, record)));
      }
    },
  };
}

function checked(record: StoredRecord, limit: number): StoredRecord {
  if (record.capability === "accounts") return record;
  checkedValue(record.value, checkedKind(record.table), limit);
  return record;
}

/** One text for records that go to the same place. */
function nameOf(record: StoredRecord): string {
  switch (record.capability) {
    case "keyValue":
      return JSON.stringify([record.capability, record.table, record.owner]);
    case "map":
    case "expiring":
      return JSON.stringify([record.capability, record.table, "owner" in record ? record.owner : "", record.key]);
    case "queue":
      return JSON.stringify([record.capability, record.table, record.owner, record.id]);
    default:
      throw new TypeError(`there are no records of ${record.capability}`);
  }
}

/** The masters, always in one order. */
async function inOrder(requests: Requests): Promise<readonly Redis[]> {
  const name = ({ options }: Redis) => `${options.host}:${options.port}`;
  return [...(await requests.masters())].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

/** Records of these keys in order of their names, behind one: all of them, or more than are wanted. */
async function behind(shared: Shared, kept: Kept, keys: readonly string[], last: string, wanted: number) {
  const from = last.split("\0")[0] as string;
  const inOrder = [...new Set(keys)].filter((key) => key >= from).sort();
  const found: Named[] = [];
  for (let start = 0; start < inOrder.length && found.length <= wanted; start += wanted) {
    const some = inOrder.slice(start, start + wanted);
    const records = (await Promise.all(some.map((key) => recordsOf(shared, kept, key)))).flat();
    records.sort(([a], [b]) => (a < b ? -1 : 1));
    found.push(...records.filter(([name]) => name > last));
  }
  return found;
}

type Named = readonly [name: string, record: StoredRecord];

/** What is behind one key, each record with a name that no other has. */
async function recordsOf({ requests, prefix }: Shared, kept: Kept, key: string): Promise<readonly Named[]> {
  const place = placeOf(prefix, KINDS[kept], key);
  if (place === undefined) return [];
  const { table, of: owner } = place;
  if (kept === "map") {
    const flat = (await requests.script("list", key, [], "again")) as string[];
    return pairs(flat).map(([item, value]) => [
      `${key}\0${item}`,
      { capability: "map", table, owner, key: item, value },
    ]);
  }
  if (kept === "queue") {
    const members = await requests.run((redis) => redis.zrange(key, "0", "-1"), "again");
    return members.map((member) => {
      const [id, value] = parts(member);
      return [`${key}\0${id}`, { capability: "queue", table, owner, id, value }];
    });
  }
  const value = await requests.run((redis) => redis.get(key), "again");
  if (value === null) return [];
  if (kept === "keyValue") return [[key, { capability: "keyValue", table, owner, value }]];
  const expires = await requests.run((redis) => redis.pexpiretime(key), "again");
  // -2: it has died since.
  return expires < 0 ? [] : [[key, { capability: "expiring", table, key: owner, value, expires }]];
}

async function write({ requests, prefix }: Shared, record: StoredRecord): Promise<void> {
  const keyIn = (kept: Kept, { table, of }: Place) => keysOf(prefix, KINDS[kept], table)(of);
  switch (record.capability) {
    case "keyValue": {
      const key = keyIn("keyValue", { table: record.table, of: record.owner });
      await requests.run((redis) => redis.set(key, record.value), "again");
      return;
    }
    case "map": {
      const key = keyIn("map", { table: record.table, of: record.owner });
      await requests.run((redis) => redis.hset(key, record.key, record.value), "again");
      return;
    }
    case "queue": {
      const key = keyIn("queue", { table: record.table, of: record.owner });
      await requests.script("put", key, [record.id, record.value], "again");
      return;
    }
    case "expiring": {
      const key = keyIn("expiring", { table: record.table, of: record.key });
      // A time that has passed removes it.
      await requests.run(
        (redis) => redis.set(key, record.value, "PXAT", Math.max(1, Math.floor(record.expires))),
        "again",
      );
      return;
    }
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] as string, flat[2 * i + 1] as string]);
}

function readBookmark(text: string): Bookmark {
  const [node, cursor, last] = JSON.parse(text) as [number, string, string];
  return { node, cursor, last };
}
