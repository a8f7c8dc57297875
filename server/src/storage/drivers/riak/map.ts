import type { Jid } from "../../../xmpp/jid.ts";
import type { Codec, MapStore } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { forEach, type Ground, removeForGood } from "./ground.ts";
import { type MapDocument, mapPlace, mapShape, withValues } from "./map-document.ts";
import { revise, seen, type Writing } from "./revise.ts";

const READ = mapShape();

/** Items of an owner, in one object. */
export function mapStore<T>(ground: Ground, table: string, codec: Codec<T>): MapStore<T> {
  const { client, valueBytes } = ground;

  async function present(owner: string): Promise<MapDocument | undefined> {
    return seen(READ, await client.fetch(mapPlace(table, owner)));
  }

  function decoded(document: MapDocument | undefined, key: string): T | undefined {
    const value = document?.items.get(key)?.value;
    return value === undefined ? undefined : codec.decode(value);
  }

  const change = (owner: string, decide: Decide) => changeItems(ground, { table, owner }, decide);

  return {
    get: async ({ bare }, key) => decoded(await present(bare), key),

    async list({ bare }) {
      const items = [...((await present(bare))?.items ?? [])];
      return new Map(
        items.flatMap(([key, { value }]) => (value === undefined ? [] : [[key, codec.decode(value)] as const])),
      );
    },

    async set({ bare }, key, value) {
      const stored = encodeBounded(codec, value, table, valueBytes);
      await change(bare, () => new Map([[key, stored]]));
    },

    async update({ bare }, key, decide) {
      let kept: T | undefined;
      await change(bare, (document) => {
        kept = decide(decoded(document, key));
        return new Map([[key, kept === undefined ? undefined : encodeBounded(codec, kept, table, valueBytes)]]);
      });
      return kept;
    },

    updateTogether: ({ bare }, keys, decide) =>
      change(bare, (document) => {
        const found = keys.flatMap((key) => {
          const value = decoded(document, key);
          return value === undefined ? [] : [[key, value] as const];
        });
        const kept = decide(new Map(found));
        return new Map(
          keys.map((key) => {
            const value = kept.get(key);
            return [key, value === undefined ? undefined : encodeBounded(codec, value, table, valueBytes)];
          }),
        );
      }),

    async getEach(owners: readonly Jid[], key: string) {
      const bares = [...new Set(owners.map(({ bare }) => bare))];
      const values = await forEach(bares, async (bare) => [bare, decoded(await present(bare), key)] as const);
      return new Map(values.flatMap(([bare, value]) => (value === undefined ? [] : [[bare, value] as const])));
    },

    remove: ({ bare }, key) => change(bare, () => new Map([[key, undefined]])),

    clear: ({ bare }) => removeForGood(client, mapPlace(table, bare)),
  };
}

/** What each key that is to change becomes; undefined where it is to go. */
type Decide = (document: MapDocument | undefined) => ReadonlyMap<string, string | undefined>;

export async function changeItems(
  ground: Writing,
  { table, owner }: { readonly table: string; readonly owner: string },
  decide: Decide,
): Promise<void> {
  const written = new Set<string>();
  await revise(ground, mapPlace(table, owner), mapShape(written), (document, id) => {
    const values = [...decide(document)].filter(([key, value]) => value !== document?.items.get(key)?.value);
    if (values.length === 0) return "as it is";
    written.clear();
    for (const [key] of values) written.add(key);
    return withValues(document ?? { table, owner, version: 0, items: new Map() }, new Map(values), id);
  });
}
