import type { Compilable } from "kysely";
import type { Database, Tables } from "./database.ts";
import { prepared } from "./prepared.ts";

export type ArchiveRow = Tables["archive_items"];
export type Found = Pick<ArchiveRow, "id" | "with_full" | "value">;

/** What a page is narrowed to: nothing, a bare JID with all of its resources, or a full one. */
type Narrow = "all" | "bare" | "full";
type From = "oldest" | "newest";

interface RangeValues {
  readonly kind: string;
  readonly owner: string;
  readonly withKey: string;
  readonly withFull: string;
  readonly above: string;
  readonly below: string;
  readonly limit: number;
}

interface Counted {
  readonly items: number | string;
  readonly last: string | null;
}

/** The queries of archives, each compiled once. */
export interface ArchiveQueries {
  readonly page: Readonly<Record<From, Readonly<Record<Narrow, (values: RangeValues) => Compilable<Found>>>>>;
  /** How many there are up to the limit, and the id of the last that was counted. */
  readonly count: Readonly<Record<Narrow, (values: RangeValues) => Compilable<Counted>>>;
  /** The item before which there are so many newer ones, of those below a text. */
  readonly newest: (values: { kind: string; owner: string; below: string; skip: number }) => Compilable<{ id: string }>;
  readonly get: (kind: string, owner: string, ids: readonly string[]) => Compilable<Found>;
  /** Ids in as many queries as they need. */
  readonly slices: (ids: readonly string[]) => readonly (readonly string[])[];
}

/** Ids asked for in one query. */
const MAX_IDS = 256;

export function archiveQueries({ build }: Pick<Database, "build">): ArchiveQueries {
  const range = (narrow: Narrow, { kind, owner, withKey, withFull, above, below }: RangeValues) => {
    let query = build.selectFrom("archive_items").where("kind", "=", kind).where("owner", "=", owner);
    if (narrow !== "all") query = query.where("with_key", "=", withKey);
    if (narrow === "full") query = query.where("with_full", "=", withFull);
    return query.where("id", ">", above).where("id", "<", below);
  };
  const page = (from: From, narrow: Narrow) =>
    prepared((values: RangeValues) =>
      range(narrow, values)
        .select(["id", "with_full", "value"])
        .orderBy("id", from === "oldest" ? "asc" : "desc")
        .limit(values.limit),
    );
  const count = (narrow: Narrow) =>
    prepared((values: RangeValues) =>
      build
        .selectFrom(range(narrow, values).select("id").orderBy("id").limit(values.limit).as("some"))
        .select(({ fn }) => [fn.countAll().as("items"), fn.max("id").as("last")]),
    ) as (values: RangeValues) => Compilable<Counted>;
  const pages = (from: From) => ({ all: page(from, "all"), bare: page(from, "bare"), full: page(from, "full") });

  return {
    page: { oldest: pages("oldest"), newest: pages("newest") },
    count: { all: count("all"), bare: count("bare"), full: count("full") },
    newest: prepared(({ kind, owner, below, skip }) =>
      build
        .selectFrom("archive_items")
        .select("id")
        .where("kind", "=", kind)
        .where("owner", "=", owner)
        .where("id", "<", below)
        .orderBy("id", "desc")
        .limit(1)
        .offset(skip),
    ),
    get: (kind, owner, ids) =>
      build
        .selectFrom("archive_items")
        .select(["id", "with_full", "value"])
        .where("kind", "=", kind)
        .where("owner", "=", owner)
        .where("id", "in", padded(ids))
        .orderBy("id"),
    slices(ids) {
      const slices: (readonly string[])[] = [];
      for (let start = 0; start < ids.length; start += MAX_IDS) slices.push(ids.slice(start, start + MAX_IDS));
      return slices;
    },
  };
}

/** Up to the next power of two, the last one again and again, so that there are few different texts to prepare. */
export function padded(texts: readonly string[]): string[] {
  const length = 2 ** Math.ceil(Math.log2(texts.length));
  return [...texts, ...new Array<string>(length - texts.length).fill(texts.at(-1) as string)];
}
