import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Batches, type BatchOptions } from "../../src/storage/drivers/batches.ts";
import { StorageError } from "../../src/storage/specs.ts";
import { HandClock, settled } from "../cluster/hand-clock.ts";
import { failure } from "../conformance/storage/suite.ts";

interface Batch {
  readonly rows: readonly string[];
  readonly commit: () => Promise<void>;
  readonly fail: (error: unknown) => Promise<void>;
}

/** Batches that are committed, or fail, when the test says so. */
function harness(options: BatchOptions = {}) {
  const clock = new HandClock();
  const written: Batch[] = [];
  const batches = new Batches<string, string>(
    (rows) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
      const settle = (end: () => void) => {
        end();
        return settled();
      };
      written.push({
        rows,
        commit: () => settle(() => resolve(rows.map((row) => row.toUpperCase()))),
        fail: (error) => settle(() => reject(error)),
      });
      return promise;
    },
    { after: (milliseconds, run) => clock.after(milliseconds, run), ...options },
  );
  const add = (row: string, owner = "alice", bytes = 1) => batches.add(owner, row, bytes);
  const rows = () => written.map((batch) => batch.rows.join(""));
  return { batches, clock, written, add, rows };
}

const down = new StorageError("the database is down");

test("a batch is written when a row has waited long enough, and not before", async () => {
  const { clock, written, add, rows } = harness({ batchWait: 5 });
  const answers = Promise.all([add("a"), add("b")]);
  await clock.wind(4);
  assert.deepEqual(rows(), []);
  const third = add("c");
  await clock.wind(1);
  assert.deepEqual(rows(), ["abc"]);
  await written[0]?.commit();
  assert.deepEqual(await answers, ["A", "B"]);
  assert.equal(await third, "C");
});

test("a batch is written at once when it is full, of rows or of bytes", async () => {
  const full = harness({ batchRows: 3 });
  for (const row of "abc") void full.add(row);
  assert.deepEqual(full.rows(), ["abc"]);
  const large = harness({ batchBytes: 100 });
  void large.add("a", "alice", 60);
  assert.deepEqual(large.rows(), []);
  void large.add("b", "alice", 60);
  assert.deepEqual(large.rows(), ["a"], "what does not fit waits for the next");
  await large.written[0]?.commit();
  assert.deepEqual(large.rows(), ["a", "b"]);
});

test("a row that is larger than a batch goes alone", async () => {
  const { add, rows, written } = harness({ batchBytes: 10 });
  void add("a", "alice", 1000);
  void add("b");
  void add("c");
  assert.deepEqual(rows(), ["a"]);
  await written[0]?.commit();
  assert.deepEqual(rows(), ["a", "bc"]);
});

test("no promise is settled before its batch is committed", async () => {
  const { add, written, clock } = harness({ batchWait: 1 });
  let committed = false;
  const answer = add("a").then(() => committed);
  await clock.wind(100);
  assert.deepEqual(await Promise.race([answer, "waits"]), "waits");
  committed = true;
  await written[0]?.commit();
  assert.equal(await answer, true);
});

test("rows of one owner are committed in their order, while those of others go on beside them", async () => {
  const { add, rows, written } = harness({ batchRows: 2, batchWriters: 2 });
  for (const row of "abcd") void add(row);
  void add("x", "bob");
  void add("y", "bob");
  assert.deepEqual(rows(), ["ab", "xy"], "cd waits for ab");
  await written[1]?.commit();
  assert.deepEqual(rows(), ["ab", "xy"]);
  await written[0]?.commit();
  assert.deepEqual(rows(), ["ab", "xy", "cd"]);
});

test("no more batches are under way than may be", async () => {
  const { add, rows, written, clock } = harness({ batchRows: 1, batchWriters: 2 });
  for (const row of "abcd") void add(row, row);
  await clock.wind(1000);
  assert.equal(rows().length, 2);
  await written[0]?.commit();
  assert.equal(rows().length, 3);
});

test("what came while a batch was under way is written when it is done, without waiting again", async () => {
  const { add, rows, written } = harness({ batchWriters: 1, batchRows: 2 });
  for (const row of "abc") void add(row);
  await written[0]?.commit();
  assert.deepEqual(rows(), ["ab", "c"]);
});

test("more than may wait is refused at once, and taken again when something is written", async () => {
  const { add, written, clock } = harness({ batchQueue: 3, batchQueueBytes: 100 });
  for (const row of "abc") void add(row);
  const refused = await failure(add("d"));
  assert.ok(refused instanceof StorageError);
  assert.match(refused.message, /3 rows wait/);
  await clock.wind(5);
  await written[0]?.commit();
  void add("e", "alice", 90);
  const large = await failure(add("f", "alice", 11));
  assert.ok(large instanceof StorageError);
  void add("g", "alice", 10);
  await clock.wind(5);
  assert.deepEqual(written[1]?.rows, ["e", "g"]);
  await written[1]?.commit();
  // More than all may have together, and alone.
  const alone = add("h", "alice", 1000);
  await clock.wind(5);
  await written[2]?.commit();
  assert.equal(await alone, "H");
});

