import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { CompiledQuery } from "kysely";
import { type Connection, createConnection, type RowDataPacket } from "mysql2/promise";
import { MysqlConnection } from "../../../src/storage/drivers/mysql/connection.ts";
import type { MysqlOptions } from "../../../src/storage/drivers/mysql/mysql.ts";
import { sessionOf } from "../../../src/storage/drivers/mysql/session.ts";
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

const SMALL_DISK = "/var/lib/mysql/small";

let container: TestDatabase;
let options: MysqlOptions & { driver: "mysql" };
let admin: Connection;

before(async () => {
  container = await startDatabase("mariadb", [3306], { [SMALL_DISK]: "rw,size=16m,mode=1777" });
  options = {
    driver: "mysql",
    host: "localhost",
    port: container.ports.get(3306) ?? 0,
    database: "meerkat",
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
  admin?.destroy();
});

/** As another than the driver, so that its connections can be told from this one. */
async function connect(database = options.database): Promise<Connection> {
  const { host, port } = options;
  const client = await createConnection({ host, port: port ?? 0, database, user: "admin", password: "admin" });
  client.on("error", () => {});
  await client.query("set session autocommit = 1, session sql_mode = ''");
  return client;
}

async function ask(query: string, client = admin): Promise<Record<string, unknown>[]> {
  const [rows] = await client.query<RowDataPacket[]>(query);
  return rows.map((row) => ({ ...row }));
}

/** Holds up what needs the same lock, until it is let go or the test is over. */
async function block(t: TestContext, ...statements: string[]): Promise<() => Promise<void>> {
  const blocker = await connect();
  let held = true;
  const letGo = async () => {
    if (held) await blocker.end();
    held = false;
  };
  t.after(letGo);
  for (const statement of statements) await blocker.query(statement);
  return letGo;
}

const MIGRATING = "select get_lock(concat('meerkat ', sha1(database())), 0)";
const LOCKED = "lock tables map_items write";

async function emptyDatabase(name: string): Promise<typeof options> {
  await admin.query(`create database meerkat_${name}`);
  return { ...options, database: `meerkat_${name}` };
}

function counter(driver: StorageDriver) {
  const store = driver.map?.("counters", json<number>());
  assert.ok(store);
  return store;
}

const open = (bounds = {}) => migrated({ ...options, ...bounds });
accountsSuite("mysql", open);
contentsSuite("mysql", open);
keyValueSuite("mysql", open);
mapSuite("mysql", open, { runs: 15 });
let now = 1_700_000_000_000;
archiveSuite("mysql", open, { runs: 15 });
queueSuite("mysql", open, { runs: 15 });
expiringSuite("mysql", (bounds = {}) => open({ now: () => now, ...bounds }), {
  runs: 15,
  pass: (milliseconds) => {
    now += milliseconds;
  },
});
raceSuite("mysql", () => emptyDatabase("race"));

describeCapability("mysql", "faults", () => {
  test("migrates an empty database once when eight drivers start on it at once", async () => {
    const empty = await emptyDatabase("eight");
    const drivers = await Promise.all(Array.from({ length: 8 }, () => migrated(empty)));
    for (const driver of drivers) await driver.close();
    assert.deepEqual(await ask("select number from meerkat_eight.schema_migrations"), [{ number: 1 }, { number: 2 }]);
  });

  test("refuses a database that a newer server has changed", async () => {
    const driver = await migrated(await emptyDatabase("newer"));
    await admin.query("insert into meerkat_newer.schema_migrations values (999, 'from the future', '')");
    const error = await failure(driver.migrate());
    assert.ok(error instanceof Error && !(error instanceof StorageError));
    assert.match(error.message, /at migration 999.*run the newer server/);
    await driver.close();
  });

  test("goes on with a migration that died half-way, and keeps what is there", async () => {
    const driver = await migrated(await emptyDatabase("half"));
    const alice = freshAccount();
    await counter(driver).set(alice, "n", 1);
    // As a start leaves it that ended after some of its tables, and before it could write down that it was done.
    await admin.query("delete from meerkat_half.schema_migrations");
    await admin.query("drop table meerkat_half.key_values, meerkat_half.expiring_items, meerkat_half.account_keys");
    await driver.migrate();
    assert.deepEqual(await ask("select number from meerkat_half.schema_migrations"), [{ number: 1 }, { number: 2 }]);
    assert.equal(await counter(driver).get(alice, "n"), 1);
    await driver.keyValue?.("notes", json<number>())?.set(alice, 2);
    const indexes = await ask("show index from meerkat_half.expiring_items where key_name = 'expiring_items_expires'");
    assert.equal(indexes.length, 1);
    await driver.close();
  });

  test("gives up a migration that waits too long for another's, and says so", async (t) => {
    const letGo = await block(t, MIGRATING);
    const driver = await openDriver({ ...options, migrationTimeout: 500 });
    const error = await failure(driver.migrate());
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /another node's migration is not over/);
    await letGo();
    await driver.migrate();
    await driver.close();
  });

  test("waits for another's migration longer than a statement may take", async (t) => {
    const letGo = await block(t, MIGRATING);
    const driver = await openDriver({ ...options, statementTimeout: 300 });
    const migrating = driver.migrate();
    const waiting = "select time_ms > 600 as late from information_schema.processlist where state = 'User lock'";
    await eventually(
      async () => (await ask(waiting))[0]?.late,
      (late) => late === 1,
    );
    await letGo();
    await migrating;
    await driver.close();
  });

  test("sets its sessions up itself, whatever the server's own defaults are", async () => {
    const { host, port = 0, database, username, password } = options;
    const session = sessionOf({ statementTimeout: 2500, idleTimeout: 30_000 });
    const server = { where: "here", host, port, database, username, password, prepared: 16, session };
    const connection = await MysqlConnection.open(server, 2500, 5000);
    const names =
      "sql_mode time_zone autocommit character_set_client collation_connection transaction_isolation " +
      "innodb_lock_wait_timeout lock_wait_timeout max_statement_time idle_transaction_timeout wait_timeout";
    const select = names.split(" ").map((name) => `@@session.${name} as ${name}`);
    const [row] = await connection.execute(CompiledQuery.raw(`select ${select.join(", ")}`));
    await connection.end();
    assert.deepEqual(
      { ...(row as object) },
      {
        sql_mode: "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        time_zone: "+00:00",
        autocommit: 1,
        character_set_client: "utf8mb4",
        collation_connection: "utf8mb4_bin",
        transaction_isolation: "READ-COMMITTED",
        innodb_lock_wait_timeout: 3,
        lock_wait_timeout: 3,
        max_statement_time: 2.5,
        idle_transaction_timeout: 3,
        wait_timeout: 38,
      },
    );
  });

  test("says that there is no room, reads on, and writes once there is", async () => {
    const driver = await migrated(await emptyDatabase("full"));
    const notes = driver.keyValue?.("notes", json<string>());
    assert.ok(notes);
    // On a disk of 16 MiB, half of which something else takes up.
    const [table] = await ask("show create table meerkat_full.key_values");
    await admin.query("drop table meerkat_full.key_values");
    const small = String(table?.["Create Table"]).replace("key_values", "meerkat_full`.`key_values");
    await admin.query(`${small} data directory = '${SMALL_DISK}'`);
    await container.run("dd", "if=/dev/zero", `of=${SMALL_DISK}/else`, "bs=1M", "count=8");
    const alice = freshAccount();
    await notes.set(alice, "kept");
    let error: unknown;
    // Short enough for a page: for a longer one MariaDB 11.8 ends itself when there is no room.
    const text = "x".repeat(7000);
    for (let left = 2000; left > 0 && error === undefined; left--)
      error = await failure(notes.set(freshAccount(), text));
    assert.ok(error instanceof StorageError, String(error));
    assert.match(error.message, /is full/);
    assert.equal(await notes.get(alice), "kept");
    await container.run("rm", `${SMALL_DISK}/else`);
    await notes.set(freshAccount(), text);
    await admin.query("drop database meerkat_full");
    await driver.close();
  });

  test("names what it could not reach, in the database's own words, and never the password", async () => {
    const nobody = await freePort();
    const cases: [Partial<MysqlOptions>, RegExp][] = [
      [{ port: nobody }, new RegExp(`localhost:${nobody}: .*ECONNREFUSED`)],
      [{ host: "nowhere.invalid" }, /nowhere\.invalid/],
      [{ password: "hunter2" }, /Access denied for user 'meerkat'/],
      [{ database: "meerkat_missing" }, /Unknown database 'meerkat_missing'/],
      [{ database: "mysql" }, /Access denied for user 'meerkat'@'.*' to database 'mysql'/],
    ];
    for (const [change, words] of cases) {
      const driver = await openDriver({ ...options, ...change });
      const error = await failure(driver.migrate());
      assert.ok(error instanceof StorageError, String(error));
      assert.match(error.message, words);
      assert.match(error.message, /^mysql at /);
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
    const driver = await migrated(options);
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
    await counter(driver).get(freshAccount(), "n");
    await admin.query("kill user meerkat");
    await eventually(
      async () => warnings.length,
      (count) => count > 0,
    );
    assert.match(warnings[0] ?? "", /^mysql at localhost:\d+: .*(killed|closed)/);
    assert.equal(await counter(driver).get(freshAccount(), "n"), undefined);
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

  test("closes in time when the database hangs, and lets what is under way fail", async () => {
    const driver = await migrated({ ...options, connectionTimeout: 1000, statementTimeout: 600_000 });
    await counter(driver).get(freshAccount(), "n");
    await container.pause();
    try {
      const late = failure(counter(driver).get(freshAccount(), "n"));
      await driver.close();
      const error = await late;
      assert.ok(error instanceof StorageError);
      assert.match(error.message, /given up/);
    } finally {
      await container.resume();
    }
  });

  test("refuses what comes after it was closed", async () => {
    const driver = await migrated(options);
    await driver.close();
    await driver.close();
    const error = await failure(counter(driver).get(freshAccount(), "n"));
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /closed/);
  });

  test("stops a statement that takes too long, and keeps the connection", async (t) => {
    const driver = await migrated({ ...options, max: 1, statementTimeout: 500 });
    await counter(driver).get(freshAccount(), "n");
    const [before] = await connections();
    const letGo = await block(t, LOCKED);
    const error = await failure(counter(driver).get(freshAccount(), "n"));
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /max_statement_time exceeded/);
    await letGo();
    assert.equal(await counter(driver).get(freshAccount(), "n"), undefined);
    assert.deepEqual(await connections(), [before]);
    await driver.close();
  });

  test("tries again when the server has ended its transaction for another's sake", async (t) => {
    const driver = await migrated(options);
    const items = counter(driver);
    const alice = freshAccount();
    for (const key of ["a", "b"]) await items.set(alice, key, 1);
    const other = await connect();
    t.after(() => other.end());
    await other.query("set session transaction isolation level read committed");
    // Of two that wait for each other the one that has changed less is ended.
    await other.query("begin");
    await other.query("insert into key_values select 'weight', seq, '' from seq_1_to_500");
    const row = (key: string) => `kind = 'counters' and owner = '${alice.bare}' and \`key\` = '${key}'`;
    await other.query(`update map_items set value = '10' where ${row("b")}`);
    const bump = items.updateTogether(
      alice,
      ["a", "b"],
      (present) => new Map([...present].map(([key, n]) => [key, n + 1])),
    );
    await eventually(
      // Not innodb_trx, whose answer stays the same as long as somebody asks more often than every 100 ms.
      () => ask("select id from information_schema.processlist where info like '%for update' and time_ms > 100"),
      (waiting) => waiting.length === 1,
    );
    await other.query(`update map_items set value = '10' where ${row("a")}`);
    await other.query("commit");
    await bump;
    assert.deepEqual(
      await items.list(alice),
      new Map([
        ["a", 11],
        ["b", 11],
      ]),
    );
    const [deadlocks] = await ask("show global status like 'Innodb_deadlocks'");
    assert.ok(Number(deadlocks?.Value) >= 1);
    await driver.close();
  });

  test("gives up on a row that another transaction does not let go", async (t) => {
    const driver = await migrated({ ...options, statementTimeout: 700 });
    const items = counter(driver);
    const alice = freshAccount();
    await items.set(alice, "n", 1);
    const letGo = await block(t, "begin", `select * from map_items where owner = '${alice.bare}' for update`);
    assert.ok((await failure(items.update(alice, "n", () => 2))) instanceof StorageError);
    assert.equal(await items.get(alice, "n"), 1);
    await letGo();
    assert.equal(await items.update(alice, "n", () => 3), 3);
    await driver.close();
  });

  test("says that the database is read-only, reads on, and writes once it may", async (t) => {
    const driver = await migrated(options);
    const items = counter(driver);
    const alice = freshAccount();
    await items.set(alice, "n", 1);
    await admin.query("set global read_only = 1");
    t.after(() => admin.query("set global read_only = 0"));
    for (const write of [items.set(alice, "n", 2), items.update(alice, "n", () => 2)]) {
      const error = await failure(write);
      assert.ok(error instanceof StorageError);
      assert.match(error.message, /read-only/);
    }
    assert.equal(await items.get(alice, "n"), 1);
    await admin.query("set global read_only = 0");
    await items.set(alice, "n", 3);
    await driver.close();
  });

  test("says that the server takes no more connections", async (t) => {
    await admin.query("alter user meerkat@'%' with max_user_connections 1");
    t.after(() => admin.query("alter user meerkat@'%' with max_user_connections 0"));
    const first = await migrated(options);
    const second = await openDriver(options);
    await counter(first).get(freshAccount(), "n");
    const error = await failure(counter(second).get(freshAccount(), "n"));
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /max_user_connections/);
    await first.close();
    await eventually(
      () => failure(counter(second).get(freshAccount(), "n")),
      (refusal) => refusal === undefined,
    );
    await second.close();
  });

  test("opens no more connections than it may, queues no more than it may, and refuses the rest", async (t) => {
    const driver = await migrated({ ...options, max: 2, queue: 3, idleTimeout: 60_000 });
    const letGo = await block(t, LOCKED);
    const reads = Array.from({ length: 8 }, () => failure(counter(driver).get(freshAccount(), "n")));
    const refused = await Promise.all(reads.slice(5));
    for (const error of refused) {
      assert.ok(error instanceof StorageError);
      assert.match(error.message, /3 requests wait/);
    }
    await eventually(connections, ({ length }) => length === 2);
    await letGo();
    assert.deepEqual(await Promise.all(reads.slice(0, 5)), Array(5).fill(undefined));
    assert.equal((await connections()).length, 2);
    await driver.close();
    await eventually(connections, ({ length }) => length === 0);
  });

  test("refuses a request that has waited too long for a connection", async (t) => {
    const driver = await migrated({ ...options, max: 1, connectionTimeout: 1000 });
    const letGo = await block(t, LOCKED);
    const first = failure(counter(driver).get(freshAccount(), "n"));
    const second = await failure(counter(driver).get(freshAccount(), "n"));
    assert.ok(second instanceof StorageError);
    assert.match(second.message, /no connection was free in 1000 ms/);
    await letGo();
    assert.equal(await first, undefined);
    await driver.close();
  });

  test("closes connections that nobody uses", async () => {
    const driver = await migrated({ ...options, idleTimeout: 50 });
    await Promise.all(Array.from({ length: 4 }, () => counter(driver).get(freshAccount(), "n")));
    await eventually(connections, ({ length }) => length === 0);
    assert.equal(await driver.healthy(), true);
    await driver.close();
  });

  test("encrypts, and trusts only the authority it was given", async () => {
    const ca = await container.run("cat", "/var/lib/mysql/tls/ca.crt");
    await admin.query("alter user meerkat@'%' require ssl");
    try {
      const plain = await openDriver(options);
      assert.ok((await failure(plain.migrate())) instanceof StorageError);
      await plain.close();
      const driver = await migrated({ ...options, tls: { ca } });
      assert.equal(await counter(driver).get(freshAccount(), "n"), undefined);
      await driver.close();
      // The certificate is for localhost, by name.
      for (const [change, words] of [
        [{ tls: {} }, /certificate/],
        [{ tls: { ca }, host: "127.0.0.1" }, /altnames/],
      ] as const) {
        const distrusting = await openDriver({ ...options, ...change });
        const error = await failure(distrusting.migrate());
        assert.ok(error instanceof StorageError, String(error));
        assert.match(error.message, words);
        await distrusting.close();
      }
    } finally {
      await admin.query("alter user meerkat@'%' require none");
    }
  });

  async function connections(): Promise<Record<string, unknown>[]> {
    return ask("select id from information_schema.processlist where user = 'meerkat' order by id");
  }
});
