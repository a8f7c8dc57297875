/** The operator's copies from store to store, between SQLite files; once as a process of its own. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Options } from "../../src/api/command.ts";
import { storageCommand } from "../../src/api/storage-command.ts";
import { parseConfig } from "../../src/config/load.ts";
import { json, type StorageDriver } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { migrated, scramKeys, scramStore } from "../conformance/storage/suite.ts";

const CTL = join(import.meta.dirname, "../../src/api/ctl.ts");

async function place(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-copy-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const toml = `node = { data_dir = "${directory}" }
    hosts = [{ domain = "example.org" }]
    [storage.main]
    driver = "sqlite"
    path = "main.db"
    [storage.other]
    driver = "sqlite"
    path = "other.db"
    [storage.same]
    driver = "sqlite"
    path = "main.db"
    busy_timeout = "1s"
    [storage.small]
    driver = "sqlite"
    path = "small.db"
    value_size = "1KiB"
    [storage.directory]
    driver = "ldap"
    url = "ldap://127.0.0.1:1"
    bind_dn = "cn=x"
    bind_password = "y"
    base = "dc=x"
    [storage.here]
    driver = "memory"`;
  const open = (name: string) => migrated({ driver: "sqlite", path: join(directory, `${name}.db`) });
  const source = await open("main");
  t.after(() => source.close());

  /** All that a copy says, the error that ends it last; interrupted when so many pages have been copied. */
  async function copy(options: Options, pages = Number.POSITIVE_INFINITY): Promise<string[]> {
    const said: string[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    let copied = 0;
    const show = (line: string) => {
      if (line.startsWith("copying") && ++copied === pages) controller.abort();
    };
    const status = { show, clear: () => {}, say: (line: string) => void said.push(line) };
    let now = Date.now();
    const wait = async (ms: number) => {
      now += ms;
    };
    try {
      await storageCommand(["copy"], options, parseConfig(toml), { signal, status, now: () => now, wait });
    } catch (error) {
      said.push((error as Error).message);
    }
    return said;
  }
  return { directory, toml, open, source, copy };
}

async function fill(driver: StorageDriver, accounts: number): Promise<void> {
  for (let index = 0; index < accounts; index++) {
    const account = new Jid(`a${index}`, "example.org");
    await scramStore(driver).create(account, [scramKeys("sha-1", index % 100), scramKeys("sha-256", index % 100)]);
    await driver.map?.("roster", json())?.set(account, "bob@example.org", { name: "Bob" });
    await driver.map?.("private_xml", json())?.set(account, "storage x", "<storage xmlns='x'/>");
    await driver.keyValue?.("last_seen", json())?.set(account, { at: index });
  }
}

test("everything is copied, compared, and counted table by table", async (t) => {
  const { source, open, copy } = await place(t);
  await fill(source, 120);
  const said = await copy({ from: "main", to: "other" });
  assert.deepEqual(
    said.map((line) => line.replace(/[0-9a-f]{12}/g, "SUM").replace(/ +/g, " ")),
    [
      "table in main in other checksum checksum",
      "accounts 120 120 SUM SUM same",
      "keyValue last_seen 120 120 SUM SUM same",
      "map private_xml 120 120 SUM SUM same",
      "map roster 120 120 SUM SUM same",
      "other holds what main holds",
    ],
  );
  const other = await open("other");
  assert.deepEqual(await scramStore(other).scram(new Jid("a7", "example.org"), "sha-256"), scramKeys("sha-256", 7));
  assert.deepEqual(await other.map?.("roster", json())?.get(new Jid("a119", "example.org"), "bob@example.org"), {
    name: "Bob",
  });
  assert.deepEqual(
    (await other.contents?.read("keyValue", 500))?.records.length,
    120,
    "a copy leaves nothing of its own",
  );
  await other.close();
  assert.equal((await copy({ from: "main", to: "other" })).at(-1), "other holds what main holds", "again, harmlessly");
  assert.equal((await copy({ from: "other", to: "main" })).at(-1), "main holds what other holds", "and back");
});

