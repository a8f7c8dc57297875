import assert from "node:assert/strict";
import { test } from "node:test";
import { mistakesIn, read } from "./support.ts";

/** A line of the configuration, and the one mistake in it; undefined where there is none. */
const VALUES: Readonly<Record<string, readonly (readonly [toml: string, mistake: string | undefined])[]>> = {
  node: [
    ['node.id = "a.B-1_c"', undefined],
    [`node.id = "${"a".repeat(64)}"`, undefined],
    [
      `node.id = "${"a".repeat(65)}"`,
      `node.id = "${"a".repeat(65)}": must be letters, digits, dots, dashes and underscores, 64 at most`,
    ],
    ['node.id = ".a"', 'node.id = ".a": must be letters, digits, dots, dashes and underscores, 64 at most'],
    ["node.id = 1", "node.id = 1: must be text in quotes"],
    ['node.data_dir = ""', 'node.data_dir = "": must not be empty'],
    ["node = 1", "node = 1: must be a table"],
  ],
  log: [
    ['log.level = "silent"', undefined],
    [
      'log.level = "inof"',
      'log.level = "inof": must be one of "debug", "info", "warn", "error", "silent"; did you mean "info"?',
    ],
    ['log.level = "loud"', 'log.level = "loud": must be one of "debug", "info", "warn", "error", "silent"'],
  ],
  durations: [
    ['node.drain = "1500ms"', undefined],
    ['node.drain = "5 s"', undefined],
    ['node.drain = "1.5s"', DURATION('"1.5s"')],
    ['node.drain = "5"', DURATION('"5"')],
    ["node.drain = 5", DURATION("5")],
    ['node.drain = "5S"', DURATION('"5S"')],
    ['node.drain = "5constructor"', DURATION('"5constructor"')],
    ["node.drain = 2026-01-02T03:04:05Z", DURATION("2026-01-02T03:04:05.000Z")],
    ['node.drain = ["5s"]', DURATION('["5s"]')],
    ['node.drain = { for = "5s" }', DURATION("a table")],
  ],
  sizes: [
    ['limits.burst = "1 KiB"', undefined],
    ['limits.burst = "10"', SIZE('"10"')],
    ['limits.burst = "10kb"', SIZE('"10kb"')],
    ["limits.burst = 10", SIZE("10")],
    ['limits.burst = ""', SIZE('""')],
  ],
  "whole numbers": [
    ['limits.inbox = "12"', undefined],
    ["limits.inbox = 1.5", "limits.inbox = 1.5: must be a whole number from 1 to 10000"],
    ['limits.inbox = "1.5"', 'limits.inbox = "1.5": must be a whole number from 1 to 10000'],
    ["limits.inbox = nan", "limits.inbox = NaN: must be a whole number from 1 to 10000"],
    ["limits.inbox = true", "limits.inbox = true: must be a whole number from 1 to 10000"],
  ],
  hosts: [
    ['hosts = [{ domain = "Example.ORG" }]', undefined],
    ['hosts = [{ domain = "münchen.example" }]', undefined],
    ['hosts = [{ domain = "a b" }]', 'hosts.0.domain = "a b": must be a domain such as "example.org"'],
    ["hosts = [{}]", "hosts.0.domain: missing; must be text in quotes"],
    ["hosts = []", "hosts = []: must have 1 entry or more"],
    ['hosts = "example.org"', 'hosts = "example.org": must be a list in [ ]'],
    ['[hosts]\ndomain = "example.org"', "hosts = a table: must be a list in [ ]"],
  ],
  host_types: [
    ["host_types.default.modules.ping = 1", "host_types.default.modules.ping = 1: must be a table"],
    [
      "host_types.default = {}\nhost_types.Big = {}",
      "host_types.Big: must be a name: a letter, then a-z, 0-9, _ and -, 32 at most",
    ],
    [`host_types.default = {}\nhost_types.${"a".repeat(32)} = {}`, undefined],
    [
      `host_types.${"a".repeat(33)} = {}`,
      `host_types.${"a".repeat(33)}: must be a name: a letter, then a-z, 0-9, _ and -, 32 at most`,
    ],
  ],
  listen: [
    ['listen = [{ kind = "c2s", port = 0, tls_required = "false" }]', undefined],
    [
      'listen = [{ kind = "c2s", port = 0, tls_required = "no" }]',
      'listen.0.tls_required = "no": must be true or false',
    ],
    ['listen = [{ kind = "ops" }]', "listen.0.port: missing; must be a port, 0 to 65535 (0: any free one)"],
    [
      'listen = [{ kind = "ops", port = 65536 }]',
      "listen.0.port = 65536: must be a port, 0 to 65535 (0: any free one)",
    ],
    ['listen = [{ kind = "ops", port = -1 }]', "listen.0.port = -1: must be a port, 0 to 65535 (0: any free one)"],
    ["listen = [{ port = 1 }]", 'listen.0.kind: missing; must be one of "c2s", "http", "ops"'],
    [
      'listen = [{ kind = "c2c", port = 1 }]',
      'listen.0.kind = "c2c": must be one of "c2s", "http", "ops"; did you mean "c2s"?',
    ],
    [
      'listen = [{ kind = "c2s", port = 1, tls = "startls" }]',
      'listen.0.tls = "startls": must be one of "starttls", "direct", "none"; did you mean "starttls"?',
    ],
    [
      'listen = [{ kind = "c2s", port = 1, proxy_protocol_from = ["10.0.0.0/8", "::1", "fd00::/8", "192.0.2.1"] }]',
      undefined,
    ],
    [
      'listen = [{ kind = "c2s", port = 1, proxy_protocol_from = ["haproxy"] }]',
      'listen.0.proxy_protocol_from.0 = "haproxy": must be an address or a network such as "172.28.2.0/24"',
    ],
    [
      'listen = [{ kind = "http", port = 1, forwarded_from = "10.0.0.1" }]',
      'listen.0.forwarded_from = "10.0.0.1": must be a list in [ ]',
    ],
    [
      'listen = [{ kind = "http", port = 1, websocket_path = "ws" }]',
      'listen.0.websocket_path = "ws": must begin with "/"',
    ],
    [
      'listen = [{ kind = "http", port = 1, websocket_url = "https://x/ws" }]',
      'listen.0.websocket_url = "https://x/ws": must be such as "wss://{domain}/ws-xmpp"',
    ],
    [
      'listen = [{ kind = "http", port = 1, websocket_url = "ws://x/ws" }]',
      'listen.0.websocket_url = "ws://x/ws": must be such as "wss://{domain}/ws-xmpp"',
    ],
  ],
  certificates: [
    ['certificates = [{ certificate = "c", key = "k", domains = ["example.org"] }]', undefined],
    ['certificates = [{ certificate = "c" }]', "certificates.0.key: missing; must be text in quotes"],
    [
      'certificates = [{ certificate = "c", key = "k", domains = ["-"] }]',
      'certificates.0.domains.0 = "-": must be a domain such as "example.org"',
    ],
  ],
  storage: [
    ['storage.main = { driver = "sqlite", path = ":memory:" }', undefined],
    [
      'storage.main = { driver = "oracle" }',
      'storage.main.driver = "oracle": must be one of "memory", "sqlite", "postgres", "mysql", "redis", "riak", "ldap", "http"',
    ],
    [
      'storage.main = { driver = "ldap", url = "http://x", bind_dn = "d", bind_password = "p", base = "b" }',
      'storage.main.url = "http://x": must be ldap://host:port or ldaps://host:port',
    ],
    [
      'storage.main = { driver = "ldap", url = "ldap://x", bind_dn = "d", bind_password = "p", base = "b", scope = "base" }',
      'storage.main.scope = "base": must be one of "sub", "one"',
    ],
    [
      'storage.main = { driver = "sqlite", synchronous = "off" }',
      'storage.main.synchronous = "off": must be one of "full", "normal"',
    ],
    [
      'storage.main = { driver = "ldap", url = "ldap://x", bind_dn = "d", bind_password = "", base = "b" }',
      "storage.main.bind_password = (hidden): must not be empty",
    ],
    ["storage.main = 1", "storage.main = 1: must be a table"],
  ],
  cluster: [
    ['auth.decoy_secret = "s"\ncluster = { kind = "redis", nodes = ["r1:6379", "[::1]:6379"] }', undefined],
    ['cluster = { kind = "redis", nodes = [] }', "cluster.nodes = []: must have 1 entry or more"],
    ['cluster = { kind = "redis", nodes = ["r1"] }', 'cluster.nodes.0 = "r1": must be "host:port"'],
    ['cluster = { kind = "redis", nodes = ["r1:65536"] }', 'cluster.nodes.0 = "r1:65536": must be "host:port"'],
    ['cluster = { kind = "redis", nodes = ["r1:0"] }', 'cluster.nodes.0 = "r1:0": must be "host:port"'],
    ['cluster = { kind = "redis" }', "cluster.nodes: missing; must be a list in [ ]"],
    ["cluster = {}", 'cluster.kind: missing; must be one of "local", "redis"'],
    ['cluster = "redis"', 'cluster = "redis": must be a table'],
  ],
  auth: [
    ['auth.decoy_secret = "s"', undefined],
    ['sessions.resume_location = "n1.example.org:5222"', undefined],
    ['sessions.resume_location = "[2001:db8::1]:5222"', undefined],
    ['sessions.resume_location = "n1"', 'sessions.resume_location = "n1": must be "host:port" or "[address]:port"'],
    ['auth.decoy_secret = ""', "auth.decoy_secret = (hidden): must not be empty"],
  ],
};

