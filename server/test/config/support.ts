/** Configurations in a made-up environment, and what is wrong with them. */
import assert from "node:assert/strict";
import type { Surroundings } from "../../src/config/fill.ts";
import { ConfigError, parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

type Env = Readonly<Record<string, string>>;

export function surroundings(env: Env = {}, files: Env = {}): Surroundings {
  return {
    env,
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: "ENOENT" });
      return text;
    },
  };
}

export function read(toml: string, env?: Env, files?: Env): Config {
  return parseConfig(toml, surroundings(env, files));
}

export function mistakesIn(toml: string, env?: Env, files?: Env): readonly string[] {
  return mistakesOf(() => read(toml, env, files));
}

export function mistakesOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.mistakes;
  }
  return [];
}
