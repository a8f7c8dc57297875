/** How PostgreSQL keeps archives: in a table for each kind and month. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import { Client } from "pg";
import { archiveBound, archiveId, archiveIdAt } from "../../../src/storage/archive-id.ts";
import type { PostgresOptions } from "../../../src/storage/drivers/postgres/postgres.ts";
import { archiveQueries } from "../../../src/storage/drivers/sql/archive-queries.ts";
import type { Tables } from "../../../src/storage/drivers/sql/database.ts";
import { type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { store } from "./archive.ts";
import { startDatabase, type TestDatabase } from "./containers.ts";
import { describeCapability, eventually, failure, freshAccount, migrated } from "./suite.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 27);
const bob = new Jid("bob", "example.org");

let container: TestDatabase;
let options: PostgresOptions & { driver: "postgres" };
let driver: StorageDriver;
let admin: Client;

before(async () => {
  container = await startDatabase("postgres", [5432]);
  const port = container.ports.get(5432) ?? 0;
  options = {
    driver: "postgres",
    host: "localhost",
    port,
    database: "postgres",
    username: "meerkat",
    password: "secret",
    now: () => NOW,
  };
  await eventually(
    () => failure(migrated(options).then((opened) => opened.close())),
    (error) => error === undefined,
  );
  driver = await migrated(options);
  admin = await connect();
});
after(async () => {
  await container?.remove();
  await admin?.end().catch(() => {});
  await driver?.close();
});

async function connect(): Promise<Client> {
  const { host, port, database, username, password } = options;
  const client = new Client({ host, port: port ?? 0, database, user: username, password, application_name: "test" });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** The tables that keep a kind's months. */
async function months(kind: string): Promise<string[]> {
  const { rows } = await admin.query(
    "select relname from pg_class where relkind = 'r' and relname like $1 order by relname",
    [`archive\\_items\\_2%\\_${kind}`],
  );
  return rows.map(({ relname }) => relname);
}

const inMonth = (year: number, month: number, day = 10) => archiveIdAt(Date.UTC(year, month - 1, day));

