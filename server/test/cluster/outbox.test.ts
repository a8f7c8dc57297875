import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { decodeFrame } from "../../src/cluster/redis/frame.ts";
import { Outbox } from "../../src/cluster/redis/outbox.ts";
import { HandClock, settled } from "./hand-clock.ts";

function open({ maxFrameBytes = 1000, maxQueuedBytes = 10_000 } = {}) {
  const clock = new HandClock();
  const frames: { text: string; answer: PromiseWithResolvers<number> }[] = [];
  const ticks: (() => void)[] = [];
  const counters = { sent: 0, sentBytes: 0, frames: 0, refused: 0, publishErrors: 0 };
  const outbox = new Outbox(
    {
      from: "a",
      to: "b",
      link: "boot.1",
      publish(text) {
        const answer = Promise.withResolvers<number>();
        frames.push({ text, answer });
        return answer.promise;
      },
      clock,
      atTickEnd: (run) => ticks.push(run),
      maxFrameBytes,
      maxQueuedBytes,
      sendWithin: 5000,
    },
    counters,
  );
  const endTick = () => {
    for (const run of ticks.splice(0)) run();
  };
  const sent = (i: number) => decodeFrame(frames[i]?.text ?? "");
  return { clock, frames, counters, outbox, endTick, sent };
}

test("messages of one tick go in one frame, numbered from 1", async () => {
  const { outbox, frames, endTick, sent } = open();
  const first = outbox.send("route", "one");
  const second = outbox.send("route", "two");
  assert.equal(frames.length, 0);
  endTick();
  assert.equal(frames.length, 1);
  assert.equal(sent(0)?.first, 1);
  assert.deepEqual(
    sent(0)?.messages.map(({ message }) => message),
    ["one", "two"],
  );
  frames[0]?.answer.resolve(1);
  await Promise.all([first, second]);
  assert.ok(outbox.idle);
});

test("a full frame does not wait for the end of the tick", () => {
  const { outbox, frames } = open({ maxFrameBytes: 30 });
  outbox.send("route", "x".repeat(15));
  assert.equal(frames.length, 0);
  outbox.send("route", "y".repeat(15));
  assert.equal(frames.length, 1);
});

test("a single message larger than a frame goes alone", () => {
  const { outbox, frames, sent } = open({ maxFrameBytes: 30 });
  outbox.send("route", "x".repeat(100));
  assert.equal(frames.length, 1);
  assert.equal(sent(0)?.messages.length, 1);
});

test("only one frame is under way, and the numbers go on in the next", async () => {
  const { outbox, frames, endTick, sent } = open({ maxFrameBytes: 30 });
  for (let i = 0; i < 5; i++) outbox.send("route", `${i}`.repeat(15));
  endTick();
  assert.equal(frames.length, 1);
  for (let i = 0; i < 5; i++) {
    assert.equal(sent(i)?.first, i + 1);
    assert.equal(sent(i)?.messages[0]?.message, `${i}`.repeat(15));
    frames[i]?.answer.resolve(1);
    await settled();
  }
  assert.equal(frames.length, 5);
});

test("a frame that nobody took, or that failed, rejects its messages and no others", async () => {
  const { outbox, frames, endTick, counters } = open();
  const nobody = outbox.send("route", "one");
  endTick();
  const failed = outbox.send("route", "two");
  frames[0]?.answer.resolve(0);
  await assert.rejects(nobody, new ClusterError("node b: nobody listens on its channel"));
  const taken = settled().then(() => outbox.send("route", "three"));
  frames[1]?.answer.reject(new Error("Connection is closed."));
  await assert.rejects(failed, new ClusterError("node b: Connection is closed."));
  await settled();
  endTick();
  frames[2]?.answer.resolve(1);
  await taken;
  assert.equal(counters.publishErrors, 2);
});

test("a frame without an answer is given up after its time, and the next one goes", async () => {
  const { clock, outbox, frames, endTick } = open();
  const stuck = outbox.send("route", "one");
  endTick();
  outbox.send("route", "two");
  const rejected = assert.rejects(stuck, ClusterError);
  await clock.wind(4999);
  assert.equal(frames.length, 1);
  await clock.wind(1);
  await rejected;
  assert.equal(frames.length, 2);
  frames[0]?.answer.resolve(1);
  await settled();
  assert.ok(!outbox.idle, "the late answer settles nothing of the second frame");
});

test("the queue takes as many bytes as allowed and refuses more until some are gone", async () => {
  const size = Buffer.byteLength("5 10\nroute") + 10;
  const { outbox, frames, endTick, counters } = open({ maxQueuedBytes: 3 * size });
  const taken = [1, 2, 3].map(() => outbox.send("route", "0123456789"));
  await assert.rejects(async () => outbox.send("route", "0123456789"), ClusterError);
  assert.equal(counters.refused, 1);
  endTick();
  frames[0]?.answer.resolve(1);
  await Promise.all(taken);
  assert.equal(outbox.queuedBytes, 0);
  outbox.send("route", "0123456789");
  assert.equal(outbox.queuedBytes, size);
});

test("bytes are counted, not characters", () => {
  const { outbox } = open();
  outbox.send("route", "é€");
  assert.equal(outbox.queuedBytes, Buffer.byteLength("5 2\nrouteé€"));
});
