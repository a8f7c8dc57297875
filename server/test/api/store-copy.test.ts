/** Copies between stores in memory: what only a driver that differs, or is written to meanwhile, can show. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreCopy, type Surroundings } from "../../src/api/store-copy.ts";
import { openDriver } from "../../src/storage/open.ts";
import { type Capability, type Contents, json, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const ALICE = new Jid("alice", "example.org");
const ALL: readonly Capability[] = ["accounts", "keyValue", "map", "archive", "queue", "expiring"];

async function side(name: string, change: (contents: Contents) => Partial<Contents> = () => ({})) {
  const driver = await openDriver({ driver: "memory" });
  assert.ok(driver.contents);
  return { name, driver, contents: { ...driver.contents, ...change(driver.contents) } };
}

function copier(
  from: Awaited<ReturnType<typeof side>>,
  to: Awaited<ReturnType<typeof side>>,
  show = (_: string) => {},
) {
  const said: string[] = [];
  let now = 0;
  const surroundings: Surroundings = {
    signal: new AbortController().signal,
    status: { show, say: (line) => void said.push(line.replace(/ +/g, " ")), clear: () => {} },
    now: () => now,
    async wait(ms) {
      now += ms;
    },
  };
  const copy = new StoreCopy(from, to, "a test", ALL, 60_000, surroundings);
  return { copy, said };
}

const items = (driver: StorageDriver) => driver.map?.("items", json<number>());

test("what the target cannot keep is said before anything is written", async () => {
  const from = await side("from");
  const to = await side("to", () => ({ holds: ["accounts", "map"] }));
  await items(from.driver)?.set(ALICE, "one", 1);
  await from.driver.keyValue?.("seen", json())?.set(ALICE, 1);
  await from.driver.keyValue?.("notes", json())?.set(ALICE, 1);
  const refusal = {
    name: "UsageError",
    message:
      /^to \(memory\) cannot keep keyValue notes \(1\), keyValue seen \(1\); nothing was written\..* --only accounts,map,archive,queue,expiring$/,
  };
  const { copy, said } = copier(from, to);
  await assert.rejects(copy.run(false), refusal);
  assert.equal((await items(to.driver)?.list(ALICE))?.size, 0);
  await assert.rejects(copy.rehearse(), refusal);
  assert.ok(said.includes("keyValue seen 1 0 to cannot keep it"));
  assert.ok(said.includes("map items 1 0 would be copied"));
  // Where there is nothing of a kind, that it cannot be kept is no matter.
  await from.driver.keyValue?.("seen", json())?.remove(ALICE);
  await from.driver.keyValue?.("notes", json())?.remove(ALICE);
  const again = copier(from, to);
  await again.copy.run(false);
  assert.equal(again.said.at(-1), "to holds what from holds");
});

test("a source that is written to meanwhile, and a target that loses something, are told apart", async () => {
  const from = await side("from");
  const to = await side("to");
  for (let i = 0; i < 200; i++) await items(from.driver)?.set(ALICE, `key ${i}`, i);
  const writes = copier(from, to, (line) => {
    if (line.startsWith("copying map")) void items(from.driver)?.set(ALICE, "key 0", -1);
  });
  await assert.rejects(writes.copy.run(false), {
    name: "Unfinished",
    message:
      /^map items: from was written to while it was copied \(200 records went over, 200 are there now\): stop what/,
  });
  const loses = copier(from, to, (line) => {
    if (line.startsWith("copying expiring") || line.startsWith("comparing accounts"))
      void items(to.driver)?.remove(ALICE, "key 7");
  });
  await to.driver.expiring?.("tokens", json())?.set("a", 1, 10_000_000_000);
  await from.driver.expiring?.("tokens", json())?.set("a", 1, 10_000_000_000);
  await assert.rejects(loses.copy.run(false), {
    message: /map items: to does not hold what was copied: is somebody writing to it\?/,
  });
});

test("pages are smaller where records are large", async () => {
  const sizes: number[] = [];
  const from = await side("from", (contents) => ({
    async read(capability, max, after) {
      const page = await contents.read(capability, max, after);
      if (capability === "map") sizes.push(page.records.length);
      return page;
    },
  }));
  const to = await side("to");
  const large = from.driver.map?.("large", json<string>());
  for (let i = 0; i < 70; i++) await large?.set(ALICE, `key ${i}`, "x".repeat(300_000));
  await copier(from, to).copy.run(false);
  // The first page, of records nobody knows the size of yet; the others have two megabytes.
  assert.equal(sizes[0], 50);
  assert.ok(
    sizes.slice(1, 5).every((size) => size <= 6),
    sizes.join(),
  );
});

test("what a store refuses for a while is tried again, and no record is lost", async () => {
  const from = await side("from");
  for (let i = 0; i < 300; i++) await items(from.driver)?.set(ALICE, `key ${i}`, i);
  let refusals = 0;
  const to = await side("to", (contents) => ({
    async write(records) {
      if (++refusals % 3 !== 0) throw new StorageError("memory: not now");
      await contents.write(records);
    },
  }));
  const { copy, said } = copier(from, to);
  await copy.run(false);
  assert.ok(said.includes("memory: not now; tried again in 0.5 s"));
  assert.ok(said.includes("memory: not now; tried again in 1 s"));
  assert.equal(said.at(-1), "to holds what from holds");
});
