/** What timing a call of a store, and keeping its answers, costs beside a call that has nothing to wait for. */
import { createMetrics } from "../src/observe/metrics.ts";
import { cached } from "../src/storage/cached.ts";
import { memoryDriver } from "../src/storage/drivers/memory.ts";
import { json, type StorageDriver } from "../src/storage/specs.ts";
import { timed } from "../src/storage/timed.ts";
import { Jid } from "../src/xmpp/jid.ts";

const ROUNDS = 9;
const TIMES = 100_000;
const alice = new Jid("alice", "example.org");
const metrics = createMetrics({ process: false });

/** Nanoseconds a call; the best of several rounds, since whatever else the machine does only ever adds. */
async function best(driver: StorageDriver, freshFor?: number): Promise<number> {
  const store = driver.keyValue?.("bench", json<string>(), { freshFor });
  await store?.set(alice, "here");
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < TIMES; i++) await store?.get(alice);
    least = Math.min(least, Number(process.hrtime.bigint() - started) / TIMES);
  }
  return least;
}

const memory = memoryDriver();
const bare = await best(memory);
const rows: [string, number][] = [
  ["a read from memory", bare],
  ["the same, timed", await best(timed(memory, "bench", metrics))],
  ["answered by the cache", await best(cached(memory, { store: "bench", entries: 1000, metrics }), 60_000)],
];
for (const [name, ns] of rows) {
  console.log(`${name.padEnd(30)} ${ns.toFixed(0).padStart(6)} ns   ${(ns - bare).toFixed(0).padStart(6)} ns more`);
}
