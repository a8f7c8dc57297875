import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../src/config/load.ts";
import { Health } from "../src/observe/health.ts";
import { createMetrics } from "../src/observe/metrics.ts";
import { memoryDriver } from "../src/storage/drivers/memory.ts";
import { watchStores } from "../src/store-watch.ts";
import { settled } from "./cluster/hand-clock.ts";
import { WoundClock } from "./support/clock.ts";
import { recordingLog } from "./support/logs.ts";

/** Two stores, of which the test says how they are: `main` has the accounts, `company` those of a host type of its own. */
async function watched() {
  const well = new Map([
    ["main", true],
    ["company", true],
  ]);
  const looks: string[] = [];
  const drivers = new Map(
    [...well.keys()].map((name) => [
      name,
      {
        ...memoryDriver(),
        async healthy() {
          looks.push(name);
          return well.get(name) === true;
        },
      },
    ]),
  );
  const config = parseConfig(`
    hosts = [{ domain = "a.example" }, { domain = "b.example", type = "company" }]
    storage = { main = { driver = "memory" }, company = { driver = "memory" } }
    host_types = { default = {}, company = { accounts = ["company"] } }
  `);
  const health = new Health();
  health.serving();
  const clock = new WoundClock();
  const { log, events } = recordingLog();
  const watch = watchStores(config, drivers, { health, metrics: createMetrics({ process: false }), log, clock });
  await settled();
  return { well, looks, health, clock, watch, events };
}

test("a store that is away is told of, and so is that it is back", async () => {
  const { well, health, clock, events } = await watched();
  assert.deepEqual(health.readiness(), { status: 200, text: "ready" });
  well.set("main", false);
  await clock.wind(5);
  assert.deepEqual(health.readiness(), { status: 503, text: "broken: storage, storage.main" });
  well.set("main", true);
  await clock.wind(5);
  assert.deepEqual(health.readiness(), { status: 200, text: "ready" });
  assert.deepEqual(
    events.map(({ event, store }) => [event, store]),
    [
      ["storage.lost", "main"],
      ["storage.back", "main"],
    ],
  );
});

test("a directory that is away does not shut out those who have nothing to do with it", async () => {
  const { well, health, clock } = await watched();
  well.set("company", false);
  await clock.wind(5);
  assert.deepEqual(health.readiness(), { status: 200, text: "ready, without storage.company" });
});

test("a store that is away is looked at soon again, then ever less often", async () => {
  const { well, looks, clock } = await watched();
  well.set("main", false);
  await clock.wind(5);
  const at: number[] = [];
  for (let tenths = 1; tenths <= 200; tenths++) {
    looks.length = 0;
    await clock.wind(0.05);
    if (looks.includes("main")) at.push(tenths * 50);
  }
  assert.deepEqual(at, [250, 750, 1750, 3750, 7750]);
});

test("a request that fails is a reason to look at once, but not for each of many", async () => {
  const { well, looks, health, clock, watch } = await watched();
  await clock.wind(1);
  well.set("main", false);
  looks.length = 0;
  for (let i = 0; i < 100; i++) watch.note("main", { writes: false, failed: true });
  await settled();
  assert.deepEqual(looks, ["main"]);
  assert.equal(health.readiness().status, 503);
});

test("a store that answers but keeps nothing is told of, and the node goes on", async () => {
  const { health, clock, watch, events } = await watched();
  for (let i = 0; i < 3; i++) watch.note("main", { writes: true, failed: true });
  await settled();
  assert.deepEqual(health.readiness(), { status: 200, text: "ready, without storage.main to write to" });
  assert.deepEqual(
    events.map(({ event }) => event),
    ["storage.refused"],
  );
  await clock.wind(9);
  watch.note("main", { writes: true, failed: false });
  assert.match(health.readiness().text, /without/, "what is small may still fit");
  await clock.wind(2);
  assert.equal(health.readiness().text, "ready", "it has refused nothing for a while");
  watch.note("main", { writes: false, failed: true });
  assert.equal(health.readiness().text, "ready", "reading says nothing about writing");
});

test("once stopped it looks no more", async () => {
  const { looks, clock, watch } = await watched();
  watch.stop();
  looks.length = 0;
  await clock.wind(60);
  assert.deepEqual(looks, []);
});
