import assert from "node:assert/strict";
import { after, test } from "node:test";
import { xml } from "@xmpp/client";
import { compose, freshAccounts, run } from "../lib/datacenter.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";
import type { XmppClient } from "../lib/xmpp.ts";

const [alice] = (await freshAccounts(site.domain, "alice")) as [Account];

/** Puts contacts into the client's roster, RFC 6121 2.3. */
async function addContacts(client: XmppClient, ...names: string[]): Promise<void> {
  for (const name of names) {
    const item = xml("item", { jid: `${name}@${site.domain}` });
    await client.iq("set", xml("query", { xmlns: "jabber:iq:roster" }, item));
  }
}

const inService = (...command: string[]) => compose(["exec", "-T", "backup", ...command]);

/** Turns one bit of a file around, in the middle of it. */
const FLIP =
  "const [, file] = process.argv, fs = require('fs'), at = fs.statSync(file).size >> 1;" +
  "const bytes = fs.readFileSync(file); bytes[at] ^= 1; fs.writeFileSync(file, bytes)";
const flip = (file: string) => inService("node", "-e", FLIP, file);

/** The store that the nodes keep contacts in. */
const MAIN = { postgres: "postgres", mysql: "mariadb" }[process.env.MEERKAT_STORAGE || "postgres"] ?? "postgres";

/** Columns of a store's line: tables, rows restored, rows in the set, rows live now. */
function counts(output: string, store: string): number[] {
  const line = output.split("\n").find((each) => each.startsWith(`${store} `)) ?? "";
  return line.split(/\s+/).slice(1, 5).map(Number);
}

let set = "";

test("make backup takes a set of every store, and says what is in it", async (t) => {
  const client = await online(t, alice);
  await addContacts(client, "before");
  const output = await run("scripts/backup", []);
  assert.match(output, new RegExp(`^${MAIN} +\\S+ \\S+ +[1-9]\\d* `, "m"));
  assert.match(output, /^openldap +\S+ \S+ +[1-9]\d* /m);
  set = (await inService("backup", "newest")).trim();
  assert.ok(output.includes(set), output);
  await addContacts(client, ...Array.from({ length: 20 }, (_, i) => `after-${i}`));
});

test("make restore-drill brings back what was there then and nothing of what came later, and leaves nothing behind", async () => {
  const output = await run("scripts/restore-drill", []);
  assert.match(output, /all stores agree/);
  assert.match(output, /newest restored commit is .* old/);
  const [tables = 0, restored = 0, inSet = Number.NaN, live = 0] = counts(output, MAIN);
  assert.ok(tables > 1 && restored > 1, output);
  // PostgreSQL is counted at a known place; MariaDB before its dump, and somebody may have written until then.
  if (MAIN === "postgres") assert.equal(restored, inSet);
  else assert.ok(restored >= inSet, output);
  assert.ok(live > restored, `${live} rows are live, ${restored} came back; twenty are newer than the backup`);
  assert.match(output, /^openldap .* agrees$/m);
  const metrics = await inService("curl", "-fsS", "http://127.0.0.1:9465/metrics");
  assert.match(metrics, /^backup_drill_success 1$/m);
  assert.match(metrics, /^backup_wal_receiving 1$/m);
  assert.equal(await run("docker", ["ps", "-aq", "--filter", "label=meerkat.drill"]), "");
  assert.equal(await run("docker", ["volume", "ls", "-q", "--filter", "label=meerkat.drill"]), "");
});

test("one bit of a set is turned around: the drill fails and names the file", async () => {
  const file = `/backups/sets/${set}/openldap/tree.ldif.zst`;
  await flip(file);
  after(() => flip(file));
  const drill = run("env", [`SET=${set}`, "ONLY=openldap", "scripts/restore-drill"]);
  await assert.rejects(drill, /openldap: openldap\/tree\.ldif\.zst has been changed/);
});
