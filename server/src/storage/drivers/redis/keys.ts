/**
 * The names of all that is kept in Redis, below the operator's prefix:
 *
 *   kv:{table}:{<owner>}      string    the value
 *   map:{table}:{<owner>}     hash      key -> value
 *   queue:{table}:{<owner>}   zset      id, "\0", value; all of score 0, so in the order of their ids
 *   fact:{table}:{<key>}      string    the value, with its time to live
 *   layout                    string    the number of this layout
 *
 * Redis takes what stands between the first "{" and the first "}" after it for the hash tag: all that one owner has is on
 * one slot, and what is one step is one script there.
 */
export const LAYOUT = "layout";

export type Kind = "kv" | "map" | "queue" | "fact";

export interface Place {
  readonly table: string;
  /** A bare JID, or any text for a fact. */
  readonly of: string;
}

/** A function of the owner for each table, so that what is the same for all of them is put together once. */
export function keysOf(prefix: string, kind: Kind, table: string): (of: string) => string {
  const start = `${prefix}:${kind}:${table}:{.`;
  return (of) => `${start}${escaped(of)}}`;
}

/** The pattern of all keys of a kind, for SCAN. */
export function pattern(prefix: string, kind: Kind, table = "*"): string {
  return `${prefix.replace(/[*?[\]\\]/g, "\\$&")}:${kind}:${table}:{.*}`;
}

/** What a key is for; undefined for keys that are not of this kind, whoever made them. */
export function placeOf(prefix: string, kind: Kind, key: string): Place | undefined {
  const start = `${prefix}:${kind}:`;
  if (!key.startsWith(start)) return undefined;
  const match = /^([a-z][a-z0-9_]*):\{\.(.*)\}$/su.exec(key.slice(start.length));
  return match === null ? undefined : { table: match[1] as string, of: unescaped(match[2] as string) };
}

/** A local part may hold braces (RFC 7622 3.3.1), and must not choose another's slot by them. The dot keeps the tag from being empty. */
function escaped(text: string): string {
  return text.replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
}

function unescaped(text: string): string {
  return text.replace(/%(25|7b|7d)/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
