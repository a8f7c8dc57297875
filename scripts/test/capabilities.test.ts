import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { count, render, subjectOf, type Table } from "../capabilities.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-capabilities-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The table of a run of these tests, by the first word of each line. */
function tableOf(source: string): ReadonlyMap<string, string> {
  const file = join(folder, "some.test.ts");
  writeFileSync(file, `import { describe, it } from "node:test";\n${source}`);
  const reporter = resolve(import.meta.dirname, "../capabilities-reporter.ts");
  // Under node:test a child would speak the runner's own protocol.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = spawnSync("node", ["--test", `--test-reporter=${reporter}`, file], { encoding: "utf8", env });
  return new Map(stdout.split("\n").map((line) => [line.split("  ")[0] ?? "", line.replace(/ {2,}/g, " | ")]));
}

describe("the table of capabilities", () => {
  it("counts tests passed and failed by the driver and the capability that their suite names", () => {
    const table = tableOf(`
      describe("map over redis", () => {
        it("a", () => {});
        it("b", async (t) => { await t.test("a step", () => {}); });
        it("c", () => { throw new Error("no"); });
        it.skip("d", () => {});
        it.todo("e");
      });
      describe("map over redis", () => { it("from another file", () => {}); });
      describe("faults over redis", () => { it("late", { timeout: 1 }, () => new Promise((done) => setTimeout(done, 200))); });
      describe("accounts over redis", { skip: "none" }, () => { it("a", () => {}); });
      describe("something else", () => { it("a", () => {}); });
    `);
    assert.equal(table.get("redis"), "redis | - | 3, 1 failed | - | - | - | - | - | 0, 1 failed");
    assert.equal(table.get("something else"), undefined);
  });

  it("counts the tests of a suite that cannot begin as failed", () => {
    const table = tableOf(`
      import { before } from "node:test";
      describe("queue over memory", () => { before(() => { throw new Error("no"); }); it("a", () => {}); it("b", () => {}); });
    `);
    assert.match(table.get("memory") ?? "", /\| 0, 2 failed \|/);
  });

  it("has a row for each driver, whether it ran or not, and says of Riak what is missing", () => {
    const lines = render(new Map()).split("\n");
    assert.deepEqual(
      lines.slice(1, -1).map((line) => line.split(/ {2,}/)),
      [
        ...["memory", "sqlite", "postgres", "mysql (MariaDB)", "redis", "ldap", "http", "riak (double)"].map(
          (driver) => [driver, "not run"],
        ),
        ["riak (cluster)", "RIAK_URL not set"],
      ],
    );
  });

  it("puts a variant of a driver under it, and a driver that it does not know at the end", () => {
    const table: Table = new Map();
    for (const driver of ["zebra", "redis (single)", "memory, cached", "riak (double)"])
      count(table, `map over ${driver}`, "passed");
    const names = render(table)
      .split("\n")
      .map((line) => line.split(/ {2,}/)[0]);
    assert.deepEqual(names.slice(1, 4), ["memory", "memory, cached", "sqlite"]);
    assert.equal(names[names.indexOf("redis") + 1], "redis (single)");
    assert.equal(names.at(-2), "zebra");
  });

  it("knows what a suite is about by its name alone", () => {
    assert.deepEqual(subjectOf("map over sqlite in memory"), { driver: "sqlite in memory", capability: "map" });
    assert.equal(subjectOf("trouble over sqlite"), undefined);
    assert.equal(subjectOf("postgres"), undefined);
  });
});
