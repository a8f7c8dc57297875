import type { Capability, StoredRecord } from "../../specs.ts";
import { storedJid } from "../stored-jid.ts";
import type { Row } from "./database.ts";
import type { Columns } from "./pages.ts";
import { placed } from "./place.ts";

/** How the records of a capability stand in their table. */
export interface Shape extends Columns {
  record(row: Row): StoredRecord;
  row(record: StoredRecord): Row;
}

type Valued = Exclude<StoredRecord, { capability: "accounts" }>;
type Of<C extends Capability> = Extract<Valued, { capability: C }>;

/** Takes records of its own capability alone; whoever calls it has sorted them. */
function shape<C extends Exclude<Capability, "accounts">>(
  capability: C,
  {
    record,
    row,
    ...rest
  }: Omit<Shape, "record" | "row"> & {
    record(row: Row): Omit<Of<C>, "capability" | "table" | "value">;
    row(record: Of<C>): Row;
  },
): readonly [Capability, Shape] {
  return [
    capability,
    {
      ...rest,
      record: (found) =>
        ({ capability, table: found.kind, ...record(found), value: found.value }) as unknown as StoredRecord,
      row: (given) => {
        const { table, value } = given as Valued;
        return { kind: table, ...row(given as Of<C>), value };
      },
    },
  ];
}

export const SHAPES: ReadonlyMap<Capability, Shape> = new Map([
  shape("keyValue", {
    table: "key_values",
    key: ["kind", "owner"],
    columns: ["kind", "owner", "value"],
    record: ({ owner }) => ({ owner: owner as string }),
    row: ({ owner }) => ({ owner }),
  }),
  shape("map", {
    table: "map_items",
    key: ["kind", "owner", "key"],
    columns: ["kind", "owner", "key", "long_key", "value"],
    record: ({ owner, key, long_key }) => ({ owner: owner as string, key: (long_key ?? key) as string }),
    row: ({ owner, key }) => ({ owner, ...placed(key) }),
  }),
  shape("archive", {
    table: "archive_items",
    key: ["kind", "owner", "id"],
    columns: ["kind", "owner", "id", "with_key", "with_full", "value"],
    record: ({ owner, id, with_full }) => ({ owner: owner as string, id: id as string, with: with_full as string }),
    row: ({ owner, id, with: party }) => ({ owner, id, with_key: placed(storedJid(party).bare).key, with_full: party }),
  }),
  shape("queue", {
    table: "queue_items",
    key: ["kind", "owner", "id"],
    columns: ["kind", "owner", "id", "value"],
    record: ({ owner, id }) => ({ owner: owner as string, id: id as string }),
    row: ({ owner, id }) => ({ owner, id }),
  }),
  shape("expiring", {
    table: "expiring_items",
    key: ["kind", "key"],
    columns: ["kind", "key", "long_key", "value", "expires"],
    expires: "expires",
    // PostgreSQL's 64 bits arrive as text.
    record: ({ key, long_key, expires }) => ({ key: (long_key ?? key) as string, expires: Number(expires) }),
    row: ({ key, expires }) => ({ ...placed(key), expires }),
  }),
]);
