import { archiveBound } from "../../archive-id.ts";
import type { Codec, QueuedItem, QueueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { BY_PLACE, BY_TIME, forEach, type Ground, PAGE, pagesOf, parsed, sweep } from "./ground.ts";
import { objectKey, past, termOf } from "./names.ts";
import { revise, type Shape, seen } from "./revise.ts";
import type { Place } from "./wire.ts";

export const QUEUE = "queue";

export interface QueueDocument {
  readonly table: string;
  readonly owner: string;
  readonly id: string;
  readonly value: string;
  /** Which removal took it; it is then about to be removed. */
  readonly taken?: string;
}

export const QUEUE_SHAPE: Shape<QueueDocument> = {
  parse: (body) => parsed(QUEUE, body),
  write: (document) => ({
    body: JSON.stringify(document),
    indexes: {
      // What is taken waits no more; should its taker die, expiry finds it by its time.
      ...(document.taken === undefined && { [BY_PLACE]: [termOf(document.table, document.owner, document.id)] }),
      [BY_TIME]: [termOf(document.table, document.id)],
    },
  }),
  // Taken is taken, by the first of those who took it at once.
  merge: (documents) => documents.reduce((a, b) => ((b.taken ?? "~") < (a.taken ?? "~") ? b : a)),
  carries: ({ taken }, change) => taken === change,
  version: ({ taken }) => (taken === undefined ? 0 : 1),
  latest: ({ id, taken }) => taken ?? id,
};

/** One object an item, in the order of ids that are made here. */
export function queueStore<T>(ground: Ground, table: string, codec: Codec<T>): QueueStore<T> {
  const { client, pushes, valueBytes } = ground;
  const rangeOf = (owner: string, after?: string): readonly [string, string] => {
    const all = termOf(table, owner);
    return [after === undefined ? all : past(termOf(table, owner, after)), past(all)];
  };

  async function size(owner: string, limit?: number): Promise<number> {
    let count = 0;
    for await (const entries of pagesOf(client, QUEUE, BY_PLACE, rangeOf(owner), limit)) count += entries.length;
    return count;
  }

  async function waiting(key: string): Promise<QueuedItem<T> | undefined> {
    const document = seen(QUEUE_SHAPE, await client.fetch({ bucket: QUEUE, key }));
    if (document === undefined || document.taken !== undefined) return undefined;
    return { id: document.id, value: codec.decode(document.value) };
  }

  /** Marks it first, for of several who remove an object at once Riak would tell each that it did. */
  async function take(owner: string, id: string): Promise<boolean> {
    const place = queuePlace(table, owner, id);
    const { changed } = await revise(ground, place, QUEUE_SHAPE, (found, change) =>
      found === undefined || found.taken !== undefined ? "as it is" : { ...found, value: "", taken: change },
    );
    // Taken it is, whether it is removed now or when it would have expired.
    if (changed) await client.remove(place).catch(() => {});
    return changed;
  }

  return {
    async push({ bare }, value, limit) {
      const stored = encodeBounded(codec, value, table, valueBytes);
      const access = {
        size: (most: number) => size(bare, most),
        put: (id: string, put: string) => putWaiting(ground, { table, owner: bare, id, value: put }),
      };
      return pushes.add(`${table} ${bare}`, access, stored, limit);
    },

    async list({ bare }, max, after) {
      const items: QueuedItem<T>[] = [];
      let [from, to] = rangeOf(bare, after);
      while (items.length < max) {
        const asked = Math.min(max - items.length, PAGE);
        const { entries } = await client.query(QUEUE, BY_PLACE, [from, to], asked);
        const found = await forEach(entries, ({ key }) => waiting(key));
        items.push(...found.filter((item) => item !== undefined));
        if (entries.length < asked) break;
        from = past(entries.at(-1)?.term ?? to);
      }
      return items;
    },

    async remove({ bare }, ids) {
      const wanted = [...new Set(ids)].sort();
      const taken = new Set<string>();
      try {
        await forEach(wanted, async (id) => {
          if (await take(bare, id)) taken.add(id);
        });
      } catch (error) {
        // Nobody else will be told of what was taken; the rest is there still.
        if (taken.size === 0) throw error;
      }
      return wanted.filter((id) => taken.has(id));
    },

    size: ({ bare }) => size(bare),

    expire: (before) => sweep(client, QUEUE, BY_TIME, [termOf(table), termOf(table) + archiveBound(before)]),

    clear: ({ bare }) => sweep(client, QUEUE, BY_PLACE, rangeOf(bare)),
  };
}

/** Puts an item in, where there is none of its id. */
export function putWaiting({ client }: Pick<Ground, "client">, document: QueueDocument): Promise<"stored" | "there"> {
  const { body, indexes } = QUEUE_SHAPE.write(document);
  return client.putNew(queuePlace(document.table, document.owner, document.id), body, indexes);
}

export function queuePlace(table: string, owner: string, id: string): Place {
  return { bucket: QUEUE, key: objectKey(table, owner, id) };
}
