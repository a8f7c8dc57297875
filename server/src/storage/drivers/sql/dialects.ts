import {
  type Compilable,
  type Expression,
  type ExpressionBuilder,
  type Insertable,
  type Kysely,
  type SqlBool,
  sql,
  type UpdateQueryBuilder,
} from "kysely";
import { type Database, rows, type Steps, type Tables, type Touched } from "./database.ts";

/** The names are checked against the tables by the functions below; what they build is not typed any further. */
type Untyped = Kysely<{ any: Record<string, unknown> }>;
type Row<T extends keyof Tables> = Insertable<Tables[T]>;
type Column<T extends keyof Tables> = keyof Tables[T] & string;
type Names = Pick<Database, "build" | "dialect">;

/** Puts rows in; a row that has the same `key` as one that is there gives it its `columns` instead. No two rows have the same key. */
export function upsert<T extends keyof Tables>(
  { build, dialect }: Names,
  table: T,
  values: Row<T> | readonly Row<T>[],
  key: readonly Column<T>[],
  columns: readonly Column<T>[],
): Compilable<unknown> {
  const query = (build as unknown as Untyped).insertInto(table as "any").values(values as never);
  // VALUES() works in MySQL and MariaDB; what MySQL 8 would rather have in its place, MariaDB does not know.
  const taken = (name: string) => (dialect === "mysql" ? sql`values(${sql.ref(name)})` : sql.ref(`excluded.${name}`));
  const set = Object.fromEntries(columns.map((name) => [name, taken(name)]));
  if (dialect === "mysql") return query.onDuplicateKeyUpdate(set);
  return query.onConflict((conflict) => conflict.columns([...key]).doUpdateSet(set));
}

/** Puts rows in unless one of the same key is there, which stays as it is. Nothing tells which; `insertMissing` does. */
export function unlessThere<T extends keyof Tables>(
  { build, dialect }: Names,
  table: T,
  values: Row<T> | readonly Row<T>[],
): Compilable<unknown> {
  return withoutConflict(build, dialect, table, values);
}

/**
 * Puts rows in unless one of the same key is there, and answers with the `name` of those that were put in. A row that
 * another transaction is about to put in, or take away, is waited for.
 */
export function* insertMissing<T extends keyof Tables, C extends Column<T>>(
  { build, dialect }: Names,
  table: T,
  values: readonly Row<T>[],
  name: C,
): Steps<readonly Tables[T][C][]> {
  if (dialect !== "mysql") {
    const made = yield* rows(withoutConflict(build, dialect, table, values).returning([name as string]));
    return made.map((row) => row[name] as Tables[T][C]);
  }
  const made: Tables[T][C][] = [];
  // One by one: of several rows MySQL tells only how many were put in.
  for (const row of values) {
    if ((yield* touched(withoutConflict(build, dialect, table, row))) > 0) made.push((row as Tables[T])[name]);
  }
  return made;
}

/**
 * Removes the rows of a condition, and answers with the `names` of those that were there, in no particular order; of many
 * that remove the same row at once, one is told of it. The condition gives the whole key of every row it means.
 */
export function* removeRows<T extends keyof Tables, C extends Column<T>>(
  { build, dialect }: Names,
  table: T,
  condition: (row: ExpressionBuilder<Tables, T>) => Expression<SqlBool>,
  names: readonly C[],
): Steps<readonly Pick<Tables[T], C>[]> {
  const untyped = build as unknown as Untyped;
  const where = condition as never;
  const columns: readonly string[] = names;
  const remove = untyped.deleteFrom(table as "any").where(where);
  if (dialect !== "mysql") return (yield* rows(remove.returning(columns))) as unknown as readonly Pick<Tables[T], C>[];
  const found = yield* rows(
    untyped
      .selectFrom(table as "any")
      .select(columns)
      .where(where)
      .forUpdate(),
  );
  if (found.length > 0) yield* rows(remove);
  return found as unknown as readonly Pick<Tables[T], C>[];
}

/** How many rows an update found, whether it changed them or not. */
export function* updateRows<T extends keyof Tables>(
  { dialect }: Names,
  update: UpdateQueryBuilder<Tables, T, T, unknown>,
): Steps<number> {
  if (dialect === "mysql") return yield* touched(update);
  return (yield* rows(update.returning(sql<number>`1`.as("one")))).length;
}

function withoutConflict(build: Database["build"], dialect: Database["dialect"], table: string, values: unknown) {
  const query = (build as unknown as Untyped).insertInto(table as "any").values(values as never);
  // Not IGNORE, which would hush up other mistakes too, and locks a row that is there for readers only: two that then
  // want to change it would wait for each other.
  if (dialect === "mysql") {
    const [column] = Object.keys([values].flat()[0] as object) as [string];
    return query.onDuplicateKeyUpdate({ [column]: sql.ref(column) });
  }
  return query.onConflict((conflict) => conflict.doNothing());
}

function* touched(query: Compilable): Steps<number> {
  const [answer] = (yield query.compile()) as readonly Touched[];
  return answer?.touched ?? 0;
}
