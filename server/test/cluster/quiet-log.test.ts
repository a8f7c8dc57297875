import assert from "node:assert/strict";
import { test } from "node:test";
import { quietLog } from "../../src/cluster/redis/quiet-log.ts";
import { HandClock } from "./hand-clock.ts";

test("a storm of one event is one line a second, with the number of those held back", async () => {
  const clock = new HandClock();
  const lines: unknown[] = [];
  const log = quietLog((event, details) => lines.push([event, details]), clock);
  for (let i = 0; i < 150; i++) {
    log("cluster.redis.failed", { error: `${i}` });
    await clock.wind(10);
  }
  assert.deepEqual(lines, [
    ["cluster.redis.failed", { error: "0", silenced: 0 }],
    ["cluster.redis.failed", { error: "100", silenced: 99 }],
  ]);
});

test("another event is not held back", () => {
  const events: string[] = [];
  const log = quietLog((event) => events.push(event), new HandClock());
  log("cluster.redis.failed", {});
  log("cluster.lease.missed", {});
  assert.deepEqual(events, ["cluster.redis.failed", "cluster.lease.missed"]);
});
