/** What a node finds wrong with its configuration once it knows its modules and stores: still before it opens anything. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError } from "../../src/config/load.ts";
import { MODULES } from "../../src/modules/catalogue.ts";
import { startNode } from "../../src/node.ts";
import { silentLog } from "../../src/observe/log.ts";
import { read } from "./support.ts";

const BASE = `
  listen = [{ kind = "c2s", port = 0, tls = "none" }, { kind = "ops", port = 0 }]
  [storage.main]
  driver = "memory"
`;

async function refusals(toml: string): Promise<readonly string[]> {
  const config = read(toml);
  try {
    const node = await startNode(config, silentLog, new AbortController().signal);
    await node.stop();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.mistakes;
  }
  return [];
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "meerkat-config-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const roster = (settings: string) => `${BASE}[host_types.default.modules]\nroster = { ${settings} }`;

for (const [settings, mistake] of [
  ["max_items = 1", undefined],
  ["max_items = 100000", undefined],
  ["max_items = 0", "host_types.default.modules.roster.max_items = 0: must be 1 or more"],
  ["max_items = 100001", "host_types.default.modules.roster.max_items = 100001: must be 100000 or less"],
  ['max_items = "many"', 'host_types.default.modules.roster.max_items = "many": must be a number'],
  ["max_itmes = 1", 'host_types.default.modules.roster.max_itmes: there is no such key; did you mean "max_items"?'],
  ["max_name_size = 1, max_groups = 0", undefined],
  ["max_name_size = 0", "host_types.default.modules.roster.max_name_size = 0: must be 1 or more"],
  ["max_groups = 1001", "host_types.default.modules.roster.max_groups = 1001: must be 1000 or less"],
] as const) {
  test(`roster: ${settings} ${mistake === undefined ? "is taken" : "is a mistake"}`, async () => {
    assert.deepEqual(await refusals(roster(settings)), mistake === undefined ? [] : [mistake]);
  });
}

test("every module runs with an empty table, and has a default for each setting", async () => {
  // But for those that need a store of a kind of their own.
  const names = [...MODULES].filter(([, { optional }]) => optional !== true).map(([name]) => name);
  const tables = names.map((name) => `[host_types.default.modules.${name}]`);
  assert.deepEqual(await refusals(`${BASE}${tables.join("\n")}`), []);
});

test("every module refuses a setting that it does not have", async () => {
  for (const name of MODULES.keys()) {
    const mistakes = await refusals(`${BASE}[host_types.default.modules.${name}]\nno_such_setting = 1`);
    assert.ok(
      mistakes.some((mistake) => mistake.startsWith(`host_types.default.modules.${name}`)),
      mistakes.join("\n"),
    );
  }
});

test("a module that there is not is told, with the one that was meant", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default.modules]\nrostr = {}\nzzz = {}`), [
    'host_types.default.modules.rostr: there is no such module; did you mean "roster"?',
    `host_types.default.modules.zzz: there is no such module; there are ${[...MODULES.keys()].join(", ")}`,
  ]);
});

test("a module without settings takes none", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default.modules]\ntime = { every = "1s" }`), [
    "host_types.default.modules.time: this module has no settings; leave its table empty",
  ]);
});

test("a module without the one it leans on is refused", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default.modules]\ndisco = {}`), [
    "host_types.default: module disco needs module roster",
  ]);
});

test("the mistakes of all host types are reported at once", async () => {
  const mistakes = await refusals(`${BASE}
    [host_types.default.modules]
    roster = { max_items = 0, max_groups = -1 }
    [host_types.second.modules]
    disco = { name = 1 }
    png = {}
  `);
  assert.deepEqual(
    mistakes.map((mistake) => mistake.replace(/[ :].*/, "")),
    [
      "host_types.default.modules.roster.max_items",
      "host_types.default.modules.roster.max_groups",
      "host_types.second.modules.disco.name",
      "host_types.second.modules.png",
      "host_types.second",
    ],
  );
});

const LDAP = 'driver = "ldap"\nurl = "ldap://127.0.0.1:1"\nbind_dn = "cn=a"\nbind_password = "p"\nbase = "dc=a"';

test("a store that cannot keep what the modules keep is refused", async () => {
  const mistakes = await refusals(`${BASE}[storage.company]\n${LDAP}\n[host_types.default]\nstorage = "company"`);
  assert.ok(
    mistakes.includes(
      "host_types.default: module roster keeps roster in a store that the driver ldap does not have (map); " +
        "name another store for it (stores.roster), or leave the module out of modules",
    ),
  );
});

test("an archive that is to be kept in Redis is refused, and a value there is not", async () => {
  const storage = `${BASE}[storage.fast]\ndriver = "redis"\nnodes = ["127.0.0.1:1"]\n[host_types.default]\n`;
  assert.deepEqual(await refusals(`${storage}stores = { mam = "fast", last_seen = "fast" }`), [
    "host_types.default: module mam keeps mam in a store that the driver redis does not have (archive); " +
      "name another store for it (stores.mam), or leave the module out of modules",
  ]);
});

test("a table that another store can keep is kept there", async () => {
  const storage = `${BASE}[storage.company]\n${LDAP}\n[storage.other]\ndriver = "memory"`;
  const modules = "modules = { roster = {}, private-xml = {} }";
  const elsewhere = `${storage}\n[host_types.default]\nstorage = "company"\naccounts = ["other"]\n${modules}`;
  assert.deepEqual(
    (await refusals(`${elsewhere}\nstores = { roster = "other" }`)).map((mistake) => mistake.replace(/ in .*/, "")),
    ["host_types.default: module private-xml keeps private_xml"],
  );
});

