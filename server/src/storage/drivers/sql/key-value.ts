import type { Codec, KeyValueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import type { Database } from "./database.ts";
import { upsert } from "./dialects.ts";

/** One value an owner, in the table that all kinds share. */
export function keyValueStore<T>(
  database: Database,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
): KeyValueStore<T> {
  const { build, run } = database;
  return {
    async get({ bare }) {
      const [found] = await run(
        build.selectFrom("key_values").select("value").where("kind", "=", kind).where("owner", "=", bare),
      );
      return found && codec.decode(found.value);
    },

    async set({ bare }, value) {
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      await run(upsert(database, "key_values", { kind, owner: bare, value: stored }, ["kind", "owner"], ["value"]));
    },

    async remove({ bare }) {
      await run(build.deleteFrom("key_values").where("kind", "=", kind).where("owner", "=", bare));
    },
  };
}
