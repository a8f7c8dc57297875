import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { differences, fileFaults, type Manifest, type Part, readManifest } from "../../compose/backup/manifest.ts";
import { segment } from "../../compose/backup/postgres.ts";
import type { Receiver } from "../../compose/backup/receiver.ts";
import { nextChain, removeHalves } from "../../compose/backup/receiver.ts";
import { listSets, needlessSegments, prune, setName, superfluous } from "../../compose/backup/sets.ts";
import { readSettings } from "../../compose/backup/settings.ts";
import { takeSet } from "../../compose/backup/take.ts";
import type { Taken, Taking } from "../../compose/backup/taking.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "meerkat-backup-"));
  for (const name of ["sets", "wal"]) mkdirSync(join(folder, name));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DAYS = ["2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z", "2026-01-03T00-00-00Z"] as const;
const [first, second, third] = DAYS;

describe("which sets are kept", () => {
  it("as many whole ones as asked for, and the newest of them", () => {
    assert.deepEqual(superfluous(DAYS, 2, third), [first]);
    assert.deepEqual(superfluous(DAYS, 3, third), []);
    assert.deepEqual(superfluous(DAYS, 1, third), [first, second]);
  });

  it("a set that lacks a store costs no whole one its place, and goes when a whole one comes", () => {
    const broken = `${third}.incomplete`;
    assert.deepEqual(superfluous([first, second, broken], 1, broken), []);
    assert.deepEqual(superfluous([first, `${second}.incomplete`, third], 2, third), [`${second}.incomplete`]);
    assert.deepEqual(superfluous([`${first}.incomplete`, broken], 2, broken), [`${first}.incomplete`]);
  });

  it("names sort as time does and are told from everything else", async () => {
    assert.equal(setName(new Date("2026-01-02T03:04:05.678Z")), "2026-01-02T03-04-05Z");
    for (const name of [second, first, ".taking-2026-01-03T00-00-00Z", "lost+found"])
      mkdirSync(join(folder, "sets", name));
    assert.deepEqual(await listSets(folder), [first, second]);
  });
});

describe("which log is kept", () => {
  it("from the oldest set's first segment on, whatever the timeline", () => {
    const names = [
      "000000010000000000000003",
      "000000010000000000000004",
      "000000020000000000000004.partial",
      "000000020000000000000005",
      "00000002.history",
    ];
    assert.deepEqual(needlessSegments(names, "000000020000000000000005"), names.slice(0, 3));
    assert.deepEqual(needlessSegments(names, undefined), []);
  });

  it("a place is in the segment that PostgreSQL names after it", () => {
    assert.equal(segment("0/5000090", 1), "000000010000000000000005");
    assert.equal(segment("A/FE00BEEF", 3), "000000030000000A000000FE");
  });

  it("pruning removes what only removed sets needed, and chains that no set is on", async () => {
    const place = (set: string, chain: string, from: string) => {
      mkdirSync(join(folder, "sets", set));
      const log = { lsn: "0/0", timeline: 1, first: from, chain };
      writeFileSync(join(folder, "sets", set, "manifest.json"), JSON.stringify(manifestOf({ ...part({}), log })));
    };
    const segments = [3, 4, 5, 6].map((each) => `00000001000000000000000${each}`);
    for (const chain of ["7", "7.2", "8"]) {
      mkdirSync(join(folder, "wal", chain));
      for (const name of segments) writeFileSync(join(folder, "wal", chain, name), "");
    }
    place(first, "8", segments[0] as string);
    place(second, "7", segments[1] as string);
    place(third, "7", segments[2] as string);
    assert.deepEqual(await prune(folder, 2, third, "7.2"), [first]);
    assert.deepEqual(readdirSync(join(folder, "wal")).sort(), ["7", "7.2"]);
    assert.deepEqual(readdirSync(join(folder, "wal/7")).sort(), segments.slice(1));
    // Nothing is known yet about what the current one is needed for.
    assert.deepEqual(readdirSync(join(folder, "wal/7.2")).sort(), segments);
  });

  it("a segment that a full disk cut while it was made is removed, and no other", async () => {
    const names = { "0A": 4, "0B.partial": 4, "0C.partial": 3, "0D": 3, "00000002.history": 1 };
    for (const [name, size] of Object.entries(names)) writeFileSync(join(folder, "wal", name), "x".repeat(size));
    await removeHalves(join(folder, "wal"), 4);
    assert.deepEqual(readdirSync(join(folder, "wal")).sort(), ["00000002.history", "0A", "0B.partial", "0D"]);
  });

  it("a chain is gone on with, unless its server is another one or no longer has what follows", () => {
    assert.equal(nextChain([], "77", false), "77");
    assert.equal(nextChain(["77", "88"], "77", false), "77");
    assert.equal(nextChain(["88"], "77", false), "77");
    assert.equal(nextChain(["77"], "77", true), "77.2");
    assert.equal(nextChain(["77", "77.2", "77.10", "770.11"], "77", false), "77.10");
    assert.equal(nextChain(["77", "77.10"], "77", true), "77.11");
  });
});

const part = (tables: Part["tables"]): Part => ({
  version: "1",
  at: "2026-01-01T00:00:00Z",
  exact: true,
  tables,
  files: [],
  seconds: 1,
});
const manifestOf = (store: Part): Manifest => ({
  format: 1,
  set: first,
  started: "2026-01-01T00:00:00Z",
  seconds: 1,
  parts: { store },
});

