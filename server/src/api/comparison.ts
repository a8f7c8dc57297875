/** What came of a copy: both sides, table by table, and in words what may be behind a difference. */
import { capabilityOf, EMPTY, type Tally } from "../storage/copy/tally.ts";
import { columns, grouped } from "./table.ts";

type ByTable = Readonly<Record<string, Tally>>;

const SUM_DIGITS = 12;

/** `copied` is what went over; what expires is not held against it, since it dies meanwhile. */
export function comparison(
  source: string,
  target: string,
  both: { readonly source: ByTable; readonly target: ByTable },
  copied: ByTable,
): { readonly lines: string[]; readonly faults: string[] } {
  const tables = [...new Set([...Object.keys(both.source), ...Object.keys(both.target)])].sort();
  const faults: string[] = [];
  const rows = tables.map((table) => {
    const [here, there] = [both.source[table] ?? EMPTY, both.target[table] ?? EMPTY];
    const same = alike(here, there);
    if (!same) faults.push(`${table}: ${reason(source, target, here, there, lasting(table, copied))}`);
    const sum = (tally: Tally) => tally.sum.slice(0, SUM_DIGITS);
    return [table, grouped(here.count), grouped(there.count), sum(here), sum(there), same ? "same" : "DIFFERENT"];
  });
  const head = ["table", `in ${source}`, `in ${target}`, "checksum", "checksum", ""];
  return { lines: columns(head, rows), faults };
}

function lasting(table: string, copied: ByTable): Tally | undefined {
  return capabilityOf(table) === "expiring" ? undefined : (copied[table] ?? EMPTY);
}

function reason(source: string, target: string, here: Tally, there: Tally, copied: Tally | undefined): string {
  if (copied !== undefined && !alike(here, copied)) {
    return (
      `${source} was written to while it was copied (${grouped(copied.count)} records went over, ${grouped(here.count)} ` +
      "are there now): stop what writes to it, and give the same command again"
    );
  }
  if (there.count > here.count) {
    return (
      `${target} has ${grouped(there.count - here.count)} records more than ${source}: it had them before, or ` +
      `somebody writes to it; empty it, and copy again with --restart`
    );
  }
  return `${target} does not hold what was copied: is somebody writing to it? Give the same command again`;
}

function alike(a: Tally, b: Tally): boolean {
  return a.count === b.count && a.sum === b.sum;
}
