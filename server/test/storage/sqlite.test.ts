import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { type Compilable, DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
import { archiveQueries } from "../../src/storage/drivers/sql/archive-queries.ts";
import type { Tables } from "../../src/storage/drivers/sql/database.ts";
import { openDriver } from "../../src/storage/open.ts";
import { json, StorageError } from "../../src/storage/specs.ts";
import { accountsSuite } from "../conformance/storage/accounts.ts";
import { archiveSuite } from "../conformance/storage/archive.ts";
import { contentsSuite } from "../conformance/storage/contents.ts";
import { expiringSuite } from "../conformance/storage/expiring.ts";
import { keyValueSuite } from "../conformance/storage/key-value.ts";
import { mapSuite } from "../conformance/storage/map.ts";
import { queueSuite } from "../conformance/storage/queue.ts";
import { describeCapability, failure, freshAccount, migrated } from "../conformance/storage/suite.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-sqlite-"));
after(() => rmSync(folder, { recursive: true }));
const sqlite = (path: string, rest = {}) => ({ driver: "sqlite" as const, path, ...rest });

const open = (bounds = {}) => migrated(sqlite(join(folder, "suite.sqlite"), bounds));
accountsSuite("sqlite", open);
contentsSuite("sqlite", open);
keyValueSuite("sqlite", open);
mapSuite("sqlite", open);
mapSuite("sqlite in memory", (bounds = {}) => migrated(sqlite(":memory:", bounds)), { runs: 10 });

let now = 1_700_000_000_000;
archiveSuite("sqlite", open);
queueSuite("sqlite", open);
expiringSuite("sqlite", (bounds = {}) => open({ now: () => now, ...bounds }), {
  pass: (milliseconds) => {
    now += milliseconds;
  },
});

