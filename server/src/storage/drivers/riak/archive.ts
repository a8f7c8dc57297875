import { Jid } from "../../../xmpp/jid.ts";
import { archiveBound, isArchiveId } from "../../archive-id.ts";
import type { ArchivedItem, ArchiveQuery, ArchiveRange, ArchiveStore, Codec } from "../../specs.ts";
import { encodeBounded } from "../bounds.ts";
import { changedBy, isNewer } from "./changes.ts";
import { type Cuts, cutsOf, reversedCuts, reversedId } from "./cuts.ts";
import { BY_PLACE, BY_TIME, forEach, type Ground, PAGE, pagesOf, parsed, sweep } from "./ground.ts";
import { objectKey, past, termOf } from "./names.ts";
import { revise, type Shape, seen } from "./revise.ts";
import type { Place } from "./wire.ts";

export const ARCHIVE = "archive";

/** Indexes by table, owner and reversed id; by table, owner, other party and id; and that with the id reversed. */
const BY_PLACE_BACKWARDS = "place_desc";
const BY_PARTY = "party";
const BY_PARTY_BACKWARDS = "party_desc";

export interface ArchiveDocument {
  readonly table: string;
  readonly owner: string;
  readonly id: string;
  /** Local part, domain and resource: which of them a text has can be said of prepared ones alone. */
  readonly with: readonly [local: string, domain: string, resource: string];
  /** How often its value was replaced, and by what lately. */
  readonly version: number;
  readonly changes: readonly string[];
  readonly value: string;
}

export const ARCHIVE_SHAPE: Shape<ArchiveDocument> = {
  parse: (body) => parsed(ARCHIVE, body),
  write: (document) => ({ body: JSON.stringify(document), indexes: indexesOf(document) }),
  // Two first values of one id are one item that was appended twice.
  merge: (documents) => documents.reduce((a, b) => (isNewer(b.changes, a.changes) || isLower(b, a) ? b : a)),
  carries: ({ changes }, change) => changes.includes(change),
  version: ({ version }) => version,
  latest: ({ id, changes }) => changes[0] ?? id,
};

function isLower(a: ArchiveDocument, b: ArchiveDocument): boolean {
  return !isNewer(b.changes, a.changes) && a.value < b.value;
}

function indexesOf({ table, owner, id, with: party }: ArchiveDocument) {
  const reversed = reversedId(id);
  // A full address is found by itself, and as one of its bare address's.
  const { bare, full } = new Jid(...party);
  const parties = [...new Set([bare, full])];
  return {
    [BY_PLACE]: [termOf(table, owner, id)],
    [BY_PLACE_BACKWARDS]: [termOf(table, owner, reversed)],
    [BY_PARTY]: parties.map((each) => termOf(table, owner, each, id)),
    [BY_PARTY_BACKWARDS]: parties.map((each) => termOf(table, owner, each, reversed)),
    [BY_TIME]: [termOf(table, id)],
  };
}

