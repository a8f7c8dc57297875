import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { Client } from "pg";
import type { PostgresOptions } from "../../../src/storage/drivers/postgres/postgres.ts";
import { openDriver } from "../../../src/storage/open.ts";
import { json, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { accountsSuite } from "./accounts.ts";
import { archiveSuite } from "./archive.ts";
import { freePort, startDatabase, type TestDatabase } from "./containers.ts";
import { contentsSuite } from "./contents.ts";
import { expiringSuite } from "./expiring.ts";
import { keyValueSuite } from "./key-value.ts";
import { mapSuite } from "./map.ts";
import { queueSuite } from "./queue.ts";
import { raceSuite } from "./race.ts";
import { describeCapability, eventually, failure, freshAccount, migrated } from "./suite.ts";

let container: TestDatabase;
let options: PostgresOptions & { driver: "postgres" };
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
  };
  await eventually(
    () => failure(migrated(options).then((driver) => driver.close())),
    (error) => error === undefined,
  );
  admin = await connect();
});
after(async () => {
  // First, so that no connection a failed test has left open keeps this process waiting.
  await container?.remove();
  await admin?.end().catch(() => {});
});

async function connect(): Promise<Client> {
  const { host, port, database, username, password } = options;
  const client = new Client({ host, port: port ?? 0, database, user: username, password, application_name: "test" });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** Holds up what needs the same lock, until it is let go or the test is over. */
async function block(t: TestContext, lock: string): Promise<() => Promise<void>> {
  const blocker = await connect();
  let held = true;
  const letGo = async () => {
    if (held) await blocker.end();
    held = false;
  };
  t.after(letGo);
  await blocker.query(`begin; ${lock}`);
  return letGo;
}

const MIGRATING = "select pg_advisory_xact_lock(7202170116)";

async function emptyDatabase(name: string): Promise<typeof options> {
  await admin.query(`create database ${name}`);
  return { ...options, database: name };
}

function counter(driver: StorageDriver) {
  const store = driver.map?.("counters", json<number>());
  assert.ok(store);
  return store;
}

const open = (bounds = {}) => migrated({ ...options, ...bounds });
accountsSuite("postgres", open);
contentsSuite("postgres", open);
keyValueSuite("postgres", open);
mapSuite("postgres", open, { runs: 15 });
let now = 1_700_000_000_000;
archiveSuite("postgres", open, { runs: 15 });
queueSuite("postgres", open, { runs: 15 });
expiringSuite("postgres", (bounds = {}) => open({ now: () => now, ...bounds }), {
  runs: 15,
  pass: (milliseconds) => {
    now += milliseconds;
  },
});
raceSuite("postgres", () => emptyDatabase("race"));

describeCapability("postgres", "faults", () => {
  test("migrates an empty database once when eight drivers start on it at once", async () => {
    const empty = await emptyDatabase("eight");
    const drivers = await Promise.all(Array.from({ length: 8 }, () => migrated(empty)));
    for (const driver of drivers) await driver.close();
    const other = new Client({ ...empty, user: empty.username, port: empty.port ?? 0 });
    await other.connect();
    const { rows } = await other.query("select number from schema_migrations");
    await other.end();
    assert.deepEqual(rows, [{ number: 1 }, { number: 2 }]);
  });

  test("refuses a database that a newer server has changed", async () => {
    const newer = await emptyDatabase("newer");
    const driver = await migrated(newer);
    const other = new Client({ ...newer, user: newer.username, port: newer.port ?? 0 });
    await other.connect();
    await other.query("insert into schema_migrations values (999, 'from the future', '')");
    await other.end();
    const error = await failure(driver.migrate());
    assert.ok(error instanceof Error && !(error instanceof StorageError));
    assert.match(error.message, /at migration 999.*run the newer server/);
    await driver.close();
  });

  test("gives up a migration that waits too long for another's, and says so", async (t) => {
    const letGo = await block(t, MIGRATING);
    const driver = await openDriver({ ...options, migrationTimeout: 500 });
    const error = await failure(driver.migrate());
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /statement timeout/);
    await letGo();
    await driver.migrate();
    await driver.close();
  });

  test("waits for another's migration longer than a statement may take", async (t) => {
    const letGo = await block(t, MIGRATING);
    const driver = await openDriver({ ...options, statementTimeout: 300 });
    const migrating = driver.migrate();
    const waiting = "select now() - query_start > '600 ms' as late from pg_stat_activity where wait_event = 'advisory'";
    await eventually(
      async () => (await admin.query(waiting)).rows[0]?.late,
      (late) => late === true,
    );
    await letGo();
    await migrating;
    await driver.close();
  });

  test("names what it could not reach, in the database's own words, and never the password", async () => {
    const nobody = await freePort();
    const cases: [Partial<PostgresOptions>, RegExp][] = [
      [{ port: nobody }, new RegExp(`localhost:${nobody}: .*ECONNREFUSED`)],
      [{ host: "nowhere.invalid" }, /nowhere\.invalid/],
      [{ password: "hunter2" }, /password authentication failed for user "meerkat"/],
      [{ database: "missing" }, /database "missing" does not exist/],
    ];
    for (const [change, words] of cases) {
      const driver = await openDriver({ ...options, ...change });
      const error = await failure(driver.migrate());
      assert.ok(error instanceof StorageError, String(error));
      assert.match(error.message, words);
      assert.doesNotMatch(error.message, /hunter2|secret/);
      assert.equal(await driver.healthy(), false);
      await driver.close();
    }
  });

  test("starts while the database is still down, and works once it is up", async () => {
    await container.kill();
    const driver = await openDriver(options);
    assert.ok((await failure(driver.migrate())) instanceof StorageError);
    await container.start();
    await eventually(
      () => failure(driver.migrate()),
      (error) => error === undefined,
    );
    assert.equal(await driver.healthy(), true);
    await driver.close();
    admin = await connect();
  });

  test("rejects with StorageErrors while the database is gone, then goes on by itself and has lost nothing", async () => {
    const warnings: string[] = [];
    const driver = await migrated({ ...options, warn: (message) => warnings.push(message) });
    const items = counter(driver);
    const alice = freshAccount();
    let acknowledged = 0;
    const errors: unknown[] = [];
    let enough = false;
    const writers = Array.from({ length: 4 }, async () => {
      while (!enough) {
        const error = await failure(items.update(alice, "n", (present = 0) => present + 1));
        if (error === undefined) acknowledged++;
        else errors.push(error);
      }
    });
    await eventually(
      async () => acknowledged,
      (count) => count > 50,
    );
    await container.kill();
    await eventually(
      async () => errors.length,
      (count) => count >= 8,
    );
    assert.equal(await driver.healthy(), false);
    const before = acknowledged;
    await container.start();
    await eventually(
      async () => acknowledged,
      (count) => count > before + 20,
    );
    enough = true;
    await Promise.all(writers);
    assert.deepEqual(
      errors.filter((error) => !(error instanceof StorageError)),
      [],
    );
    // A commit whose answer was lost may count as well: at most one a writer.
    const kept = (await items.get(alice, "n")) ?? 0;
    assert.ok(kept >= acknowledged && kept <= acknowledged + 4, `${kept} kept, ${acknowledged} acknowledged`);
    assert.equal(await driver.healthy(), true);
    await driver.close();
    admin = await connect();
  });

  test("hears of a connection lost while idle, and makes another", async () => {
    const warnings: string[] = [];
    const driver = await migrated({ ...options, warn: (message) => warnings.push(message) });
    await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'meerkat'");
    await eventually(
      async () => warnings.length,
      (count) => count > 0,
    );
    assert.match(warnings[0] ?? "", /terminating connection due to administrator command/);
    assert.equal(await counter(driver).get(freshAccount(), "n"), undefined);
    await driver.close();
  });

  test("leaves a connection to a former primary, which takes no writes any more", async () => {
    const driver = await migrated({ ...options, max: 1 });
    const items = counter(driver);
    const alice = freshAccount();
    await items.set(alice, "n", 1);
    const connections = async () => {
      const { rows } = await admin.query("select pid from pg_stat_activity where application_name = 'meerkat'");
      return rows.map(({ pid }: { pid: number }) => pid);
    };
    const before = await connections();
    await admin.query("alter role meerkat set default_transaction_read_only = on");
    try {
      await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'meerkat'");
      // The new connection is one to a server that only reads.
      const error = await eventually(
        () => failure(items.set(alice, "n", 2)),
        (each) => /read-only/.test(String(each)),
      );
      assert.ok(error instanceof StorageError, String(error));
    } finally {
      await admin.query("alter role meerkat reset default_transaction_read_only");
    }
    // Settings of a role hold for new connections only: that it can write again shows that it is another one.
    await items.set(alice, "n", 3);
    assert.equal(await items.get(alice, "n"), 3);
    await eventually(connections, (pids) => pids.length === 1 && !before.includes(pids[0] ?? 0));
    await driver.close();
  });

  test("gives up on a database that hangs, and goes on when it wakes", async () => {
    const driver = await migrated({ ...options, statementTimeout: 1000, connectionTimeout: 1000 });
    const items = counter(driver);
    const alice = freshAccount();
    await items.set(alice, "n", 1);
    await container.pause();
    try {
      const failures = await Promise.all([items.get(alice, "n"), items.update(alice, "n", () => 2)].map(failure));
      for (const error of failures) assert.ok(error instanceof StorageError, String(error));
      assert.equal(await driver.healthy(), false);
    } finally {
      await container.resume();
    }
    await eventually(
      () => failure(items.set(alice, "n", 3)),
      (error) => error === undefined,
    );
    assert.equal(await items.get(alice, "n"), 3);
    await driver.close();
  });

  test("closes in time when the database hangs", async () => {
    const driver = await migrated({ ...options, connectionTimeout: 1000 });
    await counter(driver).get(freshAccount(), "n");
    await container.pause();
    try {
      const late = failure(counter(driver).get(freshAccount(), "n"));
      await driver.close();
      assert.ok((await late) instanceof StorageError);
    } finally {
      await container.resume();
    }
  });

  test("stops a statement that takes too long, and keeps the connection", async (t) => {
    const driver = await migrated({ ...options, max: 1, statementTimeout: 500 });
    const letGo = await block(t, "lock table map_items");
    const error = await failure(counter(driver).get(freshAccount(), "n"));
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /statement timeout/);
    await letGo();
    assert.equal(await counter(driver).get(freshAccount(), "n"), undefined);
    await driver.close();
  });

  test("opens no more connections than it may, queues no more than it may, and refuses the rest", async (t) => {
    const driver = await migrated({ ...options, max: 2, queue: 3, idleTimeout: 60_000 });
    const letGo = await block(t, "lock table map_items");
    const reads = Array.from({ length: 8 }, () => failure(counter(driver).get(freshAccount(), "n")));
    const refused = await Promise.all(reads.slice(5));
    for (const error of refused) {
      assert.ok(error instanceof StorageError);
      assert.match(error.message, /3 requests wait/);
    }
    await eventually(connections, (count) => count === 2);
    await letGo();
    assert.deepEqual(await Promise.all(reads.slice(0, 5)), Array(5).fill(undefined));
    assert.equal(await connections(), 2);
    await driver.close();
    await eventually(connections, (count) => count === 0);
  });

  test("refuses a request that has waited too long for a connection", async (t) => {
    const driver = await migrated({ ...options, max: 1, connectionTimeout: 1000 });
    const letGo = await block(t, "lock table map_items");
    const first = failure(counter(driver).get(freshAccount(), "n"));
    const second = await failure(counter(driver).get(freshAccount(), "n"));
    assert.ok(second instanceof StorageError);
    assert.match(second.message, /timeout exceeded when trying to connect/);
    await letGo();
    assert.equal(await first, undefined);
    await driver.close();
  });

  test("closes connections that nobody uses", async () => {
    const driver = await migrated({ ...options, idleTimeout: 50 });
    await Promise.all(Array.from({ length: 4 }, () => counter(driver).get(freshAccount(), "n")));
    await eventually(connections, (count) => count === 0);
    assert.equal(await driver.healthy(), true);
    await driver.close();
  });

  test("encrypts, and trusts only the authority it was given", async () => {
    const ca = await container.run("cat", "/var/lib/postgresql/tls/ca.crt");
    const driver = await migrated({ ...options, tls: { ca } });
    const { rows } = await admin.query(
      "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'meerkat'",
    );
    assert.deepEqual(rows, [{ ssl: true }]);
    await driver.close();
    // The certificate is for localhost, by name.
    for (const [change, words] of [
      [{ tls: {} }, /certificate/],
      [{ tls: { ca }, host: "127.0.0.1" }, /altnames/],
    ] as const) {
      const distrusting = await openDriver({ ...options, ...change });
      const error = await failure(distrusting.migrate());
      assert.ok(error instanceof StorageError);
      assert.match(error.message, words);
      await distrusting.close();
    }
  });

  async function connections(): Promise<number> {
    const { rows } = await admin.query("select pid from pg_stat_activity where application_name = 'meerkat'");
    return rows.length;
  }
});
