import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, beforeEach, it } from "node:test";

const SOURCE = resolve(import.meta.dirname, "..");
const root = mkdtempSync(join(tmpdir(), "meerkat-totals-"));
cpSync(SOURCE, join(root, "scripts"), { recursive: true });
writeFileSync(join(root, ".env.example"), "");
writeFileSync(join(root, "package.json"), '{ "type": "module" }');
symlinkSync(resolve(SOURCE, "../node_modules"), join(root, "node_modules"));
after(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => rmSync(join(root, ".build"), { recursive: true, force: true }));

function run(script: string, ...args: string[]): { status: number | null; last: string } {
  // Under node:test a child would speak the runner's own protocol.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(join(root, "scripts", script), args, { encoding: "utf8", env, cwd: root });
  return { status, last: stdout.trimEnd().split("\n").at(-1) ?? "" };
}

function suite(name: string, source: string): number | null {
  writeFileSync(join(root, `${name}.test.ts`), `import { it } from "node:test";\n${source}`);
  return run("suite", name, join(root, `${name}.test.ts`)).status;
}

it("sums passed, failed, cancelled, skipped and todo over all suites", () => {
  assert.equal(suite("good", 'it("a", () => {}); it("b", () => {}); it.skip("c", () => {}); it.todo("d");'), 0);
  assert.deepEqual(run("totals"), { status: 0, last: "2 passed, 0 failed, 2 skipped" });
  assert.equal(
    suite(
      "bad",
      'it("a", () => {}); it("b", () => { throw new Error("no"); }); it("c", { timeout: 1 }, () => new Promise((r) => setTimeout(r, 1e3)));',
    ),
    1,
  );
  assert.deepEqual(run("totals"), { status: 1, last: "3 passed, 2 failed, 2 skipped" });
});

it("counts a suite that crashes, or that has no file, as failed", () => {
  assert.equal(suite("crash", "process.exit(3);"), 1);
  assert.deepEqual(run("totals"), { status: 1, last: "0 passed, 1 failed, 0 skipped" });
  assert.notEqual(run("suite", "absent", join(root, "absent.test.ts")).status, 0);
  assert.deepEqual(run("totals"), { status: 1, last: "0 passed, 2 failed, 0 skipped" });
});

it("fails when nothing ran", () => {
  assert.deepEqual(run("totals"), { status: 1, last: "0 passed, 1 failed, 0 skipped" });
});

it("counts a mutilated record as failed", () => {
  mkdirSync(join(root, ".build/totals"), { recursive: true });
  writeFileSync(join(root, ".build/totals/x"), "passed 4 fai");
  assert.deepEqual(run("totals"), { status: 1, last: "0 passed, 1 failed, 0 skipped" });
});
