import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Lru } from "../../src/util/lru.ts";

test("an Lru gives what was set last, keeps its bound, and keeps the last half that was used", () => {
  const key = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 }), fc.array(fc.tuple(key, fc.boolean())), (size, uses) => {
      const lru = new Lru<number, { readonly key: number; readonly at: number }>(size);
      const last = new Map<number, { readonly key: number; readonly at: number }>();
      const recent = new Set<number>();
      for (const [at, [used, sets]] of uses.entries()) {
        const found = lru.get(used);
        if (found !== undefined) assert.equal(found, last.get(used));
        if ([...recent].slice(-Math.floor(size / 2) || recent.size).includes(used)) assert.notEqual(found, undefined);
        if (sets || found === undefined) {
          const value = { key: used, at };
          last.set(used, value);
          lru.set(used, value);
        }
        recent.delete(used);
        if (size > 1) recent.add(used);
        assert.ok(lru.count <= size);
      }
    }),
  );
});
