import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { LOG_LEVELS, silentLog } from "../../src/observe/log.ts";

const LOG = new URL("../../src/observe/log.ts", import.meta.url).href;

/** The lines that a process with this log writes to its standard output. */
async function lines(level: string, run: string): Promise<Record<string, unknown>[]> {
  const program = `import { createLog } from ${JSON.stringify(LOG)};\nconst log = createLog(${JSON.stringify(level)});\n${run}`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

const ALL_LEVELS = 'log.debug("a.b"); log.info("a.b"); log.warn("a.b"); log.error("a.b");';

for (const [i, level] of LOG_LEVELS.entries()) {
  test(`at level ${level} what is less important is not written`, async () => {
    const written = (await lines(level, ALL_LEVELS)).map((line) => line.level);
    assert.deepEqual(written, LOG_LEVELS.filter((other) => other !== "silent").slice(i));
  });
}

test("a line is the time, the level, what happened, and the fields of the event", async () => {
  const [line = {}] = await lines("info", 'log.info("session.opened", { jid: "alice@example.org/a", ms: 3 });');
  const { time, ...rest } = line;
  assert.deepEqual(rest, { level: "info", what: "session.opened", jid: "alice@example.org/a", ms: 3 });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("a log made with fields writes them on every line, its own maker's first", async () => {
  const written = await lines(
    "info",
    'const b = log.with({ node: "n1" }).with({ host: "h" }); b.info("x.y"); log.info("x.y");',
  );
  assert.deepEqual(
    written.map(({ node, host }) => [node, host]),
    [
      ["n1", "h"],
      [undefined, undefined],
    ],
  );
});

test("an error is written with its name, its message, its stack and its cause", async () => {
  const [line] = await lines(
    "info",
    'log.error("x.failed", { error: new TypeError("no", { cause: new Error("because") }) });',
  );
  const error = line?.error as { type: string; message: string; stack: string };
  assert.equal(error.type, "TypeError");
  assert.match(error.message, /^no/);
  assert.match(error.stack, /TypeError: no\n\s+at [\s\S]*because/);
});

test("a line break in a field does not begin a new line", async () => {
  const written = await lines("info", 'log.info("x.y", { text: "one\\ntwo" });');
  assert.deepEqual(
    written.map(({ text }) => text),
    ["one\ntwo"],
  );
});

test("the last line before the process ends is written", async () => {
  const written = await lines("info", 'log.info("node.stopped"); process.exit(0);');
  assert.deepEqual(
    written.map(({ what }) => what),
    ["node.stopped"],
  );
});

test("the silent log has the same methods, and says nothing", async () => {
  const program = `import { silentLog } from ${JSON.stringify(LOG)}; const log = silentLog; ${ALL_LEVELS} log.with({ a: 1 }).error("x.y");`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  assert.equal(stdout + stderr, "");
  assert.equal(silentLog.with({}), silentLog);
});
