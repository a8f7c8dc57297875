import type { Codec, ExpiringStore } from "../../specs.ts";
import { encodeBounded, plainKey } from "../bounds.ts";
import { type Database, rows, type Steps } from "./database.ts";
import { insertMissing, removeRows, upsert } from "./dialects.ts";
import { placed } from "./place.ts";
import { single } from "./single.ts";

/** Every so many writes of a store, what has expired is removed, so many rows at most: twice what was written meanwhile. */
const WRITES = 50;
const REMOVED = 100;

/** What expires, in the table that all kinds share. */
export function expiringStore<T>(
  database: Database,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
  now: () => number,
): ExpiringStore<T> {
  const { build, dialect, run, transact } = database;
  let writes = 0;
  const row = (key: string, value: T, ttl: number) => ({
    kind,
    ...placed(plainKey(key)),
    value: encodeBounded(codec, value, kind, maxValueBytes),
    expires: Math.ceil(now() + ttl),
  });

  async function written(): Promise<void> {
    writes = (writes + 1) % WRITES;
    // What was written stays written if this fails; another write tries again.
    if (writes === 0) await removeExpired().catch(() => {});
  }

  async function removeExpired(): Promise<void> {
    const late = now();
    const expired = await run(
      build
        .selectFrom("expiring_items")
        .select(["kind", "key"])
        .where("expires", "<=", late)
        .orderBy("expires")
        .limit(REMOVED),
    );
    for (const each of new Set(expired.map((item) => item.kind))) {
      const keys = expired.filter((item) => item.kind === each).map(({ key }) => key);
      // Another node may have written one of them anew.
      await run(
        build
          .deleteFrom("expiring_items")
          .where("kind", "=", each)
          .where("key", "in", keys)
          .where("expires", "<=", late),
      );
    }
  }

  /** One statement replaces what has expired, and leaves alone what has not. */
  function addAtOnce(item: ReturnType<typeof row>) {
    return build
      .insertInto("expiring_items")
      .values(item)
      .onConflict((conflict) =>
        conflict
          .columns(["kind", "key"])
          .doUpdateSet({ long_key: item.long_key, value: item.value, expires: item.expires })
          .where("expiring_items.expires", "<=", now()),
      )
      .returning("key");
  }

  function* addInSteps(item: ReturnType<typeof row>): Steps<number> {
    yield* rows(
      build
        .deleteFrom("expiring_items")
        .where("kind", "=", kind)
        .where("key", "=", item.key)
        .where("expires", "<=", now()),
    );
    return (yield* insertMissing(database, "expiring_items", [item], "key")).length;
  }

  return {
    async get(key) {
      const [found] = await run(
        build
          .selectFrom("expiring_items")
          .select("value")
          .where("kind", "=", kind)
          .where("key", "=", placed(plainKey(key)).key)
          .where("expires", ">", now()),
      );
      return found && codec.decode(found.value);
    },

    async set(key, value, ttl) {
      const names = ["value", "expires"] as const;
      await run(upsert(database, "expiring_items", row(key, value, ttl), ["kind", "key"], names));
      await written();
    },

    async add(key, value, ttl) {
      const item = row(key, value, ttl);
      const made = dialect === "mysql" ? await transact(() => addInSteps(item)) : (await run(addAtOnce(item))).length;
      if (made > 0) await written();
      return made > 0;
    },

    async take(key) {
      const place = placed(plainKey(key)).key;
      const [taken] = await single(database, () =>
        removeRows(database, "expiring_items", (item) => item.and([item("kind", "=", kind), item("key", "=", place)]), [
          "value",
          "expires",
        ]),
      );
      return taken !== undefined && Number(taken.expires) > now() ? codec.decode(taken.value) : undefined;
    },
  };
}
