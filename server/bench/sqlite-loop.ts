/**
 * How long SQLite, whose calls are synchronous, keeps everything else waiting: the delay of the event loop while archives
 * of 100,000 items are written, read and shortened. The idle line is what the machine itself adds.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { archiveIdAt } from "../src/storage/archive-id.ts";
import { sqliteDriver } from "../src/storage/drivers/sqlite/sqlite.ts";
import { type ArchiveStore, archive } from "../src/storage/specs.ts";
import { Jid } from "../src/xmpp/jid.ts";

const ROWS = Number(process.env.BENCH_ROWS ?? 100_000);
const OWNERS = 500;
const VALUE = "x".repeat(400);
const START = Date.UTC(2026, 0, 1);
const text = { encode: (xml: string) => xml, decode: (stored: string) => stored };
const bob = new Jid("bob", "example.org", "phone");
const alice = new Jid("alice", "example.org");

const folder = mkdtempSync(join(tmpdir(), "meerkat-loop-"));
const driver = sqliteDriver({ path: join(folder, "loop.sqlite"), batchQueue: ROWS, batchQueueBytes: 1e9 });
await driver.migrate();
const open = (table: string) => archive<string>(table, text).open(driver) as ArchiveStore<string>;

/** Milliseconds: the longest delay, that of one in a hundred, and how long it all took. */
async function watched(what: string, work: () => Promise<unknown>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await setTimeout(5);
  delay.reset();
  const cpu = process.threadCpuUsage();
  const started = performance.now();
  await work();
  const took = performance.now() - started;
  const { user, system } = process.threadCpuUsage(cpu);
  await setTimeout(5);
  delay.disable();
  const ms = (nanoseconds: number) => (nanoseconds / 1e6).toFixed(1).padStart(7);
  const total = `${Math.round(took)} ms, of which ${Math.round((user + system) / 1000)} at work`;
  console.log(`${what.padEnd(44)} longest ${ms(delay.max)}  p99 ${ms(delay.percentile(99))}  in all ${total}`);
}

const one = open("one");
const many = open("many");
const append = (store: ArchiveStore<string>, owner: (n: number) => Jid) => async () => {
  for (let n = 0; n < ROWS; n += 500) {
    const some = Array.from({ length: 500 }, (_, i) => n + i);
    await Promise.all(
      some.map((each) => store.append(owner(each), { id: archiveIdAt(START + each * 1000), with: bob, value: VALUE })),
    );
  }
};
const times = (count: number, work: (n: number) => Promise<unknown>) => async () => {
  for (let n = 0; n < count; n++) {
    await work(n);
    await setTimeout(1);
  }
};
const id = (n: number) => archiveIdAt(START + ((n * 7919) % ROWS) * 1000);

await watched("idle", () => setTimeout(2000));
await watched(
  `append ${ROWS}, one owner`,
  append(one, () => alice),
);
await watched(
  `append ${ROWS}, ${OWNERS} owners`,
  append(many, (n) => new Jid(`user${n % OWNERS}`, "example.org")),
);
await watched(
  "page of 50",
  times(300, (n) => one.page(alice, { from: "newest", max: 50, before: id(n) })),
);
await watched(
  "page of 1000",
  times(50, (n) => one.page(alice, { from: "oldest", max: 1000, after: id(n) })),
);
await watched(
  "page of 50 with one who is not there",
  times(50, () => one.page(alice, { from: "newest", max: 50, with: alice })),
);
await watched(
  "count to 100,000",
  times(10, () => one.count(alice, {}, 100_000)),
);
await watched(`expire half of ${OWNERS} owners'`, () => many.expire(START + (ROWS / 2) * 1000));
await watched("trim one owner's to a tenth", () => one.trim(alice, ROWS / 10));
await watched("purge one owner's", () => one.purge(alice));
await driver.close();
rmSync(folder, { recursive: true });
