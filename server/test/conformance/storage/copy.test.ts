/** `meerkatctl storage copy` around real databases: all that a store holds comes back as it was. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { storageCommand } from "../../../src/api/storage-command.ts";
import { parseConfig } from "../../../src/config/load.ts";
import { archiveIdAt } from "../../../src/storage/archive-id.ts";
import type { MysqlOptions } from "../../../src/storage/drivers/mysql/mysql.ts";
import type { PostgresOptions } from "../../../src/storage/drivers/postgres/postgres.ts";
import { json, SCRAM_HASHES, type StorageDriver, type StoredRecord } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { startDatabase, type TestDatabase } from "./containers.ts";
import { all } from "./contents.ts";
import { eventually, failure, migrated, ODD_TEXTS, scramKeys, scramStore } from "./suite.ts";

const DAY = 86_400_000;
const directory = mkdtempSync(join(tmpdir(), "meerkat-copy-"));
let postgres: TestDatabase;
let mariadb: TestDatabase;
let toml: string;

before(async () => {
  [postgres, mariadb] = await Promise.all([startDatabase("postgres", [5432]), startDatabase("mariadb", [3306])]);
  const login = { host: "localhost", username: "meerkat", password: "secret" };
  const ports = { postgres: postgres.ports.get(5432) ?? 0, mysql: mariadb.ports.get(3306) ?? 0 };
  const servers: readonly ((PostgresOptions & { driver: "postgres" }) | (MysqlOptions & { driver: "mysql" }))[] = [
    { driver: "postgres", port: ports.postgres, database: "postgres", ...login },
    { driver: "mysql", port: ports.mysql, database: "meerkat", ...login },
  ];
  for (const options of servers) {
    await eventually(
      () => failure(migrated(options).then((driver) => driver.close())),
      (error) => error === undefined,
    );
  }
  const section = (driver: "postgres" | "mysql", database: string) =>
    `[storage.${driver}]\ndriver = "${driver}"\nhost = "localhost"\nport = ${ports[driver]}\ndatabase = "${database}"\nusername = "meerkat"\npassword = "secret"\n`;
  toml = `node = { data_dir = "${directory}" }
    hosts = [{ domain = "example.org" }]
    [storage.main]
    driver = "sqlite"
    path = "main.db"
    [storage.back]
    driver = "sqlite"
    path = "back.db"
    ${section("postgres", "postgres")}${section("mysql", "meerkat")}`;
});
after(async () => {
  await postgres?.remove();
  await mariadb?.remove();
  rmSync(directory, { recursive: true });
});

/** The last that the copy says; `disturb` is told of every line of progress, and `waiting` of every pause. */
async function copy(
  from: string,
  to: string,
  disturb: (line: string) => void = () => {},
  waiting: () => Promise<void> = async () => {},
): Promise<string> {
  const said: string[] = [];
  await storageCommand(["copy"], { from, to }, parseConfig(toml), {
    signal: new AbortController().signal,
    status: { show: disturb, say: (line) => void said.push(line), clear: () => {} },
    now: Date.now,
    async wait(ms) {
      await waiting();
      await sleep(Math.min(ms, 200));
    },
  });
  return said.at(-1) ?? "";
}

const sqlite = (name: string) => migrated({ driver: "sqlite", path: join(directory, `${name}.db`) });

async function fill(driver: StorageDriver): Promise<void> {
  const host = new Jid("", "example.org");
  for (const [index, text] of ODD_TEXTS.entries()) {
    const owner = new Jid(text, "example.org");
    await scramStore(driver).create(
      owner,
      SCRAM_HASHES.slice(index % 3).map((hash) => scramKeys(hash, index)),
    );
    await driver.keyValue?.("last_seen", json())?.set(owner, { text: `\u0000${text}` });
    for (const key of ["", ...ODD_TEXTS.slice(0, 5), "k".repeat(3000)]) {
      await driver.map?.("roster", json())?.set(owner, key, { text, key });
    }
    const mail = driver.archive?.("mam", json());
    for (let at = 0; at < 5; at++) {
      const id = archiveIdAt(Date.now() - at * 40 * DAY);
      await mail?.append(owner, { id, with: new Jid("bob", "example.org", text), value: `${text} ${at}` });
      await driver.queue?.("offline", json())?.push(owner, `${text} ${at}`, 10);
    }
    await driver.expiring?.("tokens", json())?.set(`${text} ${"t".repeat(300)}`, text, DAY);
  }
  await driver.keyValue?.("notes", json())?.set(host, "x".repeat(900_000));
}

async function contentsOf(driver: StorageDriver): Promise<StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (const capability of driver.contents?.holds ?? []) {
    if (driver.contents !== undefined) found.push(...(await all(driver.contents, capability, 300)));
  }
  return found.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

test("from SQLite to PostgreSQL, to MariaDB and back to SQLite, everything is as it was", async () => {
  const main = await sqlite("main");
  await fill(main);
  assert.equal(await copy("main", "postgres"), "postgres holds what main holds");
  assert.equal(await copy("postgres", "mysql"), "mysql holds what postgres holds");
  assert.equal(await copy("mysql", "back"), "back holds what mysql holds");
  const back = await sqlite("back");
  assert.deepEqual(await contentsOf(back), await contentsOf(main));
  assert.equal((await contentsOf(main)).length, ODD_TEXTS.length * (1 + 1 + 7 + 5 + 5 + 1) + 1);
  await Promise.all([main.close(), back.close()]);
});

test("a database that dies under a copy is waited for, and the copy goes on", async () => {
  let killed: Promise<void> | undefined;
  let waited = 0;
  const last = await copy(
    "main",
    "postgres",
    (line) => {
      if (line.startsWith("copying map")) killed ??= postgres.kill();
    },
    async () => {
      if (waited++ > 0) return;
      await killed;
      await postgres.start();
    },
  );
  assert.equal(last, "postgres holds what main holds");
  assert.ok(waited > 0, "the copy never noticed");
});
