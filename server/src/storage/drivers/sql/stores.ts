import type { Capabilities, Contents } from "../../specs.ts";
import { checkedKind, MAX_VALUE_BYTES, positive, type ValueBounds } from "../bounds.ts";
import { accountStore } from "./accounts.ts";
import { sqlContents } from "./contents.ts";
import type { Database } from "./database.ts";
import { keyValueStore } from "./key-value.ts";
import { mapStore } from "./map.ts";

/** What every SQL driver offers. */
export function sqlStores(
  database: Database,
  bounds: ValueBounds,
): Pick<Capabilities, "accounts" | "keyValue" | "map"> & { readonly contents: Contents } {
  const limit = positive("max_value_bytes", bounds.maxValueBytes, MAX_VALUE_BYTES);
  return {
    accounts: () => accountStore(database),
    keyValue: (table, codec) => keyValueStore(database, checkedKind(table), codec, limit),
    map: (table, codec) => mapStore(database, checkedKind(table), codec, limit),
    contents: sqlContents(database, bounds),
  };
}
