import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, beforeEach, it } from "node:test";

const ROOT = resolve(import.meta.dirname, "../..");
const root = mkdtempSync(join(tmpdir(), "meerkat-choices-"));
for (const path of ["scripts/lib.sh", "scripts/choices", "compose/meerkat/storage"]) {
  cpSync(join(ROOT, path), join(root, path), { recursive: true });
}
after(() => rmSync(root, { recursive: true, force: true }));

const ENV = "# parts\nCOMPOSE_PROFILES=grafana\n# database\nMEERKAT_STORAGE=postgres\n";
beforeEach(() => writeFileSync(join(root, ".env"), ENV));

function choose(env: Record<string, string>): { status: number | null; said: string; written: string } {
  const { status, stdout, stderr } = spawnSync("scripts/choices", {
    cwd: root,
    encoding: "utf8",
    env: { PATH: process.env.PATH ?? "", NO_COLOR: "1", ...env },
  });
  return { status, said: stdout + stderr, written: readFileSync(join(root, ".env"), "utf8") };
}

it("what make was told is written into .env, and the rest of it kept", () => {
  const { status, written } = choose({ PROFILES: "mysql", STORAGE: "mysql" });
  assert.equal(status, 0);
  assert.equal(written, ENV.replace("=grafana", "=mysql").replace("=postgres", "=mysql"));
});

it("nothing is written where nothing was said", () => {
  assert.deepEqual(choose({ PROFILES: "", STORAGE: "" }), { status: 0, said: "", written: ENV });
});

it("an .env without the line gets it, and is PostgreSQL's until then", () => {
  writeFileSync(join(root, ".env"), "COMPOSE_PROFILES=\n");
  assert.equal(choose({}).status, 0);
  assert.match(choose({ STORAGE: "mysql", PROFILES: "grafana,mysql" }).written, /^MEERKAT_STORAGE=mysql$/m);
});

it("a storage whose profile is off is refused with the remedy, and nothing is written", () => {
  const { status, said, written } = choose({ STORAGE: "mysql" });
  assert.equal(status, 1);
  assert.match(said, /needs the profile mysql, which is off/);
  assert.match(said, /next: make up STORAGE=mysql PROFILES=grafana,mysql/);
  assert.equal(written, ENV);
});

it("a profile that the storage in .env needs is not taken away", () => {
  choose({ PROFILES: "mysql", STORAGE: "mysql" });
  const { status, said } = choose({ PROFILES: "grafana" });
  assert.equal(status, 1);
  assert.match(said, /next: make up STORAGE=mysql PROFILES=grafana,mysql/);
});

it("what is no storage, or no profile, is refused with what is", () => {
  assert.match(choose({ STORAGE: "oracle" }).said, /STORAGE is one of .*mysql.*postgres.*, not "oracle"/);
  assert.equal(choose({ STORAGE: "../x" }).status, 1);
  assert.match(choose({ PROFILES: "my sql" }).said, /words separated by commas, not "my sql"/);
});

it("what make was told wins over the environment", () => {
  const { status, written } = choose({ COMPOSE_PROFILES: "grafana", PROFILES: "mysql", STORAGE: "mysql" });
  assert.equal(status, 0);
  assert.match(written, /^COMPOSE_PROFILES=mysql$/m);
});
