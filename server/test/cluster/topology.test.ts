import assert from "node:assert/strict";
import { test } from "node:test";
import { Commands } from "../../src/cluster/redis/connection.ts";
import { Topology } from "../../src/cluster/redis/topology.ts";
import { HandClock } from "./hand-clock.ts";

/** The commands run here never look at the client. */
function watch() {
  const clock = new HandClock();
  const commands = new Commands(() => undefined as never, { clock, answerWithin: 60_000, maxPending: 10 });
  const refreshed: number[] = [];
  const topology = new Topology({ clock, commands, refresh: () => refreshed.push(clock.now()) });
  topology.start();
  return { clock, commands, refreshed, topology };
}

test("while all goes well the slots are looked up every five seconds", async () => {
  const { clock, refreshed } = watch();
  await clock.wind(15_000);
  assert.deepEqual(refreshed, [5000, 10_000, 15_000]);
});

test("after a failure, and while a command hangs, they are looked up every second", async () => {
  const { clock, commands, refreshed } = watch();
  await commands.run(() => Promise.reject(new Error("CLUSTERDOWN"))).catch(() => {});
  await clock.wind(1500);
  assert.deepEqual(refreshed, [1000]);
  const hung = Promise.withResolvers<void>();
  const answered = commands.run(() => hung.promise);
  await clock.wind(2500);
  assert.deepEqual(refreshed, [1000, 3000, 4000]);
  hung.resolve();
  await answered;
  await clock.wind(4000);
  assert.deepEqual(refreshed, [1000, 3000, 4000]);
});

test("stopped, it looks no more", async () => {
  const { clock, refreshed, topology } = watch();
  topology.stop();
  await clock.wind(60_000);
  assert.deepEqual(refreshed, []);
});