describe("what was restored", () => {
  const tables = { a: { rows: 2, sum: "5" }, b: { rows: 0, sum: "0" } };

  it("agrees when every table has its rows and its sum", () => {
    assert.deepEqual(differences({ tables }, { ...tables }), []);
  });

  it("differs by a row, by a sum, by a table that is missing and by one too many", () => {
    const named = (found: Part["tables"]) => differences({ tables }, found).map(({ table }) => table);
    assert.deepEqual(named({ ...tables, a: { rows: 3, sum: "5" } }), ["a"]);
    assert.deepEqual(named({ ...tables, a: { rows: 2, sum: "6" } }), ["a"]);
    assert.deepEqual(named({ a: tables.a }), ["b"]);
    assert.deepEqual(named({ ...tables, c: { rows: 0, sum: "0" } }), ["c"]);
  });

  it("may lie between two counts only for a table that was written to between them", () => {
    const later = { ...tables, a: { rows: 4, sum: "9" } };
    assert.deepEqual(differences({ tables, later }, { ...tables, a: { rows: 3, sum: "7" } }), []);
    assert.equal(differences({ tables, later }, { ...tables, a: { rows: 5, sum: "7" } }).length, 1);
    assert.equal(differences({ tables, later }, { ...tables, b: { rows: 0, sum: "1" } }).length, 1);
  });
});

describe("taking a set", () => {
  const settings = { ...readSettings({}), stores: ["postgres", "openldap"] as const, keep: 2 };
  const receiver = { current: undefined } as unknown as Receiver;
  const signal = new AbortController().signal;
  const good = async ({ folder: into }: Taking): Promise<Taken> => {
    writeFileSync(join(into, "data"), "content");
    return { version: "1", at: "2026-01-01T00:00:00Z", exact: true, tables: { t: { rows: 3, sum: "1" } } };
  };
  const bad = async ({ folder: into }: Taking): Promise<Taken> => {
    writeFileSync(join(into, "half"), "");
    throw new Error("No space left on device");
  };
  const take = (postgres: typeof good, openldap: typeof good) =>
    takeSet({ settings: { ...settings, folder }, receiver, signal, takes: { postgres, openldap } });
  const sets = () => readdirSync(join(folder, "sets"));

  it("leaves a folder with a manifest that its files agree with", async () => {
    const { set, stores } = await take(good, good);
    assert.deepEqual(sets(), [set]);
    const manifest = await readManifest(join(folder, "sets", set));
    assert.deepEqual(Object.keys(manifest.parts), ["postgres", "openldap"]);
    assert.deepEqual(await fileFaults(join(folder, "sets", set), manifest), []);
    assert.deepEqual(stores.postgres, { bytes: 7, rows: 3, seconds: manifest.parts.postgres?.seconds, exact: true });
  });

  it("names the file that was changed, cut, removed or added since", async () => {
    const { set } = await take(good, good);
    const at = join(folder, "sets", set);
    const faults = async () => fileFaults(at, await readManifest(at));
    writeFileSync(join(at, "postgres/data"), "kontent");
    assert.deepEqual(await faults(), ["postgres/data has been changed: its SHA-256 is another one"]);
    writeFileSync(join(at, "postgres/data"), "cont");
    assert.deepEqual(await faults(), ["postgres/data has 4 bytes instead of 7"]);
    rmSync(join(at, "postgres/data"));
    writeFileSync(join(at, "openldap/more"), "");
    assert.deepEqual(await faults(), ["postgres/data is missing", "openldap/more is not in the manifest"]);
  });

  it("keeps what it could take as an incomplete set, says what failed, and removes no older set", async () => {
    for (const name of DAYS) mkdirSync(join(folder, "sets", name));
    for (const name of DAYS)
      writeFileSync(join(folder, "sets", name, "manifest.json"), JSON.stringify(manifestOf(part({}))));
    const { set, stores } = await take(good, bad);
    assert.deepEqual(stores.openldap, { error: "No space left on device" });
    assert.deepEqual(sets(), [...DAYS, `${set}.incomplete`]);
    const kept = join(folder, "sets", `${set}.incomplete`);
    assert.deepEqual(readdirSync(kept).sort(), ["manifest.json", "postgres"]);
    assert.deepEqual((await readManifest(kept)).failed, { openldap: "No space left on device" });
  });

  it("leaves nothing when every store failed", async () => {
    const { stores } = await take(bad, bad);
    assert.deepEqual(Object.keys(stores), ["postgres", "openldap"]);
    assert.deepEqual(sets(), []);
  });

  it("clears away what a killed service left, and the oldest set once the new one is whole", async () => {
    mkdirSync(join(folder, "sets/.taking-2026-01-01T00-00-00Z"));
    for (const name of DAYS) mkdirSync(join(folder, "sets", name));
    for (const name of DAYS)
      writeFileSync(join(folder, "sets", name, "manifest.json"), JSON.stringify(manifestOf(part({}))));
    const { set, removed } = await take(good, good);
    assert.deepEqual(removed, [first, second]);
    assert.deepEqual(sets(), [third, set]);
  });
});
