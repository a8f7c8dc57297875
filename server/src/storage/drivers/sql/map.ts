import type { Codec, MapStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { type Database, rows } from "./database.ts";
import { insertMissing, upsert } from "./dialects.ts";
import { type Place, placed } from "./place.ts";

/** Owners asked for in one query. */
const MAX_OWNERS = 512;

/** Items of an owner, in the table that all kinds share. */
export function mapStore<T>(database: Database, kind: string, codec: Codec<T>, maxValueBytes: number): MapStore<T> {
  const { build, locksRows, run, transact } = database;
  const select = (owner: string, place: Place) =>
    build
      .selectFrom("map_items")
      .select("value")
      .where("kind", "=", kind)
      .where("owner", "=", owner)
      .where("key", "=", place.key);
  const put = (owner: string, place: Place, value: string) =>
    upsert(database, "map_items", { kind, owner, ...place, value }, ["kind", "owner", "key"], ["value"]);
  const remove = (owner: string, place: Place) =>
    build.deleteFrom("map_items").where("kind", "=", kind).where("owner", "=", owner).where("key", "=", place.key);

  return {
    async get({ bare }, key) {
      const [found] = await run(select(bare, placed(key)));
      return found && codec.decode(found.value);
    },

    async list({ bare }) {
      const found = await run(
        build
          .selectFrom("map_items")
          .select(["key", "long_key", "value"])
          .where("kind", "=", kind)
          .where("owner", "=", bare),
      );
      return new Map(found.map(({ key, long_key, value }) => [long_key ?? key, codec.decode(value)]));
    },

    async set({ bare }, key, value) {
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      await run(put(bare, placed(key), stored));
    },

    update: ({ bare }, key, change) =>
      transact(function* () {
        const place = placed(key);
        for (;;) {
          const query = select(bare, place);
          const [found] = yield* rows(locksRows ? query.forUpdate() : query);
          const kept = change(found && codec.decode(found.value));
          if (kept === undefined) {
            // A writer that made the item since it was found missing comes after this removal of nothing.
            if (found !== undefined) yield* rows(remove(bare, place));
            return undefined;
          }
          const stored = encodeBounded(codec, kept, kind, maxValueBytes);
          if (found !== undefined) {
            yield* rows(
              build
                .updateTable("map_items")
                .set({ value: stored })
                .where("kind", "=", kind)
                .where("owner", "=", bare)
                .where("key", "=", place.key),
            );
            return kept;
          }
          const row = { kind, owner: bare, ...place, value: stored };
          const made = yield* insertMissing(database, "map_items", [row], "key");
          if (made.length > 0) return kept;
          // There was no row to lock, and another writer made it first: decide again on what it wrote.
        }
      }),

    updateTogether: ({ bare }, keys, change) =>
      transact(function* () {
        // In one order everywhere, so that two that want the same items never wait for each other.
        const places = new Map(keys.map((key) => [placed(key).key, key] as const).sort(byPlace));
        /** Made by this transaction to have something to lock: nobody else has seen them. */
        const made = new Set<string>();
        let found: readonly { key: string; value: string }[];
        for (;;) {
          const query = build
            .selectFrom("map_items")
            .select(["key", "value"])
            .where("kind", "=", kind)
            .where("owner", "=", bare)
            .where("key", "in", [...places.keys()])
            .orderBy("key");
          found = yield* rows(locksRows ? query.forUpdate() : query);
          const locked = new Set(found.map(({ key }) => key));
          const missing = [...places].filter(([place]) => !locked.has(place));
          if (missing.length === 0 || !locksRows) break;
          const empty = missing.map(([, key]) => ({ kind, owner: bare, ...placed(key), value: "" }));
          const inserted = yield* insertMissing(database, "map_items", empty, "key");
          for (const key of inserted) made.add(key);
          // Where another writer was faster, its item is there to be locked now, or gone again.
          if (inserted.length === missing.length) break;
        }
        const present = new Map(
          found.flatMap(({ key, value }) => (made.has(key) ? [] : [[places.get(key) as string, value] as const])),
        );
        const kept = change(new Map([...present].map(([key, value]) => [key, codec.decode(value)])));
        for (const [place, key] of places) {
          const value = kept.get(key);
          if (value === undefined) {
            if (present.has(key) || made.has(place)) yield* rows(remove(bare, placed(key)));
            continue;
          }
          const stored = encodeBounded(codec, value, kind, maxValueBytes);
          if (stored === present.get(key)) continue;
          yield* rows(put(bare, placed(key), stored));
        }
      }),

    async getEach(owners, key) {
      if (owners.length === 0) return new Map();
      const found: (readonly [string, T])[] = [];
      for (let start = 0; start < owners.length; start += MAX_OWNERS) {
        const some = owners.slice(start, start + MAX_OWNERS).map(({ bare }) => bare);
        const query = build
          .selectFrom("map_items")
          .select(["owner", "value"])
          .where("kind", "=", kind)
          .where("key", "=", placed(key).key)
          .where("owner", "in", padded(some));
        for (const { owner, value } of await run(query)) found.push([owner, codec.decode(value)]);
      }
      return new Map(found);
    },

    async remove({ bare }, key) {
      await run(remove(bare, placed(key)));
    },

    async clear({ bare }) {
      await run(build.deleteFrom("map_items").where("kind", "=", kind).where("owner", "=", bare));
    },
  };
}

function byPlace([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

/** Up to the next power of two, the last one again and again, so that there are few different texts to prepare. */
function padded(owners: readonly string[]): string[] {
  const length = 2 ** Math.ceil(Math.log2(owners.length));
  return [...owners, ...new Array<string>(length - owners.length).fill(owners.at(-1) as string)];
}