test("a rehearsal counts, and makes nothing", async (t) => {
  const { directory, source, open, copy } = await place(t);
  await fill(source, 3);
  const first = (await copy({ from: "main", to: "other", "dry-run": true })).map((line) => line.replace(/ +/g, " "));
  assert.deepEqual(first, [
    "table in main in other",
    "accounts 3 - would be copied",
    "keyValue last_seen 3 - would be copied",
    "map private_xml 3 - would be copied",
    "map roster 3 - would be copied",
    "12 records in main; nothing was written",
    "other has no tables yet: they would be made",
  ]);
  const other = await open("other");
  assert.equal((await other.contents?.read("accounts", 10))?.records.length, 0);
  await fill(other, 1);
  await other.close();
  const second = (await copy({ from: "main", to: "other", "dry-run": true })).map((line) => line.replace(/ +/g, " "));
  assert.equal(second[1], "accounts 3 1 would be copied");
  const third = await copy({ from: "main", to: "small", "dry-run": true });
  assert.match(third.at(-1) ?? "", /^storage.small.value_size is smaller .* more than 1024 bytes would stop the copy$/);
  assert.ok(directory);
});

test("only what is asked for is copied", async (t) => {
  const { source, open, copy } = await place(t);
  await fill(source, 5);
  const said = await copy({ from: "main", to: "other", only: "accounts, keyValue" });
  assert.equal(said.length, 4);
  const other = await open("other");
  assert.equal((await other.contents?.read("accounts", 10))?.records.length, 5);
  assert.equal((await other.contents?.read("map", 10))?.records.length, 0);
  await other.close();
});

test("what was interrupted goes on where it was, and nothing is counted twice", async (t) => {
  const { source, open, copy } = await place(t);
  await fill(source, 400);
  const stopped = await copy({ from: "main", to: "other" }, 1);
  assert.deepEqual(stopped, ["interrupted: 50 records are copied; the same command goes on from there"]);
  const other = await open("other");
  assert.equal((await other.contents?.read("accounts", 500))?.records.length, 50);
  // What the source has no more of its first page proves that it is not read again.
  await scramStore(source).remove(new Jid("a0", "example.org"));
  const resumed = await copy({ from: "main", to: "other" });
  assert.match(resumed[0] ?? "", /^goes on behind the 50 records that are copied already$/);
  assert.match(
    resumed.at(-1) ?? "",
    /^accounts: main was written to while it was copied \(400 records went over, 399 are there now\)/,
  );
  await scramStore(other).remove(new Jid("a0", "example.org"));
  assert.equal((await copy({ from: "main", to: "other" })).at(-1), "other holds what main holds");
  await other.close();
});

test("a copy of something else begins anew, and so does one that is told to", async (t) => {
  const { source, open, copy } = await place(t);
  await fill(source, 400);
  await copy({ from: "main", to: "other" }, 2);
  const restarted = await copy({ from: "main", to: "other", restart: true });
  assert.doesNotMatch(restarted[0] ?? "", /goes on/);
  assert.equal(restarted.at(-1), "other holds what main holds");
  await (await open("small")).close();
  await copy({ from: "main", to: "other" }, 2);
  const elsewhere = await copy({ from: "small", to: "other" });
  assert.doesNotMatch(elsewhere[0] ?? "", /goes on/);
  assert.match(elsewhere.at(-1) ?? "", /map roster: other has 400 records more than small: it had them before/);
});

test("sides that differ are told apart in words", async (t) => {
  const { source, open, copy } = await place(t);
  await fill(source, 3);
  const other = await open("other");
  await other.map?.("roster", json())?.set(new Jid("old", "example.org"), "x", {});
  await other.keyValue?.("notes", json())?.set(new Jid("old", "example.org"), {});
  await other.close();
  const said = await copy({ from: "main", to: "other" });
  assert.ok(said.some((line) => /^map roster +3 +4 .*DIFFERENT$/.test(line)));
  assert.match(
    said.at(-1) ?? "",
    /^keyValue notes: other has 1 records more than main.*\nmap roster: other has 1 records more/,
  );
});

