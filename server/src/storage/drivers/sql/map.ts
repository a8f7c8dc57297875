import { createHash } from "node:crypto";
import type { Codec, MapStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { type Database, rows } from "./database.ts";

/** Longest key, in bytes, that is its own place in the index. */
const MAX_INDEXED_KEY_BYTES = 255;

/** Items of an owner, in the table that all kinds share. */
export function mapStore<T>(
  { build, locksRows, run, transact }: Database,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
): MapStore<T> {
  const select = (owner: string, place: Place) =>
    build
      .selectFrom("map_items")
      .select("value")
      .where("kind", "=", kind)
      .where("owner", "=", owner)
      .where("key", "=", place.key);
  const insert = (owner: string, place: Place, value: string) =>
    build.insertInto("map_items").values({ kind, owner, ...place, value });
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
      await run(
        insert(bare, placed(key), stored).onConflict((conflict) =>
          conflict.columns(["kind", "owner", "key"]).doUpdateSet({ value: stored }),
        ),
      );
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
          const made = yield* rows(
            insert(bare, place, stored)
              .onConflict((conflict) => conflict.doNothing())
              .returning("key"),
          );
          if (made.length > 0) return kept;
          // There was no row to lock, and another writer made it first: decide again on what it wrote.
        }
      }),

    async remove({ bare }, key) {
      await run(remove(bare, placed(key)));
    },

    async clear({ bare }) {
      await run(build.deleteFrom("map_items").where("kind", "=", kind).where("owner", "=", bare));
    },
  };
}

interface Place {
  readonly key: string;
  readonly long_key: string | null;
}

/**
 * Where a key stands in the index. PostgreSQL indexes 2704 bytes at most, while two long addresses (RFC 7622 3.1
 * allows 3071 bytes each) need more: a long key is found by its digest, behind a character no XML text can hold.
 */
function placed(key: string): Place {
  if (Buffer.byteLength(key) <= MAX_INDEXED_KEY_BYTES) return { key, long_key: null };
  return { key: `\u0001${createHash("sha256").update(key).digest("base64")}`, long_key: key };
}
