import type { Compilable, CompiledQuery } from "kysely";

/** Stands in a query for a value that is not known yet. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A query that is run again and again with other values: a database may prepare its text once. */
export interface PreparedQuery<T = unknown> extends CompiledQuery<T> {
  readonly prepared: true;
}

export function isPrepared(query: CompiledQuery): query is PreparedQuery {
  return "prepared" in query;
}

/**
 * A query that is built and compiled at its first use, and afterwards only given its values: building takes longer than many
 * a query does. `make` puts the slots where values belong.
 */
export function prepared<A extends object, T>(make: (slots: A) => Compilable<T>): (values: A) => Compilable<T> {
  let first: { readonly query: CompiledQuery<T>; readonly names: readonly (keyof A | undefined)[] } | undefined;
  return (values) => {
    first ??= compiled(make);
    const { query, names } = first;
    const parameters = names.map((name, index) => (name === undefined ? query.parameters[index] : values[name]));
    const bound: PreparedQuery<T> = { ...query, parameters, prepared: true };
    return { compile: () => bound };
  };
}

function compiled<A extends object, T>(make: (slots: A) => Compilable<T>) {
  const slots = new Proxy({}, { get: (_, name) => new Slot(String(name)) }) as A;
  const query = make(slots).compile();
  const names = query.parameters.map((value) => (value instanceof Slot ? (value.name as keyof A) : undefined));
  return { query, names };
}

/**
 * The same for rows of any number: `make` puts them into a query that has their values in the order of `columns`, one row
 * after the other. There is a text for each number of rows.
 */
export function preparedRows<Row extends object, T>(
  columns: readonly (keyof Row)[],
  make: (rows: readonly Row[]) => Compilable<T>,
): (rows: readonly Row[]) => Compilable<T> {
  const texts = new Map<number, CompiledQuery<T>>();
  return (rows) => {
    let query = texts.get(rows.length);
    if (query === undefined) {
      query = make(rows).compile();
      if (query.parameters.length !== rows.length * columns.length) throw new Error("rows of other columns");
      texts.set(rows.length, query);
    }
    const parameters: unknown[] = [];
    for (const row of rows) for (const column of columns) parameters.push(row[column]);
    const bound: PreparedQuery<T> = { ...query, parameters, prepared: true };
    return { compile: () => bound };
  };
}
