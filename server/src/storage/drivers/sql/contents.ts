import type { Contents } from "../../specs.ts";
import { checkedKind, checkedValue, MAX_VALUE_BYTES, positive, type ValueBounds } from "../bounds.ts";
import { intoParts } from "./archive-parts.ts";
import { copiedAccounts } from "./contents-accounts.ts";
import { SHAPES } from "./contents-shapes.ts";
import type { Database, Steps } from "./database.ts";
import { putRows, readPage } from "./pages.ts";

/** All that the tables hold. What has expired is left out. */
export function sqlContents(database: Database, bounds: ValueBounds, now: () => number = Date.now): Contents {
  const limit = positive("max_value_bytes", bounds.maxValueBytes, MAX_VALUE_BYTES);
  const accounts = copiedAccounts(database);
  return {
    holds: ["accounts", ...SHAPES.keys()],

    async read(capability, max, after) {
      positive("max", max, max);
      if (capability === "accounts") return accounts.read(max, after);
      const shape = SHAPES.get(capability);
      if (shape === undefined) throw new TypeError(`there are no records of ${capability}`);
      const { rows, next } = await readPage(database, shape, max, after, now());
      return { records: rows.map((row) => shape.record(row)), next };
    },

    async write(records) {
      for (const record of records) {
        if (record.capability === "accounts") continue;
        checkedValue(record.value, checkedKind(record.table), limit);
      }
      const archived = records.flatMap((record) =>
        record.capability === "archive" ? [{ kind: record.table, id: record.id }] : [],
      );
      const put = function* (): Steps<void> {
        yield* accounts.write(records.filter((record) => record.capability === "accounts"));
        for (const [capability, shape] of SHAPES) {
          const own = records.filter((record) => record.capability === capability);
          yield* putRows(
            database,
            shape,
            own.map((record) => shape.row(record)),
          );
        }
      };
      await intoParts(database, archived, () => database.transact(put));
    },
  };
}
