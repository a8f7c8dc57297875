/** meerkatctl as an operator calls it: a process of its own on an SQLite file. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openDriver } from "../../src/storage/open.ts";
import { map } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const CTL = join(import.meta.dirname, "../../src/api/ctl.ts");

test("accounts are made, changed, listed, imported and removed without a trace", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const config = join(directory, "meerkat.toml");
  writeFileSync(
    config,
    `node = { data_dir = "${directory}" }\nhosts = [{ domain = "example.org" }]\nauth = { scram_iterations = 4096 }\n`,
  );
  const ctl = (input: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [CTL, ...args], {
      input,
      encoding: "utf8",
      env: { ...process.env, MEERKAT_CONFIG: config },
    });
    return { status, said: `${stdout}${stderr}`.trim() };
  };

  assert.deepEqual(ctl("correct horse", "account", "add", "alice@example.org"), {
    status: 0,
    said: "alice@example.org created",
  });
  assert.deepEqual(ctl("correct horse", "account", "add", "alice@example.org"), {
    status: 1,
    said: "alice@example.org exists already",
  });
  const secret = join(directory, "secret");
  writeFileSync(secret, "battery staple\n");
  assert.equal(ctl("", "account", "ensure", "alice@example.org", "--password-file", secret).status, 0);
  assert.equal(
    ctl("bob@example.org one two three\ncarol@example.org four five six\n", "account", "import").said,
    "2 created, 0 present already",
  );
  assert.equal(ctl("", "account", "list", "example.org").said, "alice@example.org\nbob@example.org\ncarol@example.org");

  const driver = await openDriver({ driver: "sqlite", path: join(directory, "meerkat.db") });
  const rosters = map<string>("roster").open(driver);
  const bob = new Jid("bob", "example.org");
  await rosters?.set(bob, "alice@example.org", "kept");
  assert.equal(ctl("", "account", "remove", "bob@example.org").said, "bob@example.org removed");
  assert.equal((await rosters?.list(bob))?.size, 0);
  await driver.close();
  assert.equal(ctl("", "account", "list", "example.org").said, "alice@example.org\ncarol@example.org");

  for (const [args, said] of [
    [["account", "add", "alice@elsewhere.example"], /"elsewhere.example" is not served here; there are example.org/],
    [["account", "add", "example.org"], /is not an account's JID/],
    [["account", "remove", "nobody@example.org"], /there is no such account/],
    [["account"], /^usage:/],
    [[], /^usage:/],
  ] as const) {
    const answer = ctl("x", ...args);
    assert.equal(answer.status, 1);
    assert.match(answer.said, said);
  }
  assert.match(ctl("x", "account", "add", "dave@example.org").said, /password/);
});
