import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { LOG_LEVELS, silentLog } from "../../src/observe/log.ts";

const LOG = new URL("../../src/observe/log.ts", import.meta.url).href;
const ALL_LEVELS = 'log.debug("a.b"); log.info("a.b"); log.warn("a.b"); log.error("a.b");';

/** What a process does with a log; one process does it all, for starting one costs more than the rest. */
const RUNS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(LOG_LEVELS.map((level) => [level, `const log = createLog("${level}"); ${ALL_LEVELS}`])),
  fields: 'createLog("info").info("session.opened", { jid: "alice@example.org/a", ms: 3 });',
  with: 'const log = createLog("info"); log.with({ node: "n1" }).with({ host: "h" }).info("x.y"); log.info("x.y");',
  error: 'createLog("info").error("x.failed", { error: new TypeError("no", { cause: new Error("because") }) });',
  lines: 'createLog("info").info("x.y", { text: "one\\ntwo" });',
  nothing: `const log = silentLog; ${ALL_LEVELS} log.with({ a: 1 }).error("x.y");`,
  exit: 'createLog("info").info("node.stopped"); process.exit(0);',
};

type Line = Readonly<Record<string, unknown>>;
const written = new Map<string, readonly Line[]>();

before(async () => {
  const runs = Object.entries(RUNS).map(([name, run]) => `writeSync(1, "== ${name}\\n"); { ${run} }`);
  const program = [
    `import { createLog, silentLog } from ${JSON.stringify(LOG)};`,
    'import { writeSync } from "node:fs";',
    ...runs,
  ].join("\n");
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  assert.equal(stderr, "");
  for (const part of stdout.split("== ").slice(1)) {
    const [name = "", ...lines] = part.trimEnd().split("\n");
    written.set(
      name,
      lines.map((line) => JSON.parse(line)),
    );
  }
});

function lines(run: string): readonly Line[] {
  return written.get(run) as readonly Line[];
}

for (const [i, level] of LOG_LEVELS.entries()) {
  test(`at level ${level} what is less important is not written`, () => {
    const expected = LOG_LEVELS.filter((other) => other !== "silent").slice(i);
    assert.deepEqual(
      lines(level).map((line) => line.level),
      expected,
    );
  });
}

test("a line is the time, the level, what happened, and the fields of the event", () => {
  const [{ time, ...rest } = {}] = lines("fields");
  assert.deepEqual(rest, { level: "info", what: "session.opened", jid: "alice@example.org/a", ms: 3 });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("a log made with fields writes them on every line, and the one it was made of does not", () => {
  assert.deepEqual(
    lines("with").map(({ node, host }) => [node, host]),
    [
      ["n1", "h"],
      [undefined, undefined],
    ],
  );
});

test("an error is written with its name, its message, its stack and its cause", () => {
  const error = lines("error")[0]?.error as { type: string; message: string; stack: string };
  assert.equal(error.type, "TypeError");
  assert.match(error.message, /^no/);
  assert.match(error.stack, /TypeError: no\n\s+at [\s\S]*because/);
});

test("a line break in a field does not begin a new line", () => {
  assert.deepEqual(
    lines("lines").map(({ text }) => text),
    ["one\ntwo"],
  );
});

test("the last line before the process ends is written", () => {
  assert.deepEqual(
    lines("exit").map(({ what }) => what),
    ["node.stopped"],
  );
});

test("the silent log has the same methods, and says nothing", () => {
  assert.deepEqual(lines("nothing"), []);
  assert.equal(silentLog.with({}), silentLog);
});