describeCapability("postgres", "archive", () => {
  test("makes a month when something is written into it, and the coming one along with it", async () => {
    const archive = store(driver, "appear");
    const alice = freshAccount();
    assert.deepEqual(await months("appear"), []);
    assert.deepEqual(await archive.page(alice, { from: "oldest", max: 5 }), { items: [], complete: true });
    await archive.append(alice, { id: inMonth(2026, 11), with: bob, value: { n: 1 } });
    assert.deepEqual(await months("appear"), ["archive_items_202611_appear", "archive_items_202612_appear"]);
    // An import of what is old, and a clock that is far ahead.
    for (const [year, month] of [
      [2019, 3],
      [2199, 12],
    ] as const) {
      await archive.append(alice, { id: inMonth(year, month), with: bob, value: { n: year } });
    }
    assert.deepEqual(await months("appear"), [
      "archive_items_201903_appear",
      "archive_items_202611_appear",
      "archive_items_202612_appear",
      "archive_items_219912_appear",
    ]);
    const { items } = await archive.page(alice, { from: "oldest", max: 5 });
    assert.deepEqual(
      items.map(({ value }) => value.n),
      [2019, 1, 2199],
    );
  });

  test("makes the months ahead when it is migrated", async () => {
    await store(driver, "ahead").append(freshAccount(), { id: inMonth(2026, 11), with: bob, value: { n: 1 } });
    const later = await migrated({ ...options, now: () => Date.UTC(2027, 2, 31) });
    await later.close();
    assert.deepEqual((await months("ahead")).slice(-2), ["archive_items_202703_ahead", "archive_items_202704_ahead"]);
  });

  test("makes a month once, and loses nothing, when many nodes write into it at once", async () => {
    const drivers = await Promise.all(Array.from({ length: 6 }, () => migrated(options)));
    const alice = freshAccount();
    await Promise.all(
      drivers.flatMap((each, n) =>
        [1, 2, 3].map((month) =>
          store(each, "at_once").append(alice, { id: inMonth(2020, month, n + 1), with: bob, value: { n } }),
        ),
      ),
    );
    assert.equal(await store(driver, "at_once").count(alice, {}, 100), 18);
    assert.deepEqual(await months("at_once"), [
      ...[1, 2, 3].map((month) => `archive_items_20200${month}_at_once`),
      "archive_items_202612_at_once",
    ]);
    for (const each of drivers) await each.close();
  });

  test("tells kinds apart whose names are too long for a table's", async () => {
    const alice = freshAccount();
    const kinds = ["a", "b"].map((end) => `k${"i".repeat(61)}${end}`);
    for (const [n, kind] of kinds.entries()) {
      await store(driver, kind).append(alice, { id: inMonth(2026, 11), with: bob, value: { n } });
    }
    await store(driver, kinds[0] ?? "").expire(Date.UTC(2026, 11, 1));
    for (const [n, kind] of kinds.entries()) assert.equal(await store(driver, kind).count(alice, {}, 10), n);
  });

  test("expires by dropping the months that are wholly older, and deletes from the one that is partly", async () => {
    const alice = freshAccount();
    const [old, kept] = [store(driver, "old"), store(driver, "kept")];
    for (const month of [1, 2, 3, 4]) {
      for (const archive of [old, kept]) {
        for (const day of [5, 25]) {
          await archive.append(alice, { id: inMonth(2020, month, day), with: bob, value: { n: month * 100 + day } });
        }
      }
    }
    await old.expire(Date.UTC(2020, 2, 20));
    const left = ["archive_items_202003_old", "archive_items_202004_old", "archive_items_202612_old"];
    assert.deepEqual(await months("old"), left);
    assert.equal((await months("kept")).length, 5);
    const { items } = await old.page(alice, { from: "oldest", max: 10 });
    assert.deepEqual(
      items.map(({ value }) => value.n),
      [325, 405, 425],
    );
    assert.equal(await kept.count(alice, {}, 100), 8);
  });

  test("waits briefly for those who use a month that it drops, lets others through, and tries again", async () => {
    const alice = freshAccount();
    const archive = store(driver, "busy");
    await archive.append(alice, { id: inMonth(2020, 1), with: bob, value: { n: 1 } });
    await archive.append(alice, { id: inMonth(2026, 11), with: bob, value: { n: 2 } });
    const reader = await connect();
    await reader.query("begin; select count(*) from archive_items where kind = 'busy'");
    let expired = false;
    const expiring = archive.expire(Date.UTC(2021, 0, 1)).then(() => {
      expired = true;
    });
    const waits = "select 1 from pg_locks where mode = 'AccessExclusiveLock' and not granted";
    // Twice: it gave up once in between.
    for (const waiting of [true, false, true]) {
      await eventually(
        async () => ((await admin.query(waits)).rowCount ?? 0) > 0,
        (waited) => waited === waiting,
      );
    }
    assert.equal(expired, false);
    const started = performance.now();
    assert.equal(await archive.count(alice, {}, 10), 2);
    assert.ok(performance.now() - started < 2000, "a reader behind the one that waits is held up for a moment only");
    await reader.query("commit");
    await reader.end();
    await expiring;
    assert.deepEqual(await months("busy"), ["archive_items_202611_busy", "archive_items_202612_busy"]);
    assert.equal(await archive.count(alice, {}, 10), 1);
  });

  test("writes into a month that was just dropped", async () => {
    const alice = freshAccount();
    const archive = store(driver, "again");
    for (let n = 0; n < 3; n++) {
      await archive.append(alice, { id: inMonth(2020, 1), with: bob, value: { n } });
      await archive.expire(Date.UTC(2020, 5, 1));
      assert.equal(await archive.count(alice, {}, 10), 0);
    }
  });

  test("walks in pages across months, in both directions", async () => {
    const alice = freshAccount();
    const archive = store(driver, "across");
    const ids = Array.from({ length: 40 }, (_, n) => archiveIdAt(Date.UTC(2024, 0, 1) + n * 9 * DAY));
    await Promise.all(ids.map((id, n) => archive.append(alice, { id, with: bob, value: { n } })));
    assert.equal((await months("across")).length, 13);
    const forwards: string[] = [];
    for (let more = true; more; ) {
      const page = await archive.page(alice, { from: "oldest", max: 7, after: forwards.at(-1), with: bob });
      forwards.push(...page.items.map(({ id }) => id));
      more = !page.complete;
    }
    assert.deepEqual(forwards, ids);
    const backwards: string[] = [];
    for (let more = true; more; ) {
      const page = await archive.page(alice, { from: "newest", max: 7, before: backwards[0] });
      backwards.unshift(...page.items.map(({ id }) => id));
      more = !page.complete;
    }
    assert.deepEqual(backwards, ids);
  });

  test("reads no month outside of a page's range, nor more of them than the page takes", async () => {
    const alice = freshAccount();
    const archive = store(driver, "pruned");
    for (let month = 1; month <= 12; month++) {
      const items = Array.from({ length: 20 }, (_, n) => ({
        id: archiveIdAt(Date.UTC(2024, month - 1, 2, n)),
        with: bob,
        value: { n },
      }));
      await Promise.all(items.map((item) => archive.append(alice, item)));
    }
    // For tables as small as these no index is worth its while.
    await admin.query("analyze archive_items; set enable_seqscan = off; set enable_bitmapscan = off");
    const read = async (query: { above: string; below: string; from: "oldest" | "newest"; narrow: "all" | "bare" }) => {
      const { above, below, from, narrow } = query;
      const values = { kind: "pruned", owner: alice.bare, withKey: bob.bare, withFull: "", above, below, limit: 11 };
      const page = archiveQueries({ build }).page[from][narrow](values).compile();
      const { rows } = await admin.query(`explain (analyze, costs off, timing off) ${page.sql}`, [...page.parameters]);
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      const scans = [
        ...plan.matchAll(/Scan (?:Backward )?using \S+ on (archive_items_\d+)_pruned.*?\((never executed|actual)/g),
      ];
      assert.ok(scans.length > 0 && !plan.includes("Seq Scan") && !plan.includes("Sort"), plan);
      return scans.filter(([, , done]) => done === "actual").map(([, table]) => table);
    };
    const [may, july] = [archiveBound(Date.UTC(2024, 4, 1)), archiveBound(Date.UTC(2024, 6, 1))];
    for (const narrow of ["all", "bare"] as const) {
      assert.deepEqual(await read({ above: may, below: july, from: "oldest", narrow }), ["archive_items_202405"]);
      assert.deepEqual(await read({ above: may, below: july, from: "newest", narrow }), ["archive_items_202406"]);
      assert.deepEqual(await read({ above: "", below: "~", from: "oldest", narrow }), ["archive_items_202401"]);
    }
  });

  test("loses nothing that was acknowledged when the database dies under batches, and goes on when it is back", async () => {
    const archive = store(driver, "faults");
    const owners = Array.from({ length: 8 }, () => freshAccount());
    const acknowledged: { owner: Jid; id: string }[] = [];
    const errors: unknown[] = [];
    let enough = false;
    const writers = Array.from({ length: 64 }, async (_, n) => {
      const owner = owners[n % owners.length] as Jid;
      while (!enough) {
        const id = archiveId();
        const error = await failure(archive.append(owner, { id, with: bob, value: { n } }));
        if (error === undefined) acknowledged.push({ owner, id });
        else {
          errors.push(error);
          // An append may be tried again: what was committed after all is there once.
          await eventually(
            () => failure(archive.append(owner, { id, with: bob, value: { n } })),
            (again) => again === undefined,
          );
          acknowledged.push({ owner, id });
        }
      }
    });
    const more = (count: number) =>
      eventually(
        async () => acknowledged.length,
        (length) => length >= count,
      );
    await more(200);
    await container.kill();
    await eventually(
      async () => errors.length,
      (count) => count > 0,
    );
    await container.start();
    await more(acknowledged.length + 200);
    enough = true;
    await Promise.all(writers);
    assert.deepEqual(
      errors.filter((error) => !(error instanceof StorageError)),
      [],
    );
    for (const owner of owners) {
      const wanted = acknowledged.filter((each) => each.owner === owner).map(({ id }) => id);
      assert.deepEqual(
        (await archive.get(owner, wanted)).map(({ id }) => id),
        wanted.toSorted(),
      );
      assert.equal(await archive.count(owner, {}, 100_000), wanted.length);
    }
  });
});

const build = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});
