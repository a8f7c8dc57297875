/** Holds a table against its schema, and says what is wrong as an operator would want to read it. */
import type { core, ZodType } from "zod";
import { nearest } from "./nearest.ts";

export type Checked<T> =
  | { readonly ok: true; readonly data: T }
  /** A line each: key, value, and what is allowed. */
  | { readonly ok: false; readonly mistakes: readonly string[] };

/** Keys ("storage.main.password") whose values came from elsewhere. */
export interface Origins {
  /** Not to be shown: they came from a file, or from a variable named like a secret. */
  readonly hidden: ReadonlySet<string>;
  /** Could not be had, and were complained of already. */
  readonly unread: ReadonlySet<string>;
}

const AS_WRITTEN: Origins = { hidden: new Set(), unread: new Set() };

/** `path` is where the table stands in the configuration. */
export function check<T>(
  schema: ZodType<T>,
  table: unknown,
  path: readonly string[] = [],
  origins: Origins = AS_WRITTEN,
): Checked<T> {
  const result = schema.safeParse(table, { reportInput: true, error: remedy });
  if (result.success) return { ok: true, data: result.data };
  return { ok: false, mistakes: result.error.issues.flatMap((issue) => mistakes(issue, path, origins)) };
}

function mistakes(issue: core.$ZodIssue, prefix: readonly string[], origins: Origins): string[] {
  const path = [...prefix, ...issue.path.map(String)];
  const key = path.join(".");
  if (origins.unread.has(key)) return [];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((unknown) => `${[...path, unknown].join(".")}: ${noSuchKey(unknown, issue.message)}`);
  }
  if (issue.code === "invalid_key") return [`${key}: ${issue.message}`];
  const input = inputOf(issue);
  if (input === undefined) return [`${key}: missing; ${issue.message}`];
  const isSecret = origins.hidden.has(key) || path.some((part) => /(password|secret|token)$/i.test(part));
  return [`${key} = ${isSecret ? "(hidden)" : shown(input)}: ${issue.message}`];
}

/** `known` is what `remedy` made of the keys there are. */
function noSuchKey(unknown: string, known: string): string {
  const meant = nearest(unknown, known.split(" "));
  if (meant !== undefined) return `there is no such key; did you mean "${meant}"?`;
  return known === ""
    ? "there are no keys here; take it out"
    : `there is no such key; there are ${known.replaceAll(" ", ", ")}`;
}

/** For a table of no known kind it is the kind that is wrong. */
function inputOf(issue: core.$ZodIssue): unknown {
  const { input } = issue;
  const discriminator = "discriminator" in issue ? String(issue.discriminator) : undefined;
  if (discriminator === undefined || typeof input !== "object" || input === null) return input;
  return (input as Record<string, unknown>)[discriminator];
}

/** Tables are never shown: there may be a secret in one. */
function shown(input: unknown): string {
  if (Array.isArray(input)) return input.some((item) => typeof item === "object") ? "a list" : clipped(input);
  if (input instanceof Date) return input.toISOString();
  if (typeof input === "object") return "a table";
  return typeof input === "string" ? clipped(input) : String(input);
}

function clipped(input: unknown): string {
  const text = JSON.stringify(input);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text in quotes",
  int: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list in [ ]",
  object: "a table",
  record: "a table",
};

/** What to do about an issue for which the schema has no words of its own. */
const remedy: core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return mustBeOneOf(issue.values, issue.input);
    case "invalid_union":
      return mustBeOneOf((issue.options ?? []) as unknown[], inputOf(issue as core.$ZodIssue));
    case "invalid_key":
      return issue.issues[0]?.message ?? "cannot be called that";
    case "too_small":
      return `must ${bound(issue.origin, Number(issue.minimum))} or more`;
    case "too_big":
      return `must ${bound(issue.origin, Number(issue.maximum))} or ${issue.origin === "number" ? "less" : "fewer"}`;
    case "unrecognized_keys":
      return keysOf(issue.inst).join(" ");
    default:
      return undefined;
  }
};

function bound(origin: string, limit: number): string {
  if (origin === "string") return `have ${limit} characters`;
  return origin === "array" ? `have ${limit} ${limit === 1 ? "entry" : "entries"}` : `be ${limit}`;
}

function mustBeOneOf(values: readonly unknown[], input: unknown): string {
  const words = values.map(String);
  const meant = typeof input === "string" ? nearest(input, words) : undefined;
  const list = words.map((word) => `"${word}"`).join(", ");
  return `must be ${words.length === 1 ? "" : "one of "}${list}${meant === undefined ? "" : `; did you mean "${meant}"?`}`;
}

function keysOf(schema: unknown): string[] {
  const { shape = {} } = (schema as { _zod?: { def: { shape?: object } } })._zod?.def ?? {};
  return Object.keys(shape);
}
