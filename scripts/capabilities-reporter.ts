// A node:test reporter that writes the table of capabilities when the whole run has ended.
import type { TestEvent } from "node:test/reporters";
import { count, render, type Table } from "./capabilities.ts";

export default async function* capabilities(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const table: Table = new Map();
  /** The suites and tests that have been started and are not over, the outermost first. */
  const open: string[] = [];
  for await (const event of source) {
    if (event.type === "test:start") {
      open.length = event.data.nesting;
      open.push(event.data.name);
    }
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { nesting, skip, todo, details } = event.data;
    open.length = nesting;
    if (details.type === "suite" || skip !== undefined || todo !== undefined) continue;
    // A test that is one step deeper than its suite is counted, and the steps inside a test are not.
    const suite = open.at(-1);
    if (suite !== undefined) count(table, suite, event.type === "test:pass" ? "passed" : "failed");
  }
  yield render(table);
}
