import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError, loadConfig, parseConfig } from "../../src/config/load.ts";
import { mistakesIn, mistakesOf, read, surroundings } from "./support.ts";

const SECRET = "correct horse battery staple";

test("all mistakes are reported at once, each with its key, and those between sections too", () => {
  assert.deepEqual(
    mistakesIn(`
      [limits]
      stanza_size = "10"
      inbx = 3
      [log]
      level = "\${LOUDNESS}"
      [host_types.default]
      accounts = ["mian"]
      [[hosts]]
      domain = "example.org"
      [[hosts]]
      domain = "EXAMPLE.org"
      type = "comapny"
      [cluster]
      kind = "redis"
      nodes = ["r1:6379"]
      password = { file = "/run/secrets/redis" }
    `),
    [
      "log.level: there is no LOUDNESS in the environment; set it, or write the value here",
      "cluster.password: /run/secrets/redis cannot be read (ENOENT); mend the path, or the file's permissions",
      'limits.stanza_size = "10": must be a size such as "256KiB" (B, KiB, MiB, GiB), from 10000B to 16MiB',
      'limits.inbx: there is no such key; did you mean "inbox"?',
      'host_types.default.accounts.0 = "mian": there is no such store; did you mean "main"?',
      'hosts.1.type = "comapny": there is no such host type; name one of "default", or add a table [host_types.comapny]',
      'hosts.1.domain = "example.org": hosts.0 is the same; take one out',
    ],
  );
});

test("the error names how many there are, and each on a line of its own", () => {
  assert.throws(() => read("limits.inbox = 0\nlimits.rate = 1"), {
    name: "ConfigError",
    message: /^the configuration has 2 mistakes:\n {2}limits\.inbox = 0: .*\n {2}limits\.rate = 1: .*$/,
  });
  assert.throws(() => read("limits.inbox = 0"), {
    message: /^the configuration has a mistake:\n {2}limits\.inbox = 0: /,
  });
});

for (const [toml, place] of [
  ["[node]\nid = ", "line 2, column 6"],
  ['[node]\nid = "a"\nid = "b"', "line 3, column 1"],
  ["[node\n", "line 1, column 6"],
  ["\n\nid: 1", "line 3, column 3"],
] as const) {
  test(`what is not TOML is told with its place: ${JSON.stringify(toml)}`, () => {
    const [mistake = "", ...more] = mistakesIn(toml);
    assert.deepEqual(more, []);
    assert.match(mistake, new RegExp(`^${place}: not TOML: .+$`));
  });
}

test("a secret is not shown when the line it stands in is not TOML", () => {
  const mistakes = mistakesIn(`[cluster]\npassword = "${SECRET}\nkind = "redis"`);
  assert.equal(mistakes.length, 1);
  assert.ok(!mistakes.join().includes("horse"), mistakes.join());
});

for (const [what, toml] of [
  [
    "a password that is no text",
    `storage.main = { driver = "postgres", host = "h", database = "d", username = "u", password = ["${SECRET}"] }`,
  ],
  ["a table of no known kind with a password in it", `cluster = { kind = "redsi", password = "${SECRET}" }`],
  ["a table with a password where a value is wanted", `node.id = { password = "${SECRET}" }`],
  ["a list of tables where a value is wanted", `node.id = [{ password = "${SECRET}" }]`],
  ["a password under a misspelt key", `[storage.main]\ndriver = "memory"\npasword = "${SECRET}"`],
  ["a file's contents under a key that is no secret", 'node.id = { file = "/secret" }'],
  ["a variable named like a secret under a key that is none", `node.id = "\${DB_PASSWORD}"`],
] as const) {
  test(`a secret is not shown: ${what}`, () => {
    const mistakes = mistakesIn(toml, { DB_PASSWORD: SECRET }, { "/secret": SECRET });
    assert.ok(mistakes.length > 0);
    assert.ok(!mistakes.join().includes("horse"), mistakes.join());
  });
}

test("long values are cut", () => {
  const [mistake = ""] = mistakesIn(`log.level = "${"x".repeat(1000)}"`);
  assert.ok(mistake.length < 200, mistake);
});

for (const [toml, mistake] of [
  ["[limit]\ninbox = 1", 'limit: there is no such key; did you mean "limits"?'],
  ["[limits]\nstanza-size = 1", 'limits.stanza-size: there is no such key; did you mean "stanza_size"?'],
  ['[log]\nformat = "json"', "log.format: there is no such key; there are level"],
  ['[cluster]\nkind = "local"\nnodes = ["r1:1"]', "cluster.nodes: there is no such key; there are kind"],
  ['[[listen]]\nkind = "ops"\nport = 0\ntls = true', "listen.0.tls: there is no such key; there are kind, host, port"],
  [
    '[[hosts]]\ndomian = "example.org"\ndomain = "example.org"',
    'hosts.0.domian: there is no such key; did you mean "domain"?',
  ],
] as const) {
  test(`a key that there is not is told, with the one that was meant: ${toml.replaceAll("\n", " ")}`, () => {
    assert.deepEqual(mistakesIn(toml), [mistake]);
  });
}

