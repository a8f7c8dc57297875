import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReadGate, Shaper } from "../../src/net/shaper.ts";
import { HandTimers } from "./support.ts";

test("a burst passes at once, and a debt is waited off at the rate", () => {
  const timers = new HandTimers();
  const shaper = new Shaper({ rate: 1000, burst: 500 }, timers);
  assert.equal(shaper.take(500), 0);
  assert.equal(shaper.take(1), 1);
  assert.equal(shaper.take(999), 1000);
  timers.wind(1000);
  assert.equal(shaper.take(0), 0);
});

test("a long silence saves up no more than the burst", () => {
  const timers = new HandTimers();
  const shaper = new Shaper({ rate: 1000, burst: 500 }, timers);
  timers.wind(3_600_000);
  assert.equal(shaper.take(500), 0);
  assert.equal(shaper.take(100), 100);
});

test("whatever the reads, no more passes than the burst, the rate over the time, and the last read", () => {
  const seed = 20261124;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 50 }), (reads) => {
      const timers = new HandTimers();
      const shaper = new Shaper({ rate: 10_000, burst: 5_000 }, timers);
      let passed = 0;
      for (const bytes of reads) {
        assert.ok(passed <= 5_000 + timers.now() * 10 + 1, `${passed} bytes by ${timers.now()} ms`);
        passed += bytes;
        timers.wind(shaper.take(bytes));
      }
    }),
    { seed },
  );
});

test("a shaper without a rate or a burst is refused", () => {
  assert.throws(() => new Shaper({ rate: 0, burst: 1 }, new HandTimers()), RangeError);
  assert.throws(() => new Shaper({ rate: 1, burst: 0 }, new HandTimers()), RangeError);
});

test("the gate opens only when neither the receiver nor the shaper holds it", () => {
  const timers = new HandTimers();
  const seen: string[] = [];
  const gate = new ReadGate(
    timers,
    { rate: 1000, burst: 1000 },
    () => seen.push("stop"),
    () => seen.push("go"),
  );
  gate.took(2000);
  gate.pause();
  timers.wind(1000);
  assert.deepEqual(seen, ["stop"]);
  gate.resume();
  assert.deepEqual(seen, ["stop", "go"]);
  gate.pause();
  gate.took(1000);
  gate.resume();
  assert.deepEqual(seen, ["stop", "go", "stop"]);
  timers.wind(1000);
  assert.deepEqual(seen, ["stop", "go", "stop", "go"]);
  gate.took(1000);
  gate.dispose();
  assert.equal(timers.pending, 0);
});
