import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  archiveBound,
  archiveId,
  archiveIdAt,
  archiveIdBehind,
  archiveIds,
  archiveTime,
} from "../../src/storage/archive-id.ts";

/** Milliseconds until the year 2255, beyond which ids end. */
const times = fc.integer({ min: 0, max: 8_000_000_000_000 });

test("ids are in the order they were made in, also when the clock goes back", () => {
  const next = archiveIds();
  const made = [next(2_000_000_000_000), ...Array.from({ length: 5000 }, () => next(1_999_999_999_000))];
  assert.deepEqual(made, made.toSorted());
  assert.equal(new Set(made).size, made.length);
});

test("an id tells its time, and what is no id tells none", () => {
  fc.assert(fc.property(times, (at) => assert.equal(archiveTime(archiveIdAt(at)), at)));
  for (const text of ["", "1", "z".repeat(24), archiveIdAt(0).toUpperCase().replace(/^0/, "Z"), `${archiveIdAt(0)}0`]) {
    assert.equal(archiveTime(text), undefined, text);
  }
});

test("a time's bound is before all ids of that time and later, and behind all earlier ones", () => {
  fc.assert(
    fc.property(times, times, (at, other) => {
      assert.equal(archiveBound(at) <= archiveIdAt(other), at <= other);
    }),
  );
  assert.ok(archiveIdAt(5, 1) < archiveIdAt(5, 2));
  assert.ok(archiveIdAt(5, 5000) < archiveBound(6));
});

test("times without sense have bounds all the same", () => {
  assert.equal(archiveBound(-1), archiveBound(0));
  assert.ok(archiveBound(Number.MAX_SAFE_INTEGER) > archiveId());
});

test("an id that is to be behind another is, also when that one's clock was ahead", () => {
  const now = 1_700_000_000_000;
  const ahead = archiveIdAt(9_000_000_000_000);
  assert.ok(archiveIdBehind(ahead, now) > ahead);
  assert.equal(archiveTime(archiveIdBehind(ahead, now)), archiveTime(ahead));
  const before = Date.now();
  for (const last of [undefined, archiveIdAt(now)]) assert.ok((archiveTime(archiveIdBehind(last)) ?? 0) >= before);
});