test("a batch that meets no database rejects as a whole, and is not tried again", async () => {
  const { add, written, clock, rows } = harness();
  const answers = [add("a"), add("b")].map(failure);
  await clock.wind(5);
  await written[0]?.fail(down);
  assert.deepEqual(await Promise.all(answers), [down, down]);
  assert.deepEqual(rows(), ["ab"]);
  const next = add("c");
  await clock.wind(5);
  await written[1]?.commit();
  assert.equal(await next, "C");
});

test("a row that the database refuses for what it is fails alone, and the others are written one by one", async () => {
  const { add, written, clock, rows } = harness();
  const mistake = new Error("invalid byte sequence");
  const answers = [..."abc"].map((row) => add(row).catch((error: unknown) => error));
  await clock.wind(5);
  await written[0]?.fail(mistake);
  await written[1]?.commit();
  await written[2]?.fail(mistake);
  await written[3]?.commit();
  assert.deepEqual(await Promise.all(answers), ["A", mistake, "C"]);
  assert.deepEqual(rows(), ["abc", "a", "b", "c"]);
});

test("a database that goes away while rows are written one by one fails those that are left", async () => {
  const { add, written, clock } = harness();
  const answers = [..."abc"].map((row) => add(row).catch((error: unknown) => error));
  await clock.wind(5);
  await written[0]?.fail(new Error("invalid"));
  await written[1]?.commit();
  await written[2]?.fail(down);
  await written[3]?.fail(down);
  assert.deepEqual(await Promise.all(answers), ["A", down, down]);
});

test("closing writes what waits, waits for what is under way, and refuses what comes later", async () => {
  const { batches, add, written, rows } = harness({ batchRows: 2, batchWriters: 1 });
  const answers = [..."abc"].map((row) => add(row));
  const closing = batches.close(1000);
  const late = await failure(add("d"));
  assert.ok(late instanceof StorageError);
  await written[0]?.commit();
  await written[1]?.commit();
  await closing;
  assert.deepEqual(await Promise.all(answers), ["A", "B", "C"]);
  assert.deepEqual(rows(), ["ab", "c"]);
});

test("closing rejects what cannot be written in time", async () => {
  const { batches, add, written } = harness({ batchRows: 1, batchWriters: 1 });
  const answers = [..."abc"].map((row) => failure(add(row)));
  await batches.close(1);
  const waiting = await Promise.all(answers.slice(1));
  for (const error of waiting) assert.ok(error instanceof StorageError);
  // What was under way is told when it is known.
  await written[0]?.fail(down);
  assert.equal(await answers[0], down);
});

test("closing with nothing to write is done at once, and again", async () => {
  const { batches } = harness();
  await batches.close(1000);
  await batches.close(1000);
});

test("every row is written once, in its owner's order, whatever comes when and fails where", async () => {
  const event = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant("add" as const),
        owner: fc.nat(3),
        bytes: fc.integer({ min: 1, max: 30 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("wind" as const), ms: fc.nat(7) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("settle" as const), nth: fc.nat(3), ok: fc.boolean() }) },
  );
  const options = fc.record({
    batchRows: fc.integer({ min: 1, max: 5 }),
    batchBytes: fc.integer({ min: 1, max: 60 }),
    batchWriters: fc.integer({ min: 1, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(options, fc.array(event, { maxLength: 60 }), async (chosen, events) => {
      const { batches, clock, written, add } = harness(chosen);
      const committed: string[] = [];
      const told = new Map<string, Promise<unknown>>();
      let under: Batch[] = [];
      const settle = async (nth: number, ok: boolean) => {
        under = written.filter((batch) => !done.has(batch));
        const batch = under[nth % Math.max(under.length, 1)];
        if (batch === undefined) return;
        assert.ok(under.length <= chosen.batchWriters);
        assert.ok(batch.rows.length <= chosen.batchRows);
        done.add(batch);
        if (ok) committed.push(...batch.rows);
        await (ok ? batch.commit() : batch.fail(down));
      };
      const done = new Set<Batch>();
      for (const [n, each] of events.entries()) {
        if (each.type === "add")
          told.set(
            `${each.owner} ${n}`,
            add(`${each.owner} ${n}`, String(each.owner), each.bytes).catch(() => "failed"),
          );
        else if (each.type === "wind") await clock.wind(each.ms);
        else await settle(each.nth, each.ok);
      }
      const closing = batches.close(10_000);
      for (let n = 0; done.size < written.length || n < 2; n++) await settle(0, true);
      await closing;
      const stored = [...told.keys()].filter((row) => committed.includes(row));
      for (const [row, answer] of told) assert.equal(await answer, stored.includes(row) ? row.toUpperCase() : "failed");
      assert.equal(new Set(committed).size, committed.length);
      for (const owner of ["0", "1", "2", "3"]) {
        assert.deepEqual(
          committed.filter((row) => row.startsWith(owner)),
          stored.filter((row) => row.startsWith(owner)),
        );
      }
    }),
    { numRuns: 200 },
  );
});
