import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, it } from "node:test";
import { copiedPaths, images } from "../images.ts";
import { portList, roles, rows } from "../status.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const root = mkdtempSync(join(tmpdir(), "meerkat-lib-"));
cpSync(join(ROOT, "scripts/lib.sh"), join(root, "scripts/lib.sh"));
after(() => rmSync(root, { recursive: true, force: true }));

function bash(script: string, env: Record<string, string> = {}): string {
  return execFileSync("bash", ["--norc", "-c", `. scripts/lib.sh; ${script}`], {
    encoding: "utf8",
    cwd: root,
    env: { PATH: process.env.PATH ?? "", ...env },
  });
}

it(".env is read as compose reads it, and the environment wins", () => {
  writeFileSync(
    join(root, ".env"),
    "# a comment\nA_PORT=1 # why\nB_NAME=\"two words\"\nC_NAME='$HOME'\nD_EMPTY=\nE_URL=http://x/#frag\nF=$(touch evil)\n",
  );
  const got = bash('load_env; printf "%s|" "$A_PORT" "$B_NAME" "$C_NAME" "$D_EMPTY" "$E_URL" "$F"', { A_PORT: "9" });
  assert.equal(got, "9|two words|$HOME||http://x/#frag|$(touch evil)|");
});

it("set_env changes one line and keeps the rest", () => {
  writeFileSync(join(root, ".env"), "# nodes\nMEERKAT_NODES=2\nOTHER=a&b\\1\n");
  bash("set_env MEERKAT_NODES 3; set_env NEW 'x&y'");
  assert.equal(readFileSync(join(root, ".env"), "utf8"), "# nodes\nMEERKAT_NODES=3\nOTHER=a&b\\1\nNEW=x&y\n");
});

it("a Dockerfile's copied paths are found, whatever the form", () => {
  const text =
    'FROM x\nCOPY --chmod=0444 a b/ \\\n  c /to/\nCOPY ["d e", "/to"]\nCOPY --from=build /x /y\nRUN --mount=type=bind,source=f,target=/f make\nRUN --mount=type=cache,target=/c make\n';
  assert.deepEqual(copiedPaths(text), ["a", "b/", "c", "d e", "f"]);
});

it("an image's hash changes with the base, an argument and a copied file, and with nothing else", () => {
  const context = join(root, "image");
  const hash = (base = "b", args: Record<string, string> = {}) =>
    images({ services: { s: { image: "i", build: { context, args } } } }, base)[0]?.hash;
  cpSync(join(ROOT, "scripts/lib.sh"), join(context, "copied"));
  cpSync(join(ROOT, "scripts/lib.sh"), join(context, "other"));
  writeFileSync(join(context, "Dockerfile"), "FROM x\nCOPY copi* /\n");
  const first = hash();
  writeFileSync(join(context, "other"), "changed");
  assert.equal(hash(), first);
  const seen = new Set([first, hash("c"), hash("b", { A: "1" })]);
  writeFileSync(join(context, "copied"), "changed");
  seen.add(hash());
  assert.equal(seen.size, 4);
});

it("ports are written as a person writes them", () => {
  assert.equal(portList([8443, 443, 5223, 5222, 443]), "443,5222,5223,8443");
  assert.equal(portList([49162, 49160, 49161, 3478]), "3478,49160-49162");
  assert.equal(portList([]), "");
});

it("status tells a finished one-shot from a crash, and names the services that are missing", () => {
  const container = (service: string, status: string, code: number, policy: string, health?: string) => ({
    Name: `/p-${service}-1`,
    RestartCount: 0,
    Config: { Labels: { "com.docker.compose.service": service, "com.docker.compose.container-number": "1" } },
    State: {
      Status: status,
      ExitCode: code,
      StartedAt: "",
      ...(health === undefined ? {} : { Health: { Status: health } }),
    },
    HostConfig: { RestartPolicy: { Name: policy } },
    NetworkSettings: { Ports: {}, Networks: { app: { IPAddress: "172.28.2.3" } } },
  });
  const table = rows(
    [
      container("meerkat", "running", 0, "unless-stopped", "healthy"),
      container("redis-cluster", "exited", 0, "no"),
      container("postgres", "exited", 1, "unless-stopped", "unhealthy"),
      container("openldap", "running", 0, "unless-stopped", "starting"),
    ],
    ["meerkat", "redis-cluster", "postgres", "openldap", "haproxy"],
    2,
  );
  assert.deepEqual(
    table.map((row) => `${row.service} ${row.state} ${row.health} ${row.address} ${row.well}`),
    [
      "haproxy missing - - false",
      "meerkat (1 of 2) missing - - false",
      "meerkat-1 running healthy 172.28.2.3 true",
      "openldap running starting 172.28.2.3 false",
      "postgres exited 1 - - false",
      "redis-cluster done ok - true",
    ],
  );
});

it("says which PostgreSQL server is the primary, and how far the other is behind", () => {
  const members = [
    { name: "postgres-1", role: "sync_standby", state: "streaming", lag: 0 },
    { name: "postgres-2", role: "leader", state: "running" },
  ];
  assert.deepEqual(
    [...roles({ members })],
    [
      ["postgres-1", "replica, in step, 0 B behind"],
      ["postgres-2", "primary"],
    ],
  );
  const away = { name: "postgres-1", role: "replica", state: "stopped", lag: "unknown" };
  assert.equal(roles({ members: [away] }).get("postgres-1"), "replica, not in step, stopped");
  const late = { name: "postgres-1", role: "replica", state: "streaming", lag: 4096 };
  assert.equal(roles({ members: [late] }).get("postgres-1"), "replica, not in step, 4096 B behind");
});
