import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HashQueue } from "../../src/auth/hash-queue.ts";
import { StanzaError } from "../../src/xmpp/errors.ts";

describe("the hash queue", () => {
  test("runs so many at a time, lets so many wait, and refuses one more", async () => {
    const queue = new HashQueue({ running: 2, waiting: 3 });
    const gate = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    const hash = async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      running -= 1;
      return "hashed";
    };
    const hashes = Array.from({ length: 5 }, () => queue.run(hash));
    await assert.rejects(
      queue.run(hash),
      (error) => error instanceof StanzaError && error.condition === "resource-constraint",
    );
    gate.resolve();
    assert.deepEqual(await Promise.all(hashes), Array<string>(5).fill("hashed"));
    assert.equal(most, 2);
    assert.equal(await queue.run(async () => "again"), "again");
  });

  test("goes on after a hash that failed", async () => {
    const queue = new HashQueue({ running: 1, waiting: 1 });
    const failed = queue.run(() => Promise.reject(new RangeError("too long")));
    const next = queue.run(async () => "hashed");
    await assert.rejects(failed, RangeError);
    assert.equal(await next, "hashed");
  });
});