test("a module that is not wanted does not run, and needs no store", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default]\nwithout = ["mam"]`), []);
  assert.deepEqual(await refusals(`${BASE}[host_types.default]\nwithout = ["roster"]`), [
    ...["presence", "disco", "admin-commands", "last-activity"].map(
      (name) => `host_types.default: module ${name} needs module roster`,
    ),
  ]);
});

test("what is not wanted is a module, and is said where nothing else says it", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default]\nwithout = ["mma"]`), [
    'host_types.default.without: there is no module "mma"; did you mean "mam"?',
  ]);
  assert.deepEqual(await refusals(`${BASE}[host_types.default]\nwithout = ["mam"]\nmodules = { time = {} }`), [
    "host_types.default.without: modules says which run; take one of the two out",
  ]);
});

test("a table that no module has is a mistake", async () => {
  assert.deepEqual(await refusals(`${BASE}[host_types.default.stores]\nrostr = "main"`), [
    'host_types.default.stores.rostr: no module has such a table; did you mean "roster"?',
  ]);
});

test("a directory has the tables vcards and shared_roster, and no others", async () => {
  const company = `${BASE}[storage.company]\n${LDAP}\n[host_types.default]\nmodules = { roster = {}, vcard = {}, shared-roster = {}, private-xml = {} }\n`;
  assert.deepEqual(await refusals(`${company}stores = { vcards = "company" }`), [
    "host_types.default: module shared-roster keeps shared_roster in a store that the driver memory does not have (map); name another store for it (stores.shared_roster), or leave the module out of modules",
  ]);
  assert.deepEqual(await refusals(`${company}stores = { shared_roster = "company", private_xml = "company" }`), [
    "host_types.default: module private-xml keeps private_xml in a store that the driver ldap does not have (map); name another store for it (stores.private_xml), or leave the module out of modules",
  ]);
});

test("stores that cannot work as they are written are refused, all of them at once", async (t) => {
  const directory = folder(t);
  writeFileSync(join(directory, "file"), "");
  const mistakes = await refusals(`${BASE}
    [storage.company]
    ${LDAP}
    ca = "${directory}/gone.pem"
    [storage.filter]
    ${LDAP}
    filter = "(cn=x)"
    [storage.nowhere]
    driver = "sqlite"
    path = "x.db"
    [node]
    data_dir = "${directory}/file"
  `);
  assert.equal(mistakes.length, 3, mistakes.join("\n"));
  assert.equal(
    mistakes[0],
    `storage.company: ca = "${directory}/gone.pem" cannot be read (ENOENT); mend the path, or the file's permissions`,
  );
  assert.equal(mistakes[1], "storage.filter: the LDAP filter (cn=x) asks for no %u");
  assert.match(mistakes[2] ?? "", /^storage\.nowhere: ./);
});

test("an address that another process has is told", async (t) => {
  const other = createServer();
  t.after(() => other.close());
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  for (const kind of ["c2s", "http", "ops"]) {
    const door = `{ kind = "${kind}", port = ${port}${kind === "c2s" ? ', tls = "none"' : ""} }`;
    const toml = `listen = [{ kind = "ops", port = 0 }, ${door}]\nstorage.main = { driver = "memory" }`;
    assert.deepEqual(await refusals(toml), [
      `listen.1: host = "127.0.0.1", port = ${port} cannot be had (EADDRINUSE); free it, or name another`,
    ]);
  }
});

test("certificates that cannot be read are refused", async (t) => {
  const directory = folder(t);
  const [mistake = "", ...more] = await refusals(`
    listen = [{ kind = "c2s", port = 0 }]
    certificates = [{ certificate = "${directory}/gone.crt", key = "${directory}/gone.key" }]
    storage.main = { driver = "memory" }
  `);
  assert.deepEqual(more, []);
  assert.match(mistake, /^certificates: .*gone\.crt/);
});

test("host types whose archives are in one store keep messages for the same time", async () => {
  const types = (first: string, second: string, more = "") =>
    `${BASE}[storage.other]\ndriver = "memory"\n[host_types.default]\nmodules = { mam = { ${first} } }\n` +
    `[host_types.second]\n${more}\nmodules = { mam = { ${second} } }\n`;
  assert.deepEqual(await refusals(types('keep_for = "30d"', "")), [
    "host_types.second.modules.mam.keep_for: must be that of host_types.default, which keeps mam in the same store; " +
      "or name another store for it (stores.mam)",
  ]);
  assert.deepEqual(await refusals(types('keep_for = "30d"', 'keep_for = "30d", keep_count = 5')), []);
  assert.deepEqual(await refusals(types('keep_for = "30d"', "", 'stores = { mam = "other" }')), []);
});

test("a store that is named for the tokens of clients can keep them", async () => {
  assert.deepEqual(
    await refusals(`${BASE}[storage.company]\n${LDAP}\n[host_types.default]\nstores = { fast_tokens = "company" }`),
    ["host_types.default.stores.fast_tokens: the driver ldap cannot keep them; name another store"],
  );
  assert.deepEqual(await refusals(`${BASE}[host_types.default]\nstores = { fast_tokens = "main" }`), []);
});
