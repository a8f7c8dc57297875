import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { it } from "node:test";

const ROOT = resolve(import.meta.dirname, "../..");
const example = readFileSync(resolve(ROOT, ".env.example"), "utf8");
const knobs = new Set([...example.matchAll(/^([A-Z][A-Z0-9_]*)=/gm)].map((match) => match[1]));

it("every variable of the compose files is a knob that .env.example explains", () => {
  for (const file of globSync("compose/*.yaml", { cwd: ROOT })) {
    const text = readFileSync(resolve(ROOT, file), "utf8")
      .replaceAll(/^\s*#.*$/gm, "")
      .replaceAll("$$", "");
    for (const [, name] of text.matchAll(/\$\{([A-Z][A-Z0-9_]*)/g)) {
      assert.ok(knobs.has(name), `${file}: \${${name}} is not in .env.example`);
    }
  }
});

it("every knob has a line above it that explains it", () => {
  const lines = example.split("\n");
  lines.forEach((line, i) => {
    if (/^[A-Z]/.test(line)) assert.match(lines[i - 1] ?? "", /^# \S/, `${line} is not explained`);
  });
});
