import { createHash } from "node:crypto";
import { CompiledQuery } from "kysely";
import { DatabaseError } from "pg";
import { archiveBound, archiveTime } from "../../archive-id.ts";
import { StorageError } from "../../specs.ts";
import type { ArchiveParts } from "../sql/archive-parts.ts";
import type { Database, Steps } from "../sql/database.ts";

/**
 * Archives are kept in a table for each kind and month, so that what is old goes by dropping tables. There is no default
 * partition: it would be searched whenever a month is made, and by every page. A month is made by whoever writes into it
 * first, whenever that is, and the coming one along with it.
 */
export interface ArchiveMonths extends ArchiveParts {
  /** Makes this month's and the next one's table of each kind that there is. */
  ahead(): Promise<void>;
}

/** SQLSTATE check_violation, which is what an insert without a partition counts as; undefined_table; lock_not_available. */
const NO_PARTITION = "23514";
const NO_TABLE = "42P01";
const LOCKED = "55P03";

/** Held while partitions are made or dropped; any number that nothing else in this database locks. */
const LOCK = "select pg_advisory_xact_lock(7202170117)";

/**
 * Dropping a month waits for all who use its kind, and whoever comes after waits behind it: so it gives up soon, and tries
 * often. Milliseconds.
 */
const DROP_WAIT = 200;
const DROP_PAUSE = 300;
const DROP_TRIES = 30;

/** A kind's table, or one of its months, whose ids are from one text to before another. */
interface Part {
  readonly table: string;
  readonly kind: string;
  readonly from?: string;
  readonly to?: string;
}

const PARTS = `
  select part.relname as table, whole.relname as whole, pg_get_expr(part.relpartbound, part.oid) as bound
  from pg_partition_tree('archive_items') as tree
  join pg_class as part on part.oid = tree.relid
  join pg_class as whole on whole.oid = tree.parentrelid
  order by tree.level, bound`;

export function archiveMonths({ transact }: Pick<Database, "transact">, now: () => number): ArchiveMonths {
  const make = (months: readonly { readonly kind: string; readonly month: number }[]) =>
    transact(function* () {
      yield CompiledQuery.raw(LOCK);
      const present = yield* parts();
      for (const { kind, month } of months) {
        const whole = present.find((part) => part.kind === kind && part.from === undefined)?.table ?? kindTable(kind);
        if (present.every((part) => part.kind !== kind)) {
          yield* attach("archive_items", whole, `in ('${kind}')`, "partition by range (id)");
          present.push({ table: whole, kind });
        }
        const [from, to] = [monthStart(month), monthStart(month + 1)];
        if (present.some((part) => part.kind === kind && (part.from ?? to) <= from && from < (part.to ?? from)))
          continue;
        yield* attach(whole, monthTable(kind, month), `from ('${from}') to ('${to}')`);
        present.push({ table: monthTable(kind, month), kind, from, to });
      }
    });

  async function drop(table: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await transact(function* () {
          yield CompiledQuery.raw(`set local lock_timeout = ${DROP_WAIT}`);
          yield CompiledQuery.raw(LOCK);
          yield CompiledQuery.raw(`drop table if exists "${table}"`);
        });
      } catch (error) {
        if (tries === DROP_TRIES || !isCode(error, LOCKED)) throw error;
        await new Promise((resolve) => setTimeout(resolve, DROP_PAUSE));
      }
    }
  }

  return {
    isMissing: (error) => isCode(error, NO_PARTITION),
    isGone: (error) => isCode(error, NO_TABLE),

    make(rows) {
      const months = rows.map(({ kind, id }) => ({ kind, month: monthOf(archiveTime(id) ?? 0) }));
      const coming = monthOf(now()) + 1;
      return make([...months, ...rows.map(({ kind }) => ({ kind, month: coming }))]);
    },

    async ahead() {
      const kinds = (await transact(parts)).filter(({ from }) => from === undefined);
      const month = monthOf(now());
      if (kinds.length > 0)
        await make(kinds.flatMap(({ kind }) => [month, month + 1].map((each) => ({ kind, month: each }))));
    },

    async drop(kind, below) {
      const rest: string[] = [];
      for (const part of await transact(parts)) {
        if (part.kind !== kind || part.from === undefined || part.to === undefined || part.from >= below) continue;
        if (part.to <= below) await drop(part.table);
        else rest.push(part.table);
      }
      return rest;
    },
  };
}

function* parts(): Steps<Part[]> {
  const found = (yield CompiledQuery.raw(PARTS)) as readonly { table: string; whole: string; bound: string }[];
  const kinds = new Map<string, string>();
  return found.flatMap(({ table, whole, bound }): Part[] => {
    const values = [...bound.matchAll(/'([^']*)'/g)].map(([, value]) => value ?? "");
    if (whole === "archive_items") {
      kinds.set(table, values[0] ?? "");
      return [{ table, kind: values[0] ?? "" }];
    }
    const [from, to] = values;
    return from === undefined || to === undefined ? [] : [{ table, kind: kinds.get(whole) ?? "", from, to }];
  });
}

/** Attaching an empty table locks out neither readers nor writers, as making it a partition at once would. */
function* attach(whole: string, table: string, values: string, options = ""): Steps<void> {
  yield CompiledQuery.raw(`create table "${table}" (like "${whole}") ${options}`);
  yield CompiledQuery.raw(`alter table "${whole}" attach partition "${table}" for values ${values}`);
}

function kindTable(kind: string): string {
  return `archive_items_${short(kind)}`;
}

function monthTable(kind: string, month: number): string {
  return `archive_items_${Math.floor(month / 12)}${String((month % 12) + 1).padStart(2, "0")}_${short(kind)}`;
}

/** PostgreSQL cuts names at 63 bytes, so that two long ones could be the same. */
function short(kind: string): string {
  if (kind.length <= 40) return kind;
  return `${kind.slice(0, 31)}_${createHash("sha256").update(kind).digest("hex").slice(0, 8)}`;
}

/** Months since the year 0. */
function monthOf(at: number): number {
  const date = new Date(at);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function monthStart(month: number): string {
  return archiveBound(Date.UTC(Math.floor(month / 12), month % 12));
}

function isCode(error: unknown, code: string): boolean {
  const cause = error instanceof StorageError ? error.cause : error;
  return cause instanceof DatabaseError && cause.code === code;
}
