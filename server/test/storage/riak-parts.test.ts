import assert from "node:assert/strict";
import { test } from "node:test";
import { archiveIdAt } from "../../src/storage/archive-id.ts";
import { changedBy } from "../../src/storage/drivers/riak/changes.ts";
import { forEach } from "../../src/storage/drivers/riak/ground.ts";
import { mapShape, withValues } from "../../src/storage/drivers/riak/map-document.ts";
import { siblingsOf } from "../../src/storage/drivers/riak/multipart.ts";
import { Turns } from "../../src/storage/drivers/riak/turns.ts";
import { StorageError } from "../../src/storage/specs.ts";
import { failure } from "../conformance/storage/suite.ts";

const DAY = 86_400_000;

test("siblings are the bodies of the parts, and none where one says that it is a removal", () => {
  const body = [
    "",
    '--b=\r\nContent-Type: application/json\r\n\r\n{"a":"\\r\\n--c"}',
    "--b=\r\nX-Riak-Deleted: true\r\n\r\n",
    "--b=\r\nContent-Type: text/plain\r\n\r\n",
    "--b=--\r\n",
  ].join("\r\n");
  assert.deepEqual(siblingsOf("multipart/mixed; boundary=b=", body), ['{"a":"\\r\\n--c"}', undefined, ""]);
  assert.throws(() => siblingsOf("multipart/mixed", body), /no boundary/);
});

test("changes are remembered for half a minute, and no more than sixty-four", () => {
  const at = (seconds: number) => archiveIdAt(1_700_000_000_000 + seconds * 1000);
  const [now, old, recent] = [at(60), at(29), at(31)];
  assert.deepEqual(changedBy(now, [recent, old]), [now, recent]);
  const many = Array.from({ length: 100 }, () => recent);
  assert.equal(changedBy(now, many).length, 64);
});

test("a removed item is remembered for a day", () => {
  const shape = mapShape();
  const empty = { table: "t", owner: "o", version: 0, items: new Map() };
  const made = withValues(
    empty,
    new Map([
      ["a", "1"],
      ["b", "2"],
    ]),
    archiveIdAt(DAY),
  );
  const removed = withValues(made, new Map([["a", undefined]]), archiveIdAt(DAY));
  const soon = withValues(removed, new Map([["b", "3"]]), archiveIdAt(2 * DAY));
  const late = withValues(removed, new Map([["b", "3"]]), archiveIdAt(2 * DAY + 1));
  assert.deepEqual([...soon.items.keys()].sort(), ["a", "b"]);
  assert.deepEqual([...late.items.keys()], ["b"]);
  // Meanwhile it is not brought back by one who had not seen the removal.
  for (const documents of [
    [made, soon],
    [soon, made],
  ]) {
    assert.equal(shape.merge(documents).items.get("a")?.value, undefined);
    assert.equal(shape.merge(documents).items.get("b")?.value, "3");
  }
});

test("writers of one object take turns, whether one of them fails or not", async () => {
  const turns = new Turns(10, 10_000);
  const order: string[] = [];
  const run = (name: string, object: string) =>
    turns.take(object, async () => {
      order.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${name} ends`);
      if (name === "two") throw new RangeError("no");
    });
  const results = await Promise.allSettled([run("one", "x"), run("two", "x"), run("three", "x")]);
  assert.deepEqual(
    order,
    ["one", "two", "three"].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("so many wait for their turn, and not for longer than told", async () => {
  const turns = new Turns(1, 20);
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = turns.take("x", () => promise);
  const second = failure(turns.take("x", async () => assert.fail("its turn never came")));
  const third = await failure(turns.take("x", async () => {}));
  assert.ok(third instanceof StorageError && /1 writes wait/.test(third.message));
  const late = await second;
  assert.ok(late instanceof StorageError && /longer than 20 ms/.test(late.message));
  resolve();
  await first;
  assert.equal(await turns.take("x", async () => "again"), "again");
});

test("runs for each, a few at a time, and not any more after a failure", async () => {
  let running = 0;
  let most = 0;
  const results = await forEach(
    Array.from({ length: 40 }, (_, n) => n),
    async (n) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return n * 2;
    },
  );
  assert.deepEqual(
    results,
    Array.from({ length: 40 }, (_, n) => n * 2),
  );
  assert.equal(most, 16);
  let begun = 0;
  const failed = forEach(Array.from({ length: 100 }), async () => {
    begun++;
    throw new RangeError("no");
  });
  await assert.rejects(failed, RangeError);
  assert.ok(begun <= 16);
});
