import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { RedisBus } from "../../src/cluster/redis/redis-bus.ts";
import { HandClock, settled } from "./hand-clock.ts";

function open(maxNodes: number) {
  const clock = new HandClock();
  const published: { text: string; answer: PromiseWithResolvers<number> }[] = [];
  const living = new Set(["a", "b", "c", "d"]);
  const bus = new RedisBus({
    nodeId: "a",
    boot: "boot",
    clock,
    log: () => {},
    publish(_channel, text) {
      const answer = Promise.withResolvers<number>();
      published.push({ text, answer });
      return answer.promise;
    },
    subscribe: () => ({ ready: Promise.resolve(), close: () => {} }),
    living: () => [...living],
    heartbeatEvery: 500,
    heartbeatWithin: 2000,
    maxFrameBytes: 1000,
    maxQueuedBytes: 10_000,
    sendWithin: 5000,
    maxNodes,
  });
  return { clock, published, living, bus };
}

test("as many nodes are sent to as allowed, and another is refused until one of them is gone", async () => {
  const { published, living, bus } = open(2);
  const sent = [bus.send("b", "route", "one"), bus.send("c", "route", "one")];
  await settled();
  await assert.rejects(
    async () => bus.send("d", "route", "one"),
    new ClusterError("2 other nodes are being sent to already"),
  );
  assert.equal(bus.stats().refused, 1);
  for (const { answer } of published) answer.resolve(1);
  await Promise.all(sent);
  await assert.rejects(async () => bus.send("d", "route", "one"), ClusterError, "both still live");
  living.delete("c");
  const third = bus.send("d", "route", "one");
  await settled();
  published.at(-1)?.answer.resolve(1);
  await third;
});

test("stopped while a frame gets no answer, it waits no longer than a frame may take", async () => {
  const { clock, bus } = open(2);
  const stuck = [1, 2, 3].map((i) => bus.send("b", "route", `${i}`.repeat(900)) as Promise<void>);
  const outcomes = Promise.allSettled(stuck);
  await settled();
  let stopped = false;
  const stopping = bus.stop().then(() => {
    stopped = true;
  });
  await clock.wind(4999);
  assert.ok(!stopped);
  await clock.wind(1);
  assert.ok(stopped);
  await stopping;
  await clock.wind(15_000);
  assert.ok((await outcomes).every(({ status }) => status === "rejected"));
});
