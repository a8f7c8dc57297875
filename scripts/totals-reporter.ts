// A node:test reporter that writes one line, "passed N failed N skipped N", when the whole run has ended.
import type { TestEvent } from "node:test/reporters";

interface Counts {
  tests: number;
  passed: number;
  skipped: number;
  todo: number;
}

/** What neither passed nor was left out has failed, a cancelled test too; one marked todo counts as skipped. */
export function totalsLine({ tests, passed, skipped, todo }: Counts): string {
  return `passed ${passed} failed ${tests - passed - skipped - todo} skipped ${skipped + todo}\n`;
}

export default async function* totals(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    // A summary with a file is that file's own; the last one is of all.
    if (event.type === "test:summary" && event.data.file === undefined) yield totalsLine(event.data.counts);
  }
}
