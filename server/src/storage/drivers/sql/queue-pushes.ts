import { archiveIdBehind } from "../../archive-id.ts";
import { padded } from "./archive-queries.ts";
import { rows as answers, type Database, type Steps } from "./database.ts";
import { insertMissing } from "./dialects.ts";

/** One value on its way into a queue. */
export interface Pushed {
  readonly kind: string;
  readonly owner: string;
  readonly value: string;
  /** How many may wait. */
  readonly limit: number;
}

/** Rows that are locked in place of the queues, which may be empty; so many that two pushes seldom want the same. */
const LOCKS = 256;

interface Queue {
  size: number;
  last: string | undefined;
}

/** Pushes values as one step that no other push to the same queues comes between: so limits and orders are exact. */
export function queuePushes(database: Database): (rows: readonly Pushed[]) => Promise<readonly ("stored" | "full")[]> {
  const { build, locksRows, transact } = database;

  function* lock(rows: readonly Pushed[]): Steps<void> {
    if (!locksRows) return;
    const wanted = [...new Set(rows.map(lockOf))].sort((a, b) => a - b);
    for (;;) {
      // In one order everywhere, so that two never wait for each other.
      const locked = yield* answers(
        build.selectFrom("queue_locks").select("number").where("number", "in", wanted).orderBy("number").forUpdate(),
      );
      if (locked.length === wanted.length) return;
      const missing = wanted.filter((number) => locked.every((row) => row.number !== number));
      const made = yield* insertMissing(
        database,
        "queue_locks",
        missing.map((number) => ({ number })),
        "number",
      );
      if (made.length === missing.length) return;
    }
  }

  function* present(rows: readonly Pushed[]): Steps<Map<string, Queue>> {
    const queues = new Map<string, Queue>();
    for (const kind of new Set(rows.map((row) => row.kind))) {
      const owners = [...new Set(rows.filter((row) => row.kind === kind).map(({ owner }) => owner))];
      const found = yield* answers(
        build
          .selectFrom("queue_items")
          .select(({ fn }) => ["owner", fn.countAll().as("size"), fn.max("id").as("last")])
          .where("kind", "=", kind)
          .where("owner", "in", padded(owners))
          .groupBy("owner"),
      );
      for (const { owner, size, last } of found) queues.set(`${kind} ${owner}`, { size: Number(size), last });
    }
    return queues;
  }

  return (rows) =>
    transact(function* () {
      yield* lock(rows);
      const queues = yield* present(rows);
      const fitting: { kind: string; owner: string; id: string; value: string }[] = [];
      const told = rows.map(({ kind, owner, value, limit }) => {
        const name = `${kind} ${owner}`;
        const queue = queues.get(name) ?? { size: 0, last: undefined };
        if (queue.size >= limit) return "full";
        const id = archiveIdBehind(queue.last);
        queues.set(name, { size: queue.size + 1, last: id });
        fitting.push({ kind, owner, id, value });
        return "stored";
      });
      if (fitting.length > 0) yield* answers(build.insertInto("queue_items").values(fitting));
      return told;
    });
}

function lockOf({ kind, owner }: Pushed): number {
  let hash = 0;
  const name = `${kind} ${owner}`;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
  return (hash >>> 0) % LOCKS;
}