function DURATION(value: string): string {
  return `node.drain = ${value}: must be a duration such as "30s" (ms, s, m, h, d), from 0ms to 10m`;
}

function SIZE(value: string): string {
  return `limits.burst = ${value}: must be a size such as "256KiB" (B, KiB, MiB, GiB), from 1B to 1GiB`;
}

for (const [section, lines] of Object.entries(VALUES)) {
  for (const [toml, mistake] of lines) {
    test(`${section}: ${toml.replaceAll("\n", " ")} ${mistake === undefined ? "is taken" : "is a mistake"}`, () => {
      assert.deepEqual(mistakesIn(toml), mistake === undefined ? [] : [mistake]);
    });
  }
}

test("domains are prepared, so that they are found by the addresses that name them", () => {
  const { hosts } = read('hosts = [{ domain = "Example.ORG" }, { domain = "xn--mnchen-3ya.example" }]');
  assert.deepEqual(
    hosts.map(({ domain }) => domain),
    ["example.org", "münchen.example"],
  );
});

test("an empty file is a complete single-node server", () => {
  const config = read("");
  assert.deepEqual(config.hosts, [{ domain: "localhost", type: "default" }]);
  assert.deepEqual(config.cluster, { kind: "local" });
  assert.equal(config.storage.main?.driver, "sqlite");
  assert.match(config.node.id, /^[A-Za-z0-9._-]+$/);
});

test("what was read can be changed nowhere, however deep", () => {
  const config = read("");
  const nothingLoose = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(nothingLoose);
  };
  nothingLoose(config);
});
