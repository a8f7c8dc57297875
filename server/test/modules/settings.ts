/** What is wrong with a module's settings, as the operator would read it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse as parseToml } from "smol-toml";
import { check } from "../../src/config/check.ts";
import type { AnyModule } from "../../src/module/api.ts";

export function mistakesOf(module: AnyModule, settings: string): readonly string[] {
  assert.ok(module.config);
  const checked = check(module.config, parseToml(settings), [module.name]);
  return checked.ok ? [] : checked.mistakes;
}

/** Each of these settings is taken. */
export function taken(module: AnyModule, ...good: readonly string[]): void {
  for (const settings of good) {
    test(`${module.name}: ${settings} is taken`, () => assert.deepEqual(mistakesOf(module, settings), []));
  }
}

/** Each of these settings is one mistake, of which the operator reads this. */
export function mistaken(module: AnyModule, bad: Readonly<Record<string, string>>): void {
  for (const [settings, told] of Object.entries(bad)) {
    test(`${module.name}: ${settings} is a mistake`, () => {
      const mistakes = mistakesOf(module, settings);
      assert.equal(mistakes.length, 1, mistakes.join("\n"));
      assert.ok(mistakes[0]?.includes(told), mistakes[0]);
    });
  }
}
