import assert from "node:assert/strict";
import { test } from "node:test";
import { schema } from "../../src/config/schema.ts";
import { mistakesIn, read } from "./support.ts";

const MS = { s: 1000, m: 60_000, h: 3_600_000 };
const DAY = 24 * MS.h;
const KIB = 1024;
const MIB = 1024 * 1024;

interface Bounds {
  readonly key: string;
  readonly fallback: number;
  /** As written, with what is read. */
  readonly lowest: readonly [string | number, number];
  readonly highest: readonly [string | number, number];
  readonly below: string | number;
  readonly above: string | number;
}

function whole(key: string, fallback: number, min: number, max: number): Bounds {
  return { key, fallback, lowest: [min, min], highest: [max, max], below: min - 1, above: max + 1 };
}

function written(
  key: string,
  fallback: number,
  lowest: readonly [string, number],
  highest: readonly [string, number],
  below: string,
  above: string,
): Bounds {
  return { key, fallback, lowest, highest, below, above };
}

const SECTIONS: Readonly<Record<string, readonly Bounds[]>> = {
  limits: [
    whole("max_connections", 10_000, 1, 1_000_000),
    whole("max_connections_per_address", 100, 1, 1_000_000),
    written("stanza_size", 256 * KIB, ["16KiB", 16 * KIB], ["16MiB", 16 * MIB], "9999B", "16385KiB"),
    written("unauthenticated_stanza_size", 16 * KIB, ["10000B", 10_000], ["256KiB", 256 * KIB], "9999B", "1025KiB"),
    whole("stanza_depth", 64, 8, 1000),
    whole("stanza_attributes", 64, 8, 1000),
    written("start_tag_size", 16 * KIB, ["1KiB", KIB], ["256KiB", 256 * KIB], "1023B", "1025KiB"),
    whole("inbox", 64, 1, 10_000),
    written("backlog", 4 * MIB, ["64KiB", 64 * KIB], ["256MiB", 256 * MIB], "63KiB", "257MiB"),
    written("negotiation_timeout", 30 * MS.s, ["1s", MS.s], ["10m", 10 * MS.m], "999ms", "11m"),
    written("tls_timeout", 10 * MS.s, ["1s", MS.s], ["1m", MS.m], "999ms", "61s"),
    written("close_timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
    written("rate", 0, ["0B", 0], ["1GiB", 1024 * MIB], "-1B", "1025MiB"),
    written("burst", 64 * KIB, ["1B", 1], ["1GiB", 1024 * MIB], "0B", "1025MiB"),
    written("keepalive", 5 * MS.m, ["1s", MS.s], ["30m", 30 * MS.m], "999ms", "31m"),
    written("websocket_ping", MS.m, ["1s", MS.s], ["1h", MS.h], "999ms", "61m"),
    whole("websocket_fragments", 1024, 1, 100_000),
    whole("websocket_chunks", 16_384, 16, 1_000_000),
    written("sasl_message", 4 * KIB, ["512B", 512], ["64KiB", 64 * KIB], "511B", "65KiB"),
    whole("sasl_refusals", 3, 2, 5),
    whole("bind_refusals", 5, 5, 10),
    written("proxy_header_size", KIB, ["256B", 256], ["64KiB", 64 * KIB], "255B", "65KiB"),
    written("proxy_header_timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
    written("http_header_size", 8 * KIB, ["1KiB", KIB], ["1MiB", MIB], "1023B", "1025KiB"),
    written("http_body_size", 64 * KIB, ["1KiB", KIB], ["64MiB", 64 * MIB], "1023B", "65MiB"),
    written("http_request_timeout", 10 * MS.s, ["1s", MS.s], ["10m", 10 * MS.m], "999ms", "11m"),
    written("http_keep_alive", 5 * MS.s, ["100ms", 100], ["10m", 10 * MS.m], "99ms", "11m"),
    whole("remembered_jids", 10_000, 0, 10_000_000),
  ],
  auth: [
    whole("scram_iterations", 10_000, 4096, 10_000_000),
    whole("failures_per_address", 10, 0, 1_000_000),
    whole("failures_per_account", 5, 0, 1_000_000),
    written("failure_period", MS.m, ["1s", MS.s], ["24h", 24 * MS.h], "999ms", "25h"),
    whole("failures_remembered", 50_000, 1, 10_000_000),
    whole("hashes_running", 2, 1, 64),
    whole("hashes_waiting", 500, 1, 100_000),
    whole("tokens_per_account", 20, 0, 1000),
    written("token_lifetime", 21 * DAY, ["25h", 25 * MS.h], ["366d", 366 * DAY], "59m", "367d"),
    written("token_renewal", DAY, ["1m", MS.m], ["20d", 20 * DAY], "59s", "367d"),
  ],
  sessions: [
    whole("max_per_account", 20, 1, 10_000),
    written("replace_timeout", 2 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
    written("resume_timeout", 5 * MS.m, ["0s", 0], ["24h", 24 * MS.h], "-1s", "25h"),
    whole("resumptions_remembered", 10_000, 0, 10_000_000),
    whole("unacked_stanzas", 500, 10, 100_000),
    written("unacked_size", 2 * MIB, ["64KiB", 64 * KIB], ["1GiB", 1024 * MIB], "63KiB", "1025MiB"),
    written("unacked_wait", 5 * MS.s, ["1ms", 1], ["1m", MS.m], "0ms", "61s"),
    whole("ack_every", 10, 1, 10_000),
    written("ack_after", MS.s, ["10ms", 10], ["1m", MS.m], "9ms", "61s"),
    written("ack_timeout", MS.m, ["1s", MS.s], ["1h", MS.h], "999ms", "61m"),
    whole("inactive_stanzas", 100, 0, 10_000),
  ],
  tls: [written("ticket_period", 12 * MS.h, ["1m", MS.m], ["168h", 168 * MS.h], "59s", "169h")],
  node: [
    written("drain", 0, ["0ms", 0], ["10m", 10 * MS.m], "-1s", "11m"),
    written("stop_timeout", 10 * MS.s, ["0ms", 0], ["10m", 10 * MS.m], "-1s", "11m"),
  ],
};

/** Of every database that is written to in batches. */
const BATCHES: readonly Bounds[] = [
  whole("batch_rows", 100, 1, 1000),
  written("batch_size", MIB, ["16KiB", 16 * KIB], ["64MiB", 64 * MIB], "15KiB", "65MiB"),
  written("batch_wait", 5, ["1ms", 1], ["1s", MS.s], "0ms", "1001ms"),
  whole("batch_queue", 10_000, 100, 1_000_000),
  written("batch_queue_size", 64 * MIB, ["1MiB", MIB], ["1GiB", 1024 * MIB], "1023KiB", "1025MiB"),
];

/** Of every SQL server. */
const POOLED: readonly Bounds[] = [
  whole("connections", 10, 1, 500),
  whole("queue", 1000, 1, 100_000),
  written("connect_timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("idle_timeout", 30 * MS.s, ["1s", MS.s], ["1h", MS.h], "999ms", "61m"),
  written("statement_timeout", 10 * MS.s, ["100ms", 100], ["10m", 10 * MS.m], "99ms", "11m"),
  written("migration_timeout", 10 * MS.m, ["1s", MS.s], ["24h", 24 * MS.h], "999ms", "25h"),
  written("value_size", MIB, ["1KiB", KIB], ["64MiB", 64 * MIB], "1023B", "65MiB"),
  whole("cache_entries", 2000, 0, 1_000_000),
  ...BATCHES,
  whole("batch_writers", 4, 1, 100),
];

/** Tables that stand in a kind of their own, with what they need beside the key. */
const KINDS: Readonly<Record<string, { readonly table: string; readonly bounds: readonly Bounds[] }>> = {
  cluster: {
    table: 'kind = "redis"\nnodes = ["r:1"]',
    bounds: [
      written("renew_every", 2 * MS.s, ["100ms", 100], ["5s", 5 * MS.s], "99ms", "61s"),
      written("lease_for", 10 * MS.s, ["4s", 4 * MS.s], ["10m", 10 * MS.m], "999ms", "11m"),
      written("answer_within", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
      written("start_within", 10 * MS.s, ["1s", MS.s], ["10m", 10 * MS.m], "999ms", "11m"),
      written("heartbeat_every", 500, ["100ms", 100], ["1s", MS.s], "99ms", "61s"),
      written("heartbeat_within", 2 * MS.s, ["1s", MS.s], ["10m", 10 * MS.m], "199ms", "11m"),
      written("unhealthy_after", 5 * MS.s, ["1s", MS.s], ["10m", 10 * MS.m], "199ms", "11m"),
      written("refresh_every", MS.m, ["1s", MS.s], ["450s", 450 * MS.s], "999ms", "25h"),
      written("entry_for", 15 * MS.m, ["2m", 2 * MS.m], ["24h", 24 * MS.h], "9s", "25h"),
      whole("max_pending", 10_000, 100, 1_000_000),
      written("max_queued", 4 * MIB, ["64KiB", 64 * KIB], ["1GiB", 1024 * MIB], "63KiB", "1025MiB"),
      written("max_frame", 16 * KIB, ["1KiB", KIB], ["1MiB", MIB], "1023B", "1025KiB"),
      whole("max_nodes", 1024, 1, 100_000),
      whole("max_unreleased", 10_000, 0, 1_000_000),
    ],
  },
  "storage.main": {
    table: 'driver = "postgres"\nhost = "h"\ndatabase = "d"\nusername = "u"\npassword = "p"',
    bounds: [whole("port", 5432, 0, 65_535), ...POOLED],
  },
  "host_types.default": { table: "", bounds: [whole("password_length", 8, 1, 256)] },
};

for (const [section, bounds] of Object.entries(SECTIONS)) checkBounds(section, "", bounds);
for (const [section, { table, bounds }] of Object.entries(KINDS)) checkBounds(section, table, bounds);

checkBounds("storage.main", 'driver = "mysql"\nhost = "h"\ndatabase = "d"\nusername = "u"\npassword = "p"', [
  whole("port", 3306, 0, 65_535),
  ...POOLED,
]);
checkBounds("storage.main", 'driver = "sqlite"', [
  written("busy_timeout", 5 * MS.s, ["1ms", 1], ["1m", MS.m], "0ms", "61s"),
  whole("cache_entries", 2000, 0, 1_000_000),
  ...BATCHES,
  written("value_size", MIB, ["1KiB", KIB], ["64MiB", 64 * MIB], "1023B", "65MiB"),
]);
checkBounds("storage.main", 'driver = "riak"\nnodes = ["h:8098"]', [
  whole("cache_entries", 2000, 0, 1_000_000),
  whole("connections", 16, 1, 500),
  whole("queue", 5000, 1, 100_000),
  written("timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("value_size", 512 * KIB, ["1KiB", KIB], ["4MiB", 4 * MIB], "1023B", "5MiB"),
  written("object_size", 4 * MIB, ["1MiB", MIB], ["10MiB", 10 * MIB], "63KiB", "11MiB"),
]);
checkBounds("storage.main", 'driver = "memory"', [
  written("value_size", MIB, ["1KiB", KIB], ["64MiB", 64 * MIB], "1023B", "65MiB"),
]);
checkBounds(
  "storage.fast",
  'driver = "redis"\nnodes = ["r:1"]',
  [
    whole("cache_entries", 2000, 0, 1_000_000),
    whole("queue", 10_000, 100, 1_000_000),
    written("timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
    written("value_size", 64 * KIB, ["1KiB", KIB], ["16MiB", 16 * MIB], "1023B", "17MiB"),
  ],
  '[storage.main]\ndriver = "memory"\n',
);
const LDAP = 'driver = "ldap"\nurl = "ldap://h"\nbind_dn = "cn=a"\nbind_password = "p"\nbase = "dc=a"';
checkBounds("storage.main", LDAP, [
  whole("cache_entries", 2000, 0, 1_000_000),
  whole("connections", 5, 1, 100),
  whole("queue", 500, 1, 100_000),
  written("connect_timeout", 2 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("idle_timeout", MS.m, ["1s", MS.s], ["1h", MS.h], "999ms", "61m"),
  written("lifetime", 5 * MS.m, ["1s", MS.s], ["24h", 24 * MS.h], "999ms", "25h"),
  written("pause", MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("longest_pause", MS.m, ["1s", MS.s], ["1h", MS.h], "99ms", "61m"),
  whole("page_size", 500, 1, 10_000),
  whole("max_entries", 10_000, 1, 1_000_000),
]);
checkBounds(
  "storage.main.vcard",
  "",
  [
    written("photo_size", 128 * KIB, ["1KiB", KIB], ["1MiB", MIB], "1023B", "1025KiB"),
    written("field_size", 4 * KIB, ["16B", 16], ["64KiB", 64 * KIB], "15B", "65KiB"),
  ],
  `[storage.main]\n${LDAP}\n`,
);
checkBounds(
  "storage.main.roster",
  "",
  [
    whole("max_groups", 1000, 1, 100_000),
    whole("max_members", 1000, 1, 100_000),
    written("name_size", KIB, ["16B", 16], ["64KiB", 64 * KIB], "15B", "65KiB"),
    written("cache_for", 5 * MS.m, ["1s", MS.s], ["24h", 24 * MS.h], "999ms", "25h"),
  ],
  `[storage.main]\n${LDAP}\n`,
);
checkBounds("storage.main", 'driver = "http"\nurl = "https://h"', [
  whole("connections", 10, 1, 500),
  whole("queue", 500, 1, 100_000),
  written("timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  whole("cache_entries", 2000, 0, 1_000_000),
  written("answer_size", 16 * KIB, ["1KiB", KIB], ["1MiB", MIB], "1023B", "1025KiB"),
  whole("failures", 5, 1, 1000),
  written("pause", MS.s, ["100ms", 100], ["30s", 30 * MS.s], "99ms", "61s"),
  written("longest_pause", 30 * MS.s, ["1s", MS.s], ["1h", MS.h], "99ms", "61m"),
]);

checkBounds("host_types.default.jwt", 'issuer = "i"\naudience = ["a"]\njwks_url = "https://h"', [
  written("leeway", 30 * MS.s, ["0ms", 0], ["10m", 10 * MS.m], "-1s", "11m"),
  written("jwks_refresh", MS.h, ["1m", MS.m], ["24h", 24 * MS.h], "59s", "25h"),
  written("jwks_cooldown", 30 * MS.s, ["1s", MS.s], ["1h", MS.h], "999ms", "61m"),
  written("jwks_keep", 24 * MS.h, ["1m", MS.m], ["168h", 168 * MS.h], "59s", "169h"),
  written("jwks_timeout", 5 * MS.s, ["100ms", 100], ["1m", MS.m], "99ms", "61s"),
  written("jwks_size", 64 * KIB, ["1KiB", KIB], ["1MiB", MIB], "1023B", "1025KiB"),
]);
checkBounds("host_types.default.anonymous", "", [
  whole("max_per_address", 5, 1, 100_000),
  whole("max_guests", 1000, 1, 1_000_000),
]);

/** `before` stands before the section. */
function checkBounds(section: string, table: string, all: readonly Bounds[], before = ""): void {
  const line = (key: string, value: string | number) =>
    `${before}[${section}]\n${table}\n${key} = ${typeof value === "string" ? JSON.stringify(value) : value}`;
  // Nodes of a cluster have to have a secret in common.
  const secret = section === "cluster" ? '\n[auth]\ndecoy_secret = "s"' : "";
  const valueIn = (toml: string, key: string) => {
    const found = section
      .split(".")
      .reduce((at: unknown, part) => (at as Record<string, unknown>)[part], read(toml + secret));
    return (found as Record<string, unknown>)[key];
  };
  const of = table.split("\n")[0] === "" ? "" : ` (${table.split("\n")[0]})`;
  for (const { key, fallback, lowest, highest, below, above } of all) {
    test(`${section}.${key}${of} has a default, and takes ${lowest[0]} to ${highest[0]}`, () => {
      assert.equal(valueIn(`${before}[${section}]\n${table}`, key), fallback);
      for (const [text, value] of [lowest, highest]) assert.equal(valueIn(line(key, text), key), value);
    });
    for (const [text, side] of [
      [below, "too little"],
      [above, "too much"],
    ] as const) {
      test(`${section}.${key}${of} = ${text} is ${side}`, () => {
        const [mistake = "", ...more] = mistakesIn(line(key, text));
        assert.deepEqual(more, []);
        assert.ok(mistake.startsWith(`${section}.${key} = ${JSON.stringify(text)}: must be `), mistake);
        assert.match(mistake, /from .* to |0 to 65535/);
      });
    }
  }
}

/** Neither a number nor a span. */
const OTHERS: ReadonlySet<string> = new Set([
  "decoy_secret",
  "resume_location",
  "scram_hashes",
  "scram_offered",
  "channel_binding",
]);

test("every key of limits, auth and sessions that counts something is in this table", () => {
  for (const section of ["limits", "auth", "sessions"] as const) {
    const keys = Object.keys(schema.shape[section].unwrap().shape).filter((key) => !OTHERS.has(key));
    assert.deepEqual(
      SECTIONS[section]?.map(({ key }) => key),
      keys,
    );
  }
});
