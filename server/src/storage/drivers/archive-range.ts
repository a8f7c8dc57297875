import type { Jid } from "../../xmpp/jid.ts";
import { archiveBound, isArchiveId } from "../archive-id.ts";
import type { ArchivedItem, ArchivePage, ArchiveQuery, ArchiveRange } from "../specs.ts";

/** Items of one page, however many are asked for. */
const MAX_PAGE = 1000;

/** The ids of a range: those between the two texts, both left out. */
export interface IdBounds {
  readonly above: string;
  readonly below: string;
}

/** Before, and behind, every id there can be. */
export const FIRST = "";
export const LAST = "~";

/** What times and ids make of a range; undefined if nothing can be in it. */
export function idBounds({ start, end, after, before }: ArchiveRange): IdBounds | undefined {
  if ((after !== undefined && !isArchiveId(after)) || (before !== undefined && !isArchiveId(before))) return undefined;
  const from = start === undefined ? FIRST : archiveBound(start);
  const to = end === undefined ? LAST : archiveBound(Math.floor(end) + 1);
  const above = after !== undefined && after > from ? after : from;
  const below = before !== undefined && before < to ? before : to;
  return above < below ? { above, below } : undefined;
}

/** How many items to look for: one more than the page takes tells whether it is the last. */
export function sought({ max }: ArchiveQuery): number {
  return Math.min(max, MAX_PAGE) + 1;
}

/** Makes a page of what was found from its end of the range on, one more than it takes if there are more. */
export function pageOf<T>(found: ArchivedItem<T>[], query: ArchiveQuery): ArchivePage<T> {
  const complete = found.length < sought(query);
  const items = complete ? found : found.slice(0, -1);
  if (query.from === "newest") items.reverse();
  return { items, complete };
}

/** Whether an item's other party is the one that is asked for (XEP-0313 4.1.1). */
export function isWith(item: Jid, asked: Jid): boolean {
  return asked.isBare ? item.bare === asked.bare : item.full === asked.full;
}