test("several keys that there are not get a line each", () => {
  assert.equal(mistakesIn("[limits]\ninbx = 1\nbakclog = 1").length, 2);
});

for (const [why, toml, mistakes] of [
  [
    "a host type's store is not there",
    'host_types.default.storage = "other"',
    [
      'host_types.default.storage = "other": there is no such store; name one of "main", or add a table [storage.other]',
    ],
  ],
  [
    "a table's store is not there",
    '[host_types.default.stores]\nroster = "mian"',
    ['host_types.default.stores.roster = "mian": there is no such store; did you mean "main"?'],
  ],
  [
    "a host's type is not there",
    'hosts = [{ domain = "a.example", type = "defualt" }]',
    ['hosts.0.type = "defualt": there is no such host type; did you mean "default"?'],
  ],
  [
    "two listeners have one port",
    'listen = [{ kind = "ops", port = 1 }, { kind = "http", port = 1 }]',
    ["listen.1.port = 1: listen.0 has this port already; give one of them another"],
  ],
  [
    "one of two listeners takes the port of all addresses",
    'listen = [{ kind = "ops", port = 1, host = "0.0.0.0" }, { kind = "http", port = 1 }]',
    ["listen.1.port = 1: listen.0 has this port already; give one of them another"],
  ],
  [
    "nodes have secrets of their own",
    'cluster = { kind = "redis", nodes = ["r:1"] }',
    [
      'auth.decoy_secret: missing, and cluster.kind = "redis": each node would have its own, and take no token of another; write the same one for all nodes',
    ],
  ],
  [
    "a lease is shorter than two renewals",
    'auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r:1"], renew_every = "3s", lease_for = "5s" }',
    [
      'cluster.lease_for = "5000ms": must be at least twice cluster.renew_every ("3000ms"), or living nodes are taken for dead',
    ],
  ],
  [
    "a heartbeat is missed before the next is due",
    'auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r:1"], heartbeat_every = "2s" }',
    [
      'cluster.heartbeat_within = "2000ms": must be at least twice cluster.heartbeat_every ("2000ms"), or a sound connection is taken for broken',
    ],
  ],
  [
    "a node is unhealthy before its next heartbeat",
    'auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r:1"], unhealthy_after = "900ms" }',
    [
      'cluster.unhealthy_after = "900ms": must be at least twice cluster.heartbeat_every ("500ms"), or a sound node is taken for ill',
    ],
  ],
  [
    "a session is forgotten before it is written again",
    'auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r:1"], entry_for = "1m" }',
    [
      'cluster.entry_for = "60000ms": must be at least twice cluster.refresh_every ("60000ms"), or living sessions are forgotten',
    ],
  ],
  [
    "a stanza may be larger before the login than after it",
    'limits = { stanza_size = "10000B", start_tag_size = "1KiB" }',
    ['limits.unauthenticated_stanza_size = "16384B": must not be more than limits.stanza_size ("10000B")'],
  ],
  [
    "a token expires before it is replaced",
    'auth = { token_lifetime = "24h" }',
    [
      'auth.token_renewal = "86400000ms": must be less than auth.token_lifetime ("86400000ms"), or tokens expire before they are replaced',
    ],
  ],
  [
    "a hash is offered that no keys are made for",
    'auth = { scram_hashes = ["sha-256"] }',
    [
      'auth.scram_offered.0 = "sha-1": no keys are made for it, so new accounts could not log in by it; take it out, or add it to auth.scram_hashes',
    ],
  ],
  [
    "clients are asked for a certificate without TLS",
    'listen = [{ kind = "c2s", port = 1, tls = "none", client_authorities = "ca.pem" }]',
    [
      'listen.0.client_authorities = "ca.pem": without TLS no client shows a certificate; take it out, or write tls = "starttls"',
    ],
  ],
  [
    "accounts are kept in Redis",
    'storage.main = { driver = "redis", nodes = ["r:1"] }',
    [
      'host_types.default.accounts.0 = "main": Redis may lose what was written last, and keeps no accounts; name a database',
    ],
  ],
  [
    "several single Redis",
    'storage.main = { driver = "memory" }\nstorage.fast = { driver = "redis", nodes = ["r:1", "s:1"], cluster = false }',
    ["storage.fast.cluster = false: nodes names 2; name one, or take cluster out"],
  ],
  [
    "LDAP is encrypted twice",
    'storage.main = { driver = "ldap", url = "ldaps://x", start_tls = true, bind_dn = "d", bind_password = "p", base = "b" }',
    ['storage.main.start_tls = true: "ldaps://x" is encrypted from the start; take start_tls out, or write ldap://'],
  ],
  [
    "LDAP is encrypted twice, at one of its servers",
    'storage.main = { driver = "ldap", url = ["ldap://x", "ldaps://y"], start_tls = true, bind_dn = "d", bind_password = "p", base = "b" }',
    ['storage.main.start_tls = true: "ldaps://y" is encrypted from the start; take start_tls out, or write ldap://'],
  ],
  [
    "an LDAP server rests for longer than the longest time",
    'storage.main = { driver = "ldap", url = "ldap://x", pause = "2s", longest_pause = "1s", bind_dn = "d", bind_password = "p", base = "b" }',
    ['storage.main.longest_pause = "1000ms": must not be less than storage.main.pause ("2000ms")'],
  ],
] as const) {
  test(`a contradiction: ${why}`, () => assert.deepEqual(mistakesIn(toml), mistakes));
}

