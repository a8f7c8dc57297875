import assert from "node:assert/strict";
import { test } from "node:test";
import { Subscriber } from "../../src/cluster/redis/subscriber.ts";
import { HandClock, settled } from "./hand-clock.ts";

/** A channel that can fall silent; each opening is kept, so that a test can look at what became of it. */
function listen() {
  const clock = new HandClock();
  const wire = { silent: false, hangs: false, stalled: false };
  const opened: { heard: (text: string) => void; closed: boolean; finish: () => void }[] = [];
  const heard: string[] = [];
  const subscriber = new Subscriber({
    clock,
    log: () => {},
    boot: "boot-a",
    open(onText) {
      const ready = Promise.withResolvers<void>();
      const opening = { heard: onText, closed: false, finish: () => ready.resolve() };
      const close = () => {
        opening.closed = true;
      };
      opened.push(opening);
      if (!wire.hangs) opening.finish();
      return { ready: ready.promise, close };
    },
    async publish(text) {
      if (wire.stalled) throw new Error("Command timed out");
      if (wire.silent) return 0;
      for (const opening of opened) if (!opening.closed) opening.heard(text);
      return 1;
    },
    heard: (text) => heard.push(text),
    beatEvery: 500,
    beatWithin: 2000,
  });
  return { clock, wire, opened, heard, subscriber };
}

test("while it hears itself it stays as it is", async () => {
  const { clock, opened, subscriber } = listen();
  subscriber.start();
  await clock.wind(60_000);
  assert.ok(subscriber.heardWithin(2000));
  assert.equal(opened.length, 1);
  assert.ok(subscriber.beatsHeard >= 119);
});

test("after two seconds of silence it is torn down and built anew, and hears again", async () => {
  const { clock, wire, opened, subscriber } = listen();
  subscriber.start();
  await clock.wind(5000);
  wire.silent = true;
  await clock.wind(2000);
  assert.equal(opened.length, 1);
  await clock.wind(501);
  assert.ok(!subscriber.heardWithin(2000));
  assert.equal(opened.length, 2);
  assert.ok(opened[0]?.closed);
  wire.silent = false;
  await clock.wind(500);
  assert.ok(subscriber.heardWithin(2000));
  assert.equal(subscriber.resubscribes, 1);
});

test("while Redis takes no beat the connection is kept three times as long, and heals by itself", async () => {
  const { clock, wire, opened, subscriber } = listen();
  subscriber.start();
  await clock.wind(5000);
  wire.stalled = true;
  await clock.wind(5500);
  assert.equal(opened.length, 1);
  assert.ok(!subscriber.heardWithin(5000));
  assert.ok(subscriber.heardWithin(6000));
  wire.stalled = false;
  await clock.wind(500);
  assert.ok(subscriber.heardWithin(0));
  assert.equal(opened.length, 1);
  wire.stalled = true;
  await clock.wind(6501);
  assert.equal(opened.length, 2);
});

test("an opening that hangs is given up later and closed, and stays so if it comes about after all", async () => {
  const { clock, wire, opened, subscriber } = listen();
  wire.hangs = true;
  subscriber.start();
  await clock.wind(6000);
  assert.equal(opened.length, 1);
  wire.hangs = false;
  await clock.wind(1000);
  assert.equal(opened.length, 2);
  assert.ok(opened[0]?.closed);
  opened[0]?.finish();
  await settled();
  assert.ok(opened[0]?.closed);
  assert.ok(!opened[1]?.closed);
  assert.ok(subscriber.heardWithin(2000));
});

test("frames are handed on; beats of another process and texts for a closed opening are not", async () => {
  const { clock, opened, heard, subscriber } = listen();
  subscriber.start();
  await clock.wind(0);
  opened[0]?.heard("B1 boot-other");
  opened[0]?.heard("frame");
  subscriber.stop();
  opened[0]?.heard("late frame");
  assert.deepEqual(heard, ["frame"]);
  assert.ok(opened[0]?.closed);
});

test("stopped while it opens, it closes what is opening", () => {
  const { wire, opened, subscriber } = listen();
  wire.hangs = true;
  subscriber.start();
  subscriber.stop();
  assert.ok(opened[0]?.closed);
});

test("stopped, it does not come back", async () => {
  const { clock, opened, subscriber } = listen();
  subscriber.start();
  await clock.wind(1000);
  subscriber.stop();
  await clock.wind(60_000);
  assert.equal(opened.length, 1);
});
