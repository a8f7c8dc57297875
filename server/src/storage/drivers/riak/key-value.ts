import { archiveId } from "../../archive-id.ts";
import type { Codec, KeyValueStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { BY_PLACE, type Ground, parsed } from "./ground.ts";
import { objectKey, termOf } from "./names.ts";
import { type Shape, seen } from "./revise.ts";
import type { Place } from "./wire.ts";

export const KEY_VALUE = "keyvalue";

export interface ValueDocument {
  readonly table: string;
  readonly owner: string;
  /** When it was set, as an id: of two that were set at once, the later one counts. */
  readonly set: string;
  readonly value: string;
}

export const VALUE_SHAPE: Shape<ValueDocument> = {
  parse: (body) => parsed(KEY_VALUE, body),
  write: (document) => ({
    body: JSON.stringify(document),
    indexes: { [BY_PLACE]: [termOf(document.table, document.owner)] },
  }),
  merge: (documents) => documents.reduce((a, b) => (b.set > a.set ? b : a)),
  carries: (document, change) => document.set === change,
  version: () => 0,
  latest: (document) => document.set,
};

/** One object an owner and table. */
export function keyValueStore<T>({ client, valueBytes }: Ground, table: string, codec: Codec<T>): KeyValueStore<T> {
  return {
    async get({ bare }) {
      const document = seen(VALUE_SHAPE, await client.fetch(valuePlace(table, bare)));
      return document && codec.decode(document.value);
    },

    async set({ bare }, value) {
      const stored = encodeBounded(codec, value, table, valueBytes);
      await putValue({ client }, { table, owner: bare, set: archiveId(), value: stored });
    },

    remove: ({ bare }) => client.remove(valuePlace(table, bare)),
  };
}

/** Comes after all that is there: without its vclock, Riak would keep every value beside the others. */
export async function putValue({ client }: Pick<Ground, "client">, document: ValueDocument): Promise<void> {
  const place = valuePlace(document.table, document.owner);
  const vclock = await client.vclock(place);
  const { body, indexes } = VALUE_SHAPE.write(document);
  await client.put(place, body, indexes, vclock);
}

function valuePlace(table: string, owner: string): Place {
  return { bucket: KEY_VALUE, key: objectKey(table, owner) };
}
