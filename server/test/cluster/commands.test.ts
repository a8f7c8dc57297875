import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterError } from "../../src/cluster/cluster.ts";
import { Commands, readEndpoint } from "../../src/cluster/redis/connection.ts";
import { HandClock } from "./hand-clock.ts";

/** The commands run here never look at the client. */
function commands(maxPending: number) {
  const clock = new HandClock();
  return { clock, commands: new Commands(() => undefined as never, { clock, answerWithin: 5000, maxPending }) };
}

test("a command that is never answered is given up, once", async () => {
  const { clock, commands: redis } = commands(10);
  const silent = Promise.withResolvers<string>();
  const rejected = assert.rejects(
    redis.run(() => silent.promise),
    new ClusterError("Redis: no answer within 5000 ms"),
  );
  await clock.wind(5000);
  await rejected;
  silent.resolve("late");
  assert.equal(await redis.run(async () => "next"), "next");
  assert.deepEqual([redis.pending, redis.failures], [0, 1]);
});

test("what Redis refuses becomes a ClusterError", async () => {
  const { commands: redis } = commands(10);
  await assert.rejects(
    redis.run(() => Promise.reject(new Error("CLUSTERDOWN"))),
    new ClusterError("Redis: CLUSTERDOWN"),
  );
});

test("as many commands may wait as allowed, and one more is refused", async () => {
  const { commands: redis } = commands(2);
  const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const waiting = answers.map(({ promise }) => redis.run(() => promise));
  await assert.rejects(
    redis.run(async () => "third"),
    ClusterError,
  );
  for (const { resolve } of answers) resolve("done");
  assert.deepEqual(await Promise.all(waiting), ["done", "done"]);
  assert.equal(await redis.run(async () => "third"), "third");
});

test("it tells how long the oldest command has waited", async () => {
  const { clock, commands: redis } = commands(10);
  assert.equal(redis.waitingFor(), 0);
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = redis.run(() => (answers[0] as PromiseWithResolvers<void>).promise);
  await clock.wind(300);
  const second = redis.run(() => (answers[1] as PromiseWithResolvers<void>).promise);
  await clock.wind(400);
  assert.equal(redis.waitingFor(), 700);
  answers[0]?.resolve();
  await first;
  assert.equal(redis.waitingFor(), 400);
  answers[1]?.resolve();
  await second;
  assert.equal(redis.waitingFor(), 0);
});

test("endpoints are host:port", () => {
  assert.deepEqual(readEndpoint("redis-1:6379"), { host: "redis-1", port: 6379 });
  assert.deepEqual(readEndpoint("[::1]:7001"), { host: "::1", port: 7001 });
  for (const bad of ["redis-1", "redis-1:0", "redis-1:70000", ":6379", "a b:1", "::1:6379"]) {
    assert.throws(() => readEndpoint(bad), TypeError, bad);
  }
});
