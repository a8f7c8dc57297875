import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, encodeMessage } from "../../src/cluster/redis/frame.ts";
import { Receiver } from "../../src/cluster/redis/receiver.ts";

function listen(maxSenders = 10) {
  const heard: string[] = [];
  const receiver = new Receiver(maxSenders, (channel, message, from) => heard.push(`${from} ${channel} ${message}`));
  const take = (node: string, link: string, first: number, ...messages: string[]) =>
    receiver.take(
      encodeFrame(
        node,
        link,
        first,
        messages.map((message) => encodeMessage("route", message)),
      ),
    );
  return { heard, receiver, take };
}

test("messages are handed on in order, with their node and channel", () => {
  const { heard, take, receiver } = listen();
  take("a", "boot.1", 1, "one", "two");
  take("b", "boot.1", 1, "eins");
  take("a", "boot.1", 3, "three");
  assert.deepEqual(heard, ["a route one", "a route two", "b route eins", "a route three"]);
  assert.equal(receiver.counters.received, 4);
  assert.equal(receiver.counters.missing, 0);
});

test("what came already is dropped, also as a part of a frame", () => {
  const { heard, take, receiver } = listen();
  take("a", "boot.1", 1, "one", "two");
  take("a", "boot.1", 1, "one", "two");
  take("a", "boot.1", 2, "two", "three");
  assert.deepEqual(heard, ["a route one", "a route two", "a route three"]);
  assert.equal(receiver.counters.duplicates, 3);
});

test("what never came is counted, and what comes later still heard", () => {
  const { heard, take, receiver } = listen();
  take("a", "boot.1", 1, "one");
  take("a", "boot.1", 4, "four");
  assert.deepEqual(heard, ["a route one", "a route four"]);
  assert.equal(receiver.counters.missing, 2);
});

test("a node that came back counts anew, and a first frame may begin anywhere", () => {
  const { heard, take, receiver } = listen();
  take("a", "boot.1", 7, "seven");
  take("a", "next.1", 1, "one");
  assert.deepEqual(heard, ["a route seven", "a route one"]);
  assert.deepEqual([receiver.counters.missing, receiver.counters.duplicates], [0, 0]);
});

test("what is no frame is counted and dropped", () => {
  const { heard, receiver } = listen();
  receiver.take("nonsense");
  assert.equal(receiver.counters.malformed, 1);
  assert.deepEqual(heard, []);
});

test("as many nodes are remembered as allowed, and beyond that the one heard from longest ago is forgotten", () => {
  const { heard, take, receiver } = listen(2);
  take("a", "boot.1", 1, "one");
  take("b", "boot.1", 1, "eins");
  take("a", "boot.1", 1, "one");
  assert.equal(receiver.senders, 2);
  assert.equal(receiver.counters.duplicates, 1);
  take("c", "boot.1", 1, "un");
  assert.equal(receiver.senders, 2);
  // b was forgotten and so is heard again; a is remembered no more after that.
  take("b", "boot.1", 1, "eins");
  assert.deepEqual(heard, ["a route one", "b route eins", "c route un", "b route eins"]);
});
