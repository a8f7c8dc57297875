/** Puts the environment and the contents of files where the configuration asks for them. */
import type { Origins } from "./check.ts";

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): string;
}

export interface Filled extends Origins {
  readonly value: unknown;
  readonly mistakes: readonly string[];
}

/** `${VAR}` anywhere in a text, and `{ file = "/path" }` in place of one; what a file ends with in white space is cut off. */
export function fill(raw: unknown, surroundings: Surroundings): Filled {
  const mistakes: string[] = [];
  const hidden = new Set<string>();
  const unread = new Set<string>();

  function visit(value: unknown, path: readonly string[]): unknown {
    if (typeof value === "string") return expanded(value, path.join("."));
    if (Array.isArray(value)) return value.map((item, i) => visit(item, [...path, String(i)]));
    if (typeof value !== "object" || value === null || value instanceof Date) return value;
    const file = fileOf(value);
    if (file !== undefined) return contents(file, path.join("."));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]));
  }

  function expanded(text: string, key: string): string {
    return text.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, variable: string) => {
      const found = surroundings.env[variable];
      if (/password|secret|token/i.test(variable)) hidden.add(key);
      if (found !== undefined) return found;
      unread.add(key);
      mistakes.push(`${key}: there is no ${variable} in the environment; set it, or write the value here`);
      return "";
    });
  }

  function contents(file: string, key: string): string {
    const path = expanded(file, key);
    if (unread.has(key)) return "";
    hidden.add(key);
    try {
      return surroundings.readFile(path).trimEnd();
    } catch (error) {
      unread.add(key);
      mistakes.push(`${key}: ${path} cannot be read (${why(error)}); mend the path, or the file's permissions`);
      return "";
    }
  }

  return { value: visit(raw, []), mistakes, hidden, unread };
}

function fileOf(table: object): string | undefined {
  const entries = Object.entries(table);
  const [key, path] = entries[0] ?? [];
  return entries.length === 1 && key === "file" && typeof path === "string" ? path : undefined;
}

/** The system's short word for it, such as ENOENT, where there is one. */
export function why(error: unknown): string {
  if (error instanceof Error) return "code" in error ? String(error.code) : error.message;
  return String(error);
}
