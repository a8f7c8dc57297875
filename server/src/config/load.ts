/** From the text of meerkat.toml to a checked, frozen Config; all mistakes at once, each with key, value and remedy. */
import { readFileSync } from "node:fs";
import { parse } from "smol-toml";
import type { ZodError } from "zod";
import { type Config, schema } from "./schema.ts";

/** What is wrong with a configuration, a line a mistake. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(
      `the configuration has ${mistakes.length === 1 ? "a mistake" : `${mistakes.length} mistakes`}:\n  ${mistakes.join("\n  ")}`,
    );
    this.mistakes = mistakes;
  }
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): string;
}

const REAL: Surroundings = { env: process.env, readFile: (path) => readFileSync(path, "utf8") };

/** Reads the file named by MEERKAT_CONFIG; without one, the defaults. Throws a ConfigError. */
export function loadConfig(surroundings: Surroundings = REAL): Config {
  const path = surroundings.env.MEERKAT_CONFIG;
  if (path === undefined || path === "") return parseConfig("", surroundings);
  let text: string;
  try {
    text = surroundings.readFile(path);
  } catch (error) {
    throw new ConfigError([`MEERKAT_CONFIG = "${path}": cannot be read: ${message(error)}`]);
  }
  return parseConfig(text, surroundings);
}

/** Throws a ConfigError that names every mistake. */
export function parseConfig(text: string, surroundings: Surroundings = REAL): Config {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    throw new ConfigError([`not TOML: ${message(error)}`]);
  }
  const mistakes: string[] = [];
  const filled = fill(raw, "", surroundings, mistakes);
  const checked = schema.safeParse(filled, { reportInput: true });
  if (!checked.success) mistakes.push(...mistakesOf(checked.error));
  if (checked.success) mistakes.push(...contradictions(checked.data));
  if (mistakes.length > 0 || !checked.success) throw new ConfigError(mistakes);
  return deepFreeze(checked.data);
}

/** A line for each thing that a schema found wrong. */
export function mistakesOf(error: ZodError, prefix: readonly string[] = []): string[] {
  return error.issues.map((issue) => {
    const path = [...prefix, ...issue.path.map(String)];
    const key = path.join(".");
    if (issue.code === "unrecognized_keys") {
      return `${issue.keys.map((unknown) => [key, unknown].filter(Boolean).join(".")).join(", ")}: there is no such key; take it out or mend its spelling`;
    }
    return `${key} = ${shown(issue.input, path)}: ${issue.message}`;
  });
}

/** Puts the environment and the contents of files where the text asks for them. */
function fill(value: unknown, path: string, surroundings: Surroundings, mistakes: string[]): unknown {
  if (typeof value === "string") {
    return value.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, variable: string) => {
      const found = surroundings.env[variable];
      if (found === undefined) mistakes.push(`${path}: the environment has no ${variable}; set it, or write the value`);
      return found ?? "";
    });
  }
  if (Array.isArray(value)) return value.map((item, i) => fill(item, `${path}.${i}`, surroundings, mistakes));
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "file" && typeof (value as { file: unknown }).file === "string") {
    const file = String(fill((value as { file: string }).file, path, surroundings, mistakes));
    try {
      return surroundings.readFile(file).trimEnd();
    } catch (error) {
      mistakes.push(`${path}: the file "${file}" cannot be read: ${message(error)}`);
      return "";
    }
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      fill(item, path === "" ? key : `${path}.${key}`, surroundings, mistakes),
    ]),
  );
}

/** What is right key by key, and wrong together. */
function contradictions(config: Config): string[] {
  const mistakes: string[] = [];
  const stores = Object.keys(config.storage);
  for (const [name, type] of Object.entries(config.host_types)) {
    for (const store of [...type.accounts, type.storage]) {
      if (stores.includes(store)) continue;
      mistakes.push(
        `host_types.${name}: there is no store "${store}"; name one of ${stores.join(", ")}, or add storage.${store}`,
      );
    }
  }
  const types = Object.keys(config.host_types);
  const domains = new Set<string>();
  config.hosts.forEach(({ domain, type }, i) => {
    if (!types.includes(type))
      mistakes.push(`hosts.${i}.type = "${type}": there is no such host type; name one of ${types.join(", ")}`);
    if (domains.has(domain)) mistakes.push(`hosts.${i}.domain = "${domain}": served twice; take one out`);
    domains.add(domain);
  });
  const taken = new Set<string>();
  config.listen.forEach(({ host, port }, i) => {
    const address = `${host}:${port}`;
    if (port !== 0 && taken.has(address))
      mistakes.push(`listen.${i}: ${address} is taken by another listener; change one port`);
    taken.add(address);
  });
  if (config.cluster.kind === "redis" && config.cluster.lease_for < 2 * config.cluster.renew_every) {
    mistakes.push("cluster.lease_for: must be at least twice cluster.renew_every, or living nodes are taken for dead");
  }
  return mistakes;
}

function shown(input: unknown, path: readonly string[]): string {
  if (path.some((key) => /password|secret/.test(key))) return "(hidden)";
  if (input === undefined) return "(missing)";
  const text = JSON.stringify(input) ?? String(input);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