test("a value that the target takes none of stops the copy when patience is over, and says why", async (t) => {
  const { source, copy } = await place(t);
  await fill(source, 1);
  await source.map?.("private_xml", json())?.set(new Jid("a0", "example.org"), "large", "x".repeat(2000));
  const said = await copy({ from: "main", to: "small", patience: "60" });
  assert.match(said[0] ?? "", /^a value of private_xml is 2002 bytes; at most 1024 are kept; tried again in 0.5 s$/);
  assert.equal(said.filter((line) => /tried again/.test(line)).length, 8);
  assert.match(said.at(-2) ?? "", /^2 records are copied; the same command goes on from there$/);
  assert.match(said.at(-1) ?? "", /^a value of private_xml is 2002 bytes/);
});

test("what cannot be copied is said before anything else", async (t) => {
  const { copy } = await place(t);
  for (const [options, said] of [
    [{ from: "main", to: "main" }, /one and the same store/],
    [{ from: "main", to: "same" }, /one and the same store/],
    [{ from: "main", to: "none" }, /there is no store "none"; there are main, other/],
    [{ from: "main", to: "directory" }, /the store "directory" \(ldap\) keeps nothing that can be copied/],
    [{ from: "here", to: "main" }, /the store "here" \(memory\) keeps nothing that can be copied/],
    [{ from: "main", to: "other", only: "accounts,rooms" }, /main has no "rooms"; --only takes of accounts, /],
    [{ from: "main", to: "other", patience: "long" }, /--patience takes 0 to/],
    [{ from: "main" }, /^usage: meerkatctl storage copy/],
  ] as const) {
    assert.match((await copy(options)).at(-1) ?? "", said);
  }
});

test("as a command it can be killed, ended by Ctrl-C and begun again, and tells by its exit", async (t) => {
  const { directory, toml, source } = await place(t);
  await fill(source, 50);
  // Enough for the copy to be still at it when it is ended.
  for (let owner = 0; owner < 40; owner++) {
    const records = Array.from({ length: 250 }, (_, index) => ({
      capability: "map" as const,
      table: "bulk",
      owner: `o${owner}@example.org`,
      key: `key ${index}`,
      value: `"${"x".repeat(200)}"`,
    }));
    await source.contents?.write(records);
  }
  const config = join(directory, "meerkat.toml");
  writeFileSync(config, toml);
  const env = { ...process.env, MEERKAT_CONFIG: config };
  const words = ["storage", "copy", "--from", "main", "--to", "other"];
  const first = await begun(env, words);
  first.running.kill("SIGINT");
  assert.deepEqual(await first.ended, [1, null]);
  assert.match(
    first.said(),
    /^interrupted: (nothing was written|[\d,]+ records are copied; the same command goes on from there)\n$/,
  );
  const second = await begun(env, words);
  await someCopied(directory);
  second.running.kill("SIGKILL");
  await second.ended;
  const { status, stdout } = spawnSync(process.execPath, [CTL, ...words], { env, encoding: "utf8" });
  assert.equal(status, 0, stdout);
  assert.match(stdout, /other holds what main holds\n$/);
  await source.map?.("roster", json())?.remove(new Jid("a0", "example.org"), "bob@example.org");
  const again = spawnSync(process.execPath, [CTL, ...words], { env, encoding: "utf8" });
  assert.equal(again.status, 1);
  assert.match(again.stderr, /^map roster: other has 1 records more than main/);
  const help = spawnSync(process.execPath, [CTL, "storage", "--help"], { env, encoding: "utf8" });
  assert.match(help.stdout, /^usage: meerkatctl storage copy/);
  assert.equal(help.status, 0);
});

/** A copy that has said its first word, so that it listens to signals. */
async function begun(env: NodeJS.ProcessEnv, words: readonly string[]) {
  const running = spawn(process.execPath, [CTL, ...words], { env });
  let said = "";
  running.stderr.on("data", (data) => {
    said += data;
  });
  const ended = once(running, "close");
  await once(running.stdout, "data");
  return { running, ended, said: () => said };
}

/** Waits until the copy has put something into the target. */
async function someCopied(directory: string): Promise<void> {
  for (;;) {
    const other = await migrated({ driver: "sqlite", path: join(directory, "other.db") });
    const found = await other.contents?.read("map", 1);
    await other.close();
    if ((found?.records.length ?? 0) > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
