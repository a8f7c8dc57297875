/** The operator's account commands, on an SQLite file; once as a process of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { accountCommand } from "../../src/api/account-command.ts";
import { loadConfig, parseConfig } from "../../src/config/load.ts";
import { openDriver } from "../../src/storage/open.ts";
import { map } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";

function place(t: TestContext, more = "") {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const toml = `node = { data_dir = "${directory}" }\nauth = { scram_iterations = 4096 }\n${more || 'hosts = [{ domain = "example.org" }]'}\n`;
  async function ctl(input: string, ...words: string[]): Promise<string> {
    const said: string[] = [];
    const terminal = { password: () => input, input: () => input, print: (line: string) => void said.push(line) };
    await accountCommand(words, parseConfig(toml), terminal);
    return said.join("\n");
  }
  return { directory, toml, ctl };
}

test("accounts are made, changed, listed, imported and removed without a trace", async (t) => {
  const { directory, ctl } = place(t);
  assert.equal(await ctl("correct horse", "add", "alice@example.org"), "alice@example.org created");
  await assert.rejects(ctl("correct horse", "add", "Alice@example.org"), {
    message: "alice@example.org exists already",
  });
  assert.equal(await ctl("battery staple", "ensure", "alice@example.org"), "alice@example.org has this password now");
  assert.equal(await ctl("battery staple", "ensure", "dora@example.org"), "dora@example.org created");
  assert.equal(await ctl("staple battery", "passwd", "alice@example.org"), "alice@example.org has a new password");
  const lines = "bob@example.org one two three\r\n\ncarol@example.org four five six\nalice@example.org seven eight\n";
  assert.equal(await ctl(lines, "import"), "2 created, 1 present already");
  const all = ["alice", "bob", "carol", "dora"].map((local) => `${local}@example.org`);
  assert.equal(await ctl("", "list", "example.org"), all.join("\n"));

  const driver = await openDriver({ driver: "sqlite", path: join(directory, "meerkat.db") });
  const rosters = map<string>("roster").open(driver);
  const bob = new Jid("bob", "example.org");
  await rosters?.set(bob, "alice@example.org", "kept");
  assert.equal(
    await ctl("", "remove", "bob@example.org", "dora@example.org"),
    "bob@example.org removed\ndora@example.org removed",
  );
  assert.equal((await rosters?.list(bob))?.size, 0);
  await driver.close();
  assert.equal(await ctl("", "list", "example.org"), "alice@example.org\ncarol@example.org");
});

test("a removal that was cut short takes the rest away when it is given again", async (t) => {
  const { directory, ctl } = place(t);
  await ctl("correct horse", "add", "alice@example.org");
  const path = join(directory, "meerkat.db");
  const driver = await openDriver({ driver: "sqlite", path });
  t.after(() => driver.close());
  const rosters = map<string>("roster").open(driver);
  const alice = new Jid("alice", "example.org");
  await rosters?.set(alice, "bob@example.org", "kept");
  const file = new DatabaseSync(path);
  t.after(() => file.close());
  file.exec("alter table map_items rename to out_of_reach");
  await assert.rejects(ctl("", "remove", "alice@example.org"));
  file.exec("alter table out_of_reach rename to map_items");
  await assert.rejects(ctl("", "remove", "alice@example.org"), { message: "there is no account alice@example.org" });
  assert.equal((await rosters?.list(alice))?.size, 0);
});

test("more accounts than a page holds are listed to the last", async (t) => {
  const { ctl } = place(t);
  const jids = Array.from({ length: 501 }, (_, i) => `u${String(i).padStart(3, "0")}@example.org`);
  assert.equal(
    await ctl(jids.map((jid) => `${jid} correct horse`).join("\n"), "import"),
    "501 created, 0 present already",
  );
  assert.deepEqual((await ctl("", "list", "example.org")).split("\n"), jids);
});

test("what cannot be done is said, and passwords are not", async (t) => {
  const { ctl } = place(t);
  for (const [words, input, said] of [
    [["add", "alice@elsewhere.example"], "x", /"elsewhere.example" is not served here; there are example.org/],
    [["add", "example.org"], "x", /"example.org" is not an account's JID/],
    [["add", "alice@example.org/desk"], "x", /is not an account's JID/],
    [["add", "alice@example.org"], "short", /the password/],
    [["passwd", "nobody@example.org"], "correct horse", /there is no account nobody@example.org/],
    [["remove", "nobody@example.org"], "", /there is no account nobody@example.org/],
    [["import"], "hunter2hunter2\n", /^line 1 is not "JID password"$/],
    [["explode", "alice@example.org"], "", /^usage:/],
    [["add", "alice@example.org", "bob@example.org"], "correct horse", /^usage:/],
    [["list"], "", /^usage:/],
    [[], "", /^usage:/],
  ] as const) {
    await assert.rejects(ctl(input, ...words), { message: said }, words.join(" "));
  }
});

test("a store that the domain does not need may be down", async (t) => {
  const { ctl } = place(
    t,
    `[storage.main]
     driver = "sqlite"
     [storage.company]
     driver = "ldap"
     url = "ldap://127.0.0.1:1"
     bind_dn = "cn=x"
     bind_password = "y"
     base = "dc=x"
     [host_types.default]
     [host_types.company]
     accounts = ["company"]
     [[hosts]]
     domain = "example.org"
     [[hosts]]
     domain = "corp.example"
     type = "company"`,
  );
  assert.equal(await ctl("correct horse", "add", "alice@example.org"), "alice@example.org created");
  await assert.rejects(ctl("", "list", "corp.example"), { name: "StorageError" });
});

test("as a command it reads its configuration, a password file or standard input, and tells by its exit", (t) => {
  const { directory, toml } = place(t);
  const config = join(directory, "meerkat.toml");
  const secret = join(directory, "secret");
  writeFileSync(config, toml);
  writeFileSync(secret, "battery staple\n");
  assert.equal(loadConfig({ env: { MEERKAT_CONFIG: config }, readFile: () => toml }).hosts[0]?.domain, "example.org");
  const run = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "../../src/api/ctl.ts"), ...words],
      {
        input: "correct horse",
        encoding: "utf8",
        env: { ...process.env, MEERKAT_CONFIG: config },
      },
    );
    return [status, `${stdout}${stderr}`.trim()];
  };
  assert.deepEqual(run("account", "add", "alice@example.org", "--password-file", secret), [
    0,
    "alice@example.org created",
  ]);
  const [status, said] = run("account", "add", "bob@example.org", "--password-file", join(directory, "none"));
  assert.equal(status, 1);
  assert.match(String(said), /^the password cannot be read: ENOENT/);
});