test("no contradiction: one port at two addresses, any free port twice, a lease of just two renewals", () => {
  read('listen = [{ kind = "ops", port = 1, host = "127.0.0.1" }, { kind = "ops", port = 1, host = "127.0.0.2" }]');
  read('listen = [{ kind = "ops", port = 0 }, { kind = "ops", port = 0 }]');
  read('auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r:1"], renew_every = "5s", lease_for = "10s" }');
});

test("variables stand anywhere in a text, in lists and in file names, and give numbers, true and false", () => {
  const config = read(
    `
      node.id = "node-\${ZONE}-\${N}"
      limits.inbox = "\${N}"
      listen = [{ kind = "http", port = "\${PORT}", tls = "\${TLS}", forwarded_from = ["\${NET}.0/24"] }]
      auth.decoy_secret = { file = "\${DIR}/decoy" }
    `,
    { ZONE: "a", N: "7", PORT: "8080", TLS: "true", NET: "10.0.0", DIR: "/run/secrets" },
    { "/run/secrets/decoy": "s3cret\n" },
  );
  assert.equal(config.node.id, "node-a-7");
  assert.equal(config.limits.inbox, 7);
  assert.partialDeepStrictEqual(config.listen[0], { port: 8080, tls: true, forwarded_from: ["10.0.0.0/24"] });
  assert.equal(config.auth.decoy_secret, "s3cret");
});

test("what a variable gives is not read again, and a lone dollar sign is one", () => {
  assert.equal(read(`node.data_dir = "\${A}$HOME$"`, { A: `\${B}`, B: "no" }).node.data_dir, `\${B}$HOME$`);
});

test("what cannot be had is complained of once", () => {
  assert.equal(mistakesIn(`node.id = "\${GONE}"`).length, 1);
  assert.equal(mistakesIn('node.id = { file = "/gone" }').length, 1);
  assert.deepEqual(mistakesIn(`node.id = { file = "\${GONE}/x" }`), [
    "node.id: there is no GONE in the environment; set it, or write the value here",
  ]);
});

test("a table that has more than a file is a table", () => {
  assert.deepEqual(mistakesIn('node.id = { file = "/x", mode = "r" }'), ["node.id = a table: must be text in quotes"]);
});

test("the file is the one that MEERKAT_CONFIG names, and the real file system and environment are read", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-config-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "meerkat.toml");
  writeFileSync(join(directory, "id"), "from-a-file\n");
  writeFileSync(path, `node.id = { file = "${directory}/id" }\nlog.level = "\${MEERKAT_TEST_LEVEL}"`);
  process.env.MEERKAT_TEST_LEVEL = "warn";
  process.env.MEERKAT_CONFIG = path;
  t.after(() => {
    delete process.env.MEERKAT_TEST_LEVEL;
    delete process.env.MEERKAT_CONFIG;
  });
  const config = loadConfig();
  assert.equal(config.node.id, "from-a-file");
  assert.equal(config.log.level, "warn");
});

test("without MEERKAT_CONFIG there are the defaults; a file that is not there is a mistake", () => {
  assert.equal(loadConfig(surroundings()).hosts[0]?.domain, "localhost");
  assert.equal(loadConfig(surroundings({ MEERKAT_CONFIG: "" })).hosts[0]?.domain, "localhost");
  assert.deepEqual(
    mistakesOf(() => loadConfig(surroundings({ MEERKAT_CONFIG: "/gone.toml" }))),
    ['MEERKAT_CONFIG = "/gone.toml": the file cannot be read (ENOENT)'],
  );
});

test("a ConfigError is told apart from a bug", () => {
  assert.throws(() => parseConfig("x", surroundings()), ConfigError);
});
