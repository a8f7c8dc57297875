import { archiveBound, archiveId } from "../../archive-id.ts";
import type { Codec, QueueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { keysOf, pattern } from "./keys.ts";
import type { Shared } from "./stores.ts";

/** Keys that one step of a search through a whole node looks at. */
const SCAN_COUNT = 500;

/** One sorted set for each owner. An id is never used twice, for a part of it is chance. */
export function queueStore<T>(shared: Shared, table: string, codec: Codec<T>): QueueStore<T> {
  const { requests, prefix, maxValueBytes } = shared;
  const keyOf = keysOf(prefix, "queue", table);
  return {
    async push({ bare }, value, limit) {
      const stored = encodeBounded(codec, value, table, maxValueBytes);
      const pushed = await requests.script("push", keyOf(bare), [limit, archiveId().slice(CHANCE_AT), stored], "once");
      return pushed === 1 ? "stored" : "full";
    },

    async list({ bare }, max, after) {
      if (max < 1) return [];
      const min = after === undefined ? "-" : `(${after}\u0001`;
      const members = await requests.run(
        (redis) => redis.zrange(keyOf(bare), min, "+", "BYLEX", "LIMIT", 0, max),
        "again",
      );
      return members.map((member) => {
        const [id, stored] = parts(member);
        return { id, value: codec.decode(stored) };
      });
    },

    async remove({ bare }, ids) {
      const inOrder = [...new Set(ids)].filter((id) => !id.includes("\0")).sort();
      if (inOrder.length === 0) return [];
      return (await requests.script("pull", keyOf(bare), inOrder, "once")) as string[];
    },

    size: ({ bare }) => requests.run((redis) => redis.zcard(keyOf(bare)), "again"),

    async expire(before) {
      const bound = archiveBound(before);
      for (const node of await requests.masters()) {
        let cursor = "0";
        do {
          const [next, keys] = await requests.run(
            () => node.scan(cursor, "MATCH", pattern(prefix, "queue", table), "COUNT", SCAN_COUNT),
            "again",
          );
          cursor = next;
          await requests.run(
            (redis) => Promise.all(keys.map((key) => redis.zremrangebylex(key, "-", `(${bound}`))),
            "again",
          );
        } while (cursor !== "0");
      }
    },

    async clear({ bare }) {
      await requests.run((redis) => redis.unlink(keyOf(bare)), "again");
    },
  };
}

/** Where the time in an id ends. */
const CHANCE_AT = archiveBound(0).length;

/** An item as it is kept: its id, and behind the first zero its value. */
export function parts(member: string): [id: string, stored: string] {
  const end = member.indexOf("\0");
  return [member.slice(0, end), member.slice(end + 1)];
}
