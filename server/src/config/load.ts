/** From the text of meerkat.toml to a checked, frozen Config; all mistakes at once, each with key, value and remedy. */
import { readFileSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import { check } from "./check.ts";
import { contradictions } from "./contradictions.ts";
import { fill, type Surroundings, why } from "./fill.ts";
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

const REAL: Surroundings = { env: process.env, readFile: (path) => readFileSync(path, "utf8") };

/** Reads the file named by MEERKAT_CONFIG; without one, the defaults. Throws a ConfigError. */
export function loadConfig(surroundings: Surroundings = REAL): Config {
  const path = surroundings.env.MEERKAT_CONFIG;
  if (path === undefined || path === "") return parseConfig("", surroundings);
  let text: string;
  try {
    text = surroundings.readFile(path);
  } catch (error) {
    throw new ConfigError([`MEERKAT_CONFIG = "${path}": the file cannot be read (${why(error)})`]);
  }
  return parseConfig(text, surroundings);
}

/** Throws a ConfigError that names every mistake. */
export function parseConfig(text: string, surroundings: Surroundings = REAL): Config {
  const filled = fill(parseToml(text), surroundings);
  const checked = check(schema, filled.value, [], filled);
  const sound = checked.ok ? checked.data : soundSections(filled.value);
  const mistakes = [...filled.mistakes, ...(checked.ok ? [] : checked.mistakes), ...contradictions(sound)];
  if (mistakes.length > 0 || !checked.ok) throw new ConfigError(mistakes);
  return deepFreeze(checked.data);
}

function parseToml(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The rest of the message shows the lines around, in which there may be a secret.
    const [what = ""] = error.message.replace("Invalid TOML document: ", "").split("\n");
    throw new ConfigError([`line ${error.line}, column ${error.column}: not TOML: ${what}`]);
  }
}

/** The sections that have no mistake of their own, so that what contradicts between them is told along with the rest. */
function soundSections(value: unknown): Partial<Config> {
  const sections = Object.entries(schema.shape).flatMap(([key, section]) => {
    const { success, data } = section.safeParse((value as Record<string, unknown>)[key]);
    return success ? [[key, data]] : [];
  });
  return Object.fromEntries(sections);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
