import { archiveTime } from "../../archive-id.ts";

/** Milliseconds that a change is remembered for, which is longer than its writer looks for it. */
const REMEMBERED_FOR = 30_000;
const MOST_REMEMBERED = 64;

/** The ids of what something was changed by lately, newest first, with one more. */
export function changedBy(change: string, earlier: readonly string[] = []): readonly string[] {
  const since = (archiveTime(change) ?? 0) - REMEMBERED_FOR;
  return [change, ...earlier.filter((id) => (archiveTime(id) ?? 0) >= since)].slice(0, MOST_REMEMBERED);
}

/** Whether the newest change of one is newer than that of the other. */
export function isNewer(a: readonly string[], b: readonly string[]): boolean {
  return (a[0] ?? "") > (b[0] ?? "");
}