/** One object an item. */
export function archiveStore<T>(ground: Ground, table: string, codec: Codec<T>): ArchiveStore<T> {
  const { client, valueBytes } = ground;

  async function read(place: Place): Promise<ArchivedItem<T> | undefined> {
    const document = seen(ARCHIVE_SHAPE, await client.fetch(place));
    return document && { id: document.id, with: new Jid(...document.with), value: codec.decode(document.value) };
  }

  /** The index that has a range in the order asked for, and where in it. */
  function rangeOf(owner: Jid, range: ArchiveRange, from: ArchiveQuery["from"]) {
    const cuts = cutsOf(range);
    if (cuts === undefined) return undefined;
    const { low, high }: Cuts = from === "oldest" ? cuts : reversedCuts(cuts);
    const prefix = termOf(table, owner.bare, ...(range.with === undefined ? [] : [range.with.full]));
    const [forwards, backwards] =
      range.with === undefined ? [BY_PLACE, BY_PLACE_BACKWARDS] : [BY_PARTY, BY_PARTY_BACKWARDS];
    return { index: from === "oldest" ? forwards : backwards, terms: [prefix + low, prefix + high] as const };
  }

  return {
    async append(owner, { id, with: party, value }) {
      if (!isArchiveId(id)) throw new TypeError(`"${id}" is no archive's id`);
      const stored = encodeBounded(codec, value, table, valueBytes);
      const { local, domain, resource } = party;
      const item = {
        table,
        owner: owner.bare,
        id,
        with: [local, domain, resource],
        changes: [],
        value: stored,
      } as const;
      await putItem(ground, { ...item, version: 0, changes: [], value: stored });
    },

    async page(owner, query) {
      const range = rangeOf(owner, query, query.from);
      const items: ArchivedItem<T>[] = [];
      let complete = range === undefined;
      let [from, to] = range?.terms ?? ["", ""];
      while (range !== undefined && !complete) {
        // One more than wanted tells whether that is all.
        const asked = Math.min(query.max - items.length, PAGE - 1) + 1;
        const { entries } = await client.query(ARCHIVE, range.index, [from, to], asked);
        complete = entries.length < asked;
        const wanted = entries.slice(0, asked - 1);
        const found = await forEach(wanted, ({ key }) => read({ bucket: ARCHIVE, key }));
        items.push(...found.filter((item) => item !== undefined));
        // What the index names may be gone: the page is filled with those that follow.
        if (items.length >= query.max) break;
        from = past(wanted.at(-1)?.term ?? to);
      }
      return { items: query.from === "oldest" ? items : items.reverse(), complete };
    },

    async get(owner, ids) {
      const wanted = [...new Set(ids)].sort();
      const found = await forEach(wanted, (id) => read(itemPlace(table, owner.bare, id)));
      return found.filter((item) => item !== undefined);
    },

    async count(owner, range, limit) {
      const found = rangeOf(owner, range, "oldest");
      if (found === undefined) return 0;
      let count = 0;
      for await (const entries of pagesOf(client, ARCHIVE, found.index, found.terms, limit)) count += entries.length;
      return Math.min(count, limit);
    },

    async replace(owner, id, value) {
      const stored = encodeBounded(codec, value, table, valueBytes);
      const place = itemPlace(table, owner.bare, id);
      const { document } = await revise(ground, place, ARCHIVE_SHAPE, (found, change) =>
        found === undefined ? "as it is" : replaced(found, stored, change),
      );
      return document === undefined ? "missing" : "replaced";
    },

    async trim({ bare }, keep) {
      const prefix = termOf(table, bare);
      let oldestKept = prefix;
      let count = 0;
      for await (const entries of pagesOf(client, ARCHIVE, BY_PLACE_BACKWARDS, [prefix, past(prefix)], keep)) {
        count += entries.length;
        const reversed = entries.at(-1)?.term.slice(prefix.length, -1) ?? "";
        oldestKept = prefix + reversedId(reversed);
      }
      if (count < keep) return;
      // From the oldest on, so that there is no hole meanwhile.
      await sweep(client, ARCHIVE, BY_PLACE, [prefix, keep === 0 ? past(prefix) : oldestKept]);
    },

    expire: (before) => sweep(client, ARCHIVE, BY_TIME, [termOf(table), termOf(table) + archiveBound(before)]),

    purge({ bare }) {
      const prefix = termOf(table, bare);
      return sweep(client, ARCHIVE, BY_PLACE, [prefix, past(prefix)]);
    },
  };
}

export function replaced(document: ArchiveDocument, value: string, change: string): ArchiveDocument {
  return { ...document, version: document.version + 1, changes: changedBy(change, document.changes), value };
}

/** Puts an item in, where there is none of its id. */
export function putItem({ client }: Pick<Ground, "client">, document: ArchiveDocument): Promise<"stored" | "there"> {
  const { body, indexes } = ARCHIVE_SHAPE.write(document);
  return client.putNew(itemPlace(document.table, document.owner, document.id), body, indexes);
}

export function itemPlace(table: string, owner: string, id: string): Place {
  return { bucket: ARCHIVE, key: objectKey(table, owner, id) };
}
