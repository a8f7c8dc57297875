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

/** The thread's time at work, milliseconds. */
function atWork(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/**
 * The longest delay of the event loop, which other work on the machine adds to, and the most work in one turn of the loop,
 * which it does not.
 */
async function watched(what: string, work: () => Promise<unknown>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const turns: number[] = [];
  let last = atWork();
  let ended = false;
  const turn = () => {
    const now = atWork();
    turns.push(now - last);
    last = now;
    if (!ended) setImmediate(turn);
  };
  delay.enable();
  await setTimeout(5);
  delay.reset();
  last = atWork();
  setImmediate(turn);
  await work();
  await setTimeout(5);
  ended = true;
  delay.disable();
  turns.sort((a, b) => a - b);
  const ms = (value: number) => value.toFixed(1).padStart(7);
  // Turns in which nothing was done say nothing.
  const busy = turns.filter((each) => each > 0.1);
  const most = `work in one turn: median ${ms(median(busy))}, most ${ms(turns.at(-1) ?? 0)}`;
  console.log(`${what.padEnd(40)} ${most}   delay: p99 ${ms(delay.percentile(99) / 1e6)}, most ${ms(delay.max / 1e6)}`);
}

const median = (sorted: readonly number[]) => sorted[Math.floor(sorted.length / 2)] ?? 0;

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
