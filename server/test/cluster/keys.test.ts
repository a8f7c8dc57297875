import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkNodeId,
  readAddress,
  readEntry,
  sessionsKey,
  writeAddress,
  writeEntry,
} from "../../src/cluster/redis/keys.ts";
import { Jid } from "../../src/xmpp/jid.ts";

/** What Redis Cluster hashes of a key: between the first "{" and the next "}", if anything is there. */
function hashTag(key: string): string {
  const open = key.indexOf("{");
  const close = key.indexOf("}", open + 1);
  return open === -1 || close <= open + 1 ? key : key.slice(open + 1, close);
}

const local = fc.string({ unit: fc.constantFrom("a", "{", "}", "%", "7", "é"), minLength: 1 });

test("the hash tag is the whole account, whatever braces its localpart has", () => {
  fc.assert(
    fc.property(local, local, (one, other) => {
      const key = sessionsKey(new Jid(one, "example.org"));
      assert.equal(`meerkat:sessions:{${hashTag(key)}}`, key);
      assert.equal(key === sessionsKey(new Jid(other, "example.org")), one === other);
      assert.equal(key, sessionsKey(new Jid(one, "example.org", "}{/balcony")));
    }),
    { verbose: true },
  );
});

test("entries and addresses come back as they were written, whatever the resource holds", () => {
  fc.assert(
    fc.property(
      local,
      fc.string(),
      fc.option(fc.integer({ min: -128, max: 127 }), { nil: undefined }),
      (name, resource, priority) => {
        const jid = new Jid(name, "example.org", resource);
        const entry = { jid, node: "meerkat-1", id: "s1", priority, marks: ["roster"] };
        assert.deepEqual(readEntry(jid, writeEntry(entry, "meerkat-1#e#2")), { ...entry, member: "meerkat-1#e#2" });
        assert.deepEqual(readAddress(writeAddress(jid)), jid);
      },
    ),
    { verbose: true },
  );
});

test("a node id has 1 to 64 harmless characters", () => {
  checkNodeId("meerkat-1.example_2");
  checkNodeId("x".repeat(64));
  for (const bad of ["", "x".repeat(65), "a b", "a#1", "a{1}", "é"]) assert.throws(() => checkNodeId(bad), TypeError);
});
