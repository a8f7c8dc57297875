import type { Codec, KeyValueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import type { Database } from "./database.ts";

/** One value an owner, in the table that all kinds share. */
export function keyValueStore<T>(
  { build, run }: Database,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
): KeyValueStore<T> {
  return {
    async get({ bare }) {
      const [found] = await run(
        build.selectFrom("key_values").select("value").where("kind", "=", kind).where("owner", "=", bare),
      );
      return found && codec.decode(found.value);
    },

    async set({ bare }, value) {
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      await run(
        build
          .insertInto("key_values")
          .values({ kind, owner: bare, value: stored })
          .onConflict((conflict) => conflict.columns(["kind", "owner"]).doUpdateSet({ value: stored })),
      );
    },

    async remove({ bare }) {
      await run(build.deleteFrom("key_values").where("kind", "=", kind).where("owner", "=", bare));
    },
  };
}
