import { archiveBound, isArchiveId } from "../../archive-id.ts";
import type { Codec, QueueStore } from "../../specs.ts";
import { LAST } from "../archive-range.ts";
import type { Batches } from "../batches.ts";
import { encodeBounded } from "../bounds.ts";
import { padded } from "./archive-queries.ts";
import type { Database } from "./database.ts";
import { removeRows } from "./dialects.ts";
import type { Pushed } from "./queue-pushes.ts";
import { breather, removeBelow, removeOld } from "./removals.ts";
import { single } from "./single.ts";

/** Rows read or removed by one statement. */
const SLICE = 256;

/** What waits for owners, in the table that all kinds share. */
export function queueStore<T>(
  database: Database,
  pushes: Batches<Pushed, "stored" | "full">,
  kind: string,
  codec: Codec<T>,
  maxValueBytes: number,
): QueueStore<T> {
  const { build, run } = database;
  const items = (owner: string) => build.selectFrom("queue_items").where("kind", "=", kind).where("owner", "=", owner);

  return {
    async push({ bare }, value, limit) {
      const stored = encodeBounded(codec, value, kind, maxValueBytes);
      const row = { kind, owner: bare, value: stored, limit };
      return pushes.add(`${kind} ${bare}`, row, stored.length + bare.length + 100);
    },

    async list({ bare }, max, after = "") {
      const found: { id: string; value: string }[] = [];
      const breathe = breather();
      let behind = after;
      while (found.length < max) {
        const some = Math.min(max - found.length, SLICE);
        const query = items(bare).select(["id", "value"]).where("id", ">", behind).orderBy("id").limit(some);
        const slice = await run(query);
        found.push(...slice);
        if (slice.length < some) break;
        behind = slice.at(-1)?.id ?? behind;
        await breathe();
      }
      return found.map(({ id, value }) => ({ id, value: codec.decode(value) }));
    },

    async remove({ bare }, ids) {
      const wanted = [...new Set(ids)].filter(isArchiveId).sort();
      const gone: string[] = [];
      try {
        for (let start = 0; start < wanted.length; start += SLICE) {
          const some = padded(wanted.slice(start, start + SLICE));
          const removed = await single(database, () =>
            removeRows(
              database,
              "queue_items",
              (row) => row.and([row("kind", "=", kind), row("owner", "=", bare), row("id", "in", some)]),
              ["id"],
            ),
          );
          gone.push(...removed.map(({ id }) => id).sort());
        }
      } catch (error) {
        // Nobody else will be told of what was taken; the rest is there still.
        if (gone.length === 0) throw error;
      }
      return gone;
    },

    async size({ bare }) {
      const [found] = await run(items(bare).select(({ fn }) => fn.countAll().as("items")));
      return Number(found?.items);
    },

    expire: (before) => removeOld(database, "queue_items", kind, archiveBound(before)),
    clear: ({ bare }) => removeBelow(database, "queue_items", kind, bare, LAST),
  };
}