describeCapability("sqlite", "faults", () => {
  test("makes its folder and a file for its owner's eyes only, its log included", async () => {
    const path = join(folder, "new/folder/meerkat.sqlite");
    const driver = await migrated(sqlite(path));
    for (const each of [path, `${path}-wal`, `${path}-shm`]) assert.equal(statSync(each).mode & 0o777, 0o600, each);
    assert.equal(statSync(join(folder, "new")).mode & 0o777, 0o700);
    await driver.close();
  });

  test("keeps what it was given when opened again", async () => {
    const path = join(folder, "again.sqlite");
    const alice = freshAccount();
    const first = await migrated(sqlite(path));
    await first.keyValue?.("notes", json<string>())?.set(alice, "still here");
    await first.close();
    await first.close();
    const second = await migrated(sqlite(path));
    assert.equal(await second.keyValue?.("notes", json<string>())?.get(alice), "still here");
    await second.close();
  });

  test("loses no update of two instances at one file in one process", async () => {
    const path = join(folder, "two.sqlite");
    const drivers = await Promise.all([migrated(sqlite(path)), migrated(sqlite(path))]);
    const alice = freshAccount();
    const stores = drivers.map((driver) => driver.map?.("items", json<number>()));
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => stores[index % 2]?.update(alice, "n", (present = 0) => present + 1)),
    );
    assert.equal(await stores[0]?.get(alice, "n"), 100);
    for (const driver of drivers) await driver.close();
  });

  test("waits for another writer no longer than its busy time-out, then works again", async () => {
    const path = join(folder, "busy.sqlite");
    const driver = await migrated(sqlite(path, { busyTimeout: 20 }));
    const items = driver.map?.("items", json<number>());
    const alice = freshAccount();
    const other = new DatabaseSync(path);
    other.exec("begin immediate");
    for (const attempt of [items?.set(alice, "a", 1), items?.update(alice, "a", () => 1)]) {
      const error = await failure(attempt ?? Promise.resolve());
      assert.ok(error instanceof StorageError);
      assert.match(error.message, /busy\.sqlite: database is locked/);
    }
    assert.equal(await items?.get(alice, "a"), undefined);
    other.exec("commit");
    other.close();
    await items?.set(alice, "a", 2);
    assert.equal(await items?.get(alice, "a"), 2);
    await driver.close();
  });

  test("finds by an index the pages of one party, and everything else that archives are asked for", async () => {
    const path = join(folder, "plans.sqlite");
    await (await migrated(sqlite(path))).close();
    const other = new DatabaseSync(path);
    const build = new Kysely<Tables>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
    const { page, count, newest } = archiveQueries({ build });
    const values = { kind: "", owner: "", withKey: "", withFull: "", above: "", below: "~", limit: 50 };
    const plan = (query: Compilable) => {
      const { sql, parameters } = query.compile();
      const steps = other.prepare(`explain query plan ${sql}`).all(...(parameters as string[]));
      return steps.map(({ detail }) => detail as string).filter((detail) => /archive_items|TEMP/.test(detail));
    };
    for (const query of [page.oldest, page.newest, count]) {
      assert.match(plan(query.all(values)).join(), /^SEARCH .* \(kind=\? AND owner=\? AND id>\? AND id<\?\)$/);
      for (const narrowed of [query.bare, query.full]) {
        assert.match(
          plan(narrowed(values)).join(),
          /^SEARCH .* \(kind=\? AND owner=\? AND with_key=\? AND id>\? AND id<\?\)$/,
        );
      }
    }
    assert.match(plan(newest({ kind: "", owner: "", below: "~", skip: 1 })).join(), /^SEARCH .* AND id<\?\)$/);
    other.close();
  });

  test("keeps few of what has expired, and removes no more at once than it may", async () => {
    const path = join(folder, "expired.sqlite");
    let at = 1_700_000_000_000;
    const driver = await migrated(sqlite(path, { now: () => at }));
    const facts = driver.expiring?.("facts", json<number>());
    const other = new DatabaseSync(path);
    const rows = () => other.prepare("select count(*) as n from expiring_items").get()?.n as number;
    for (let n = 0; n < 1000; n++) await facts?.set(`old ${n}`, n, 10);
    at += 20;
    const before = rows();
    for (let n = 0; n < 50; n++) await facts?.set(`new ${n}`, n, 10_000);
    assert.equal(rows(), before + 50 - 100);
    for (let n = 0; n < 500; n++) await facts?.set("one", n, 10_000);
    assert.equal(rows(), 51);
    other.close();
    await driver.close();
  });

  test("refuses a database that a newer server has changed", async () => {
    const path = join(folder, "newer.sqlite");
    const driver = await migrated(sqlite(path));
    await driver.migrate();
    const other = new DatabaseSync(path);
    other.exec("insert into schema_migrations values (999, 'from the future', '')");
    other.close();
    const error = await failure(driver.migrate());
    assert.ok(error instanceof Error && !(error instanceof StorageError));
    assert.match(error.message, /at migration 999.*run the newer server/);
    await driver.close();
  });

  test("says which file it cannot open", async () => {
    writeFileSync(join(folder, "plain"), "a plain file");
    const folderless = await failure(openDriver(sqlite(join(folder, "plain/meerkat.sqlite"))));
    assert.ok(folderless instanceof StorageError);
    assert.match(folderless.message, /sqlite at .*plain\/meerkat\.sqlite/);
    const noDatabase = await failure(openDriver(sqlite(join(folder, "plain"))));
    assert.ok(noDatabase instanceof StorageError);
    assert.match(noDatabase.message, /file is not a database/);
  });

  test("tells of what it has taken from a queue, though the rest fails", async () => {
    const path = join(folder, "taken.sqlite");
    const driver = await migrated(sqlite(path));
    const queue = driver.queue?.("mail", json<number>());
    assert.ok(queue);
    const alice = freshAccount();
    await Promise.all(Array.from({ length: 300 }, (_, n) => queue.push(alice, n, 300)));
    const ids = (await queue.list(alice, 300)).map(({ id }) => id);
    const other = new DatabaseSync(path);
    other.exec(`create trigger stuck before delete on queue_items when old.id = '${ids[299]}'
      begin select raise(abort, 'stuck'); end`);
    other.close();
    const gone = await queue.remove(alice, ids);
    assert.ok(gone.length > 0 && gone.length < 300);
    assert.deepEqual(gone, ids.slice(0, gone.length));
    assert.equal(await queue.size(alice), 300 - gone.length);
    assert.match(String(await failure(queue.remove(alice, ids.slice(gone.length)))), /stuck/);
    await driver.close();
  });

  test("is not healthy once closed", async () => {
    const driver = await migrated(sqlite(":memory:"));
    await driver.close();
    assert.equal(await driver.healthy(), false);
  });
});
