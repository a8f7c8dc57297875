import assert from "node:assert/strict";
import { test } from "node:test";
import { type DriverOptions, openDriver } from "../../src/storage/open.ts";

const postgres = { driver: "postgres", host: "localhost", database: "d", username: "u", password: "p" } as const;
const mysql = { ...postgres, driver: "mysql" } as const;
const ldap = { driver: "ldap", url: "ldap://localhost", bindDn: "cn=s", bindPassword: "p", base: "dc=x" } as const;
const redis = { driver: "redis", nodes: ["localhost:1"] } as const;
const riak = { driver: "riak", nodes: ["localhost:8098"] } as const;
const http = { driver: "http", url: "https://localhost/accounts" } as const;

test("opens each driver by its name, before its database can be reached", async () => {
  const capabilities = ["accounts", "keyValue", "map", "archive", "queue", "expiring"] as const;
  const offers: Record<string, string[]> = {};
  for (const options of [
    { driver: "memory" },
    { driver: "sqlite", path: ":memory:" },
    postgres,
    mysql,
    redis,
    riak,
    ldap,
    http,
  ] as const) {
    const driver = await openDriver(options);
    offers[driver.name] = capabilities.filter((capability) => driver[capability] !== undefined);
    await driver.close();
  }
  assert.deepEqual(offers, {
    memory: [...capabilities],
    sqlite: [...capabilities],
    postgres: [...capabilities],
    mysql: [...capabilities],
    redis: ["keyValue", "map", "queue", "expiring"],
    riak: ["accounts", "keyValue", "map", "archive", "queue", "expiring"],
    ldap: ["accounts", "keyValue", "map"],
    http: ["accounts"],
  });
});

const WRONG: [what: string, options: DriverOptions, words: RegExp][] = [
  ["a bound that is no positive number", { driver: "memory", maxValueBytes: 0 }, /max_value_bytes .* not 0/],
  ["half a millisecond", { driver: "sqlite", path: ":memory:", busyTimeout: 0.5 }, /busy_timeout .* not 0.5/],
  ["batches of nothing", { driver: "sqlite", path: ":memory:", batchRows: 0 }, /batch_rows .* not 0/],
  ["a wait of half a millisecond", { ...postgres, batchWait: 0.5 }, /batch_wait .* not 0.5/],
  ["batches that nobody writes", { ...postgres, batchWriters: 0 }, /batch_writers .* not 0/],
  ["no connections", { ...postgres, max: 0 }, /max .* not 0/],
  ["a queue of less than nothing", { ...postgres, queue: -1 }, /queue .* not -1/],
  ["no connections to MySQL", { ...mysql, max: 0 }, /max .* not 0/],
  ["a port with a fraction", { ...mysql, port: 3306.5 }, /port .* not 3306.5/],
  ["a statement that may take no time", { ...mysql, statementTimeout: 0 }, /statement_timeout .* not 0/],
  ["a cluster of no nodes", { ...riak, nodes: [] }, /name one at least/],
  ["a node without a port", { ...riak, nodes: ["localhost"] }, /"localhost" is no host:port/],
  ["a node with a secret in it", { ...riak, nodes: ["a:b@localhost:1"] }, /is no host:port/],
  ["a password that anybody could read", { ...riak, username: "a", password: "b" }, /needs tls = true/],
  ["half a login", { ...riak, tls: {}, password: "b" }, /go together/],
  ["the bucket type of everybody", { ...riak, bucketType: "default" }, /a type of its own/],
  ["a bucket type that is no name", { ...riak, bucketType: "a/b" }, /is no name/],
  ["values that no object could hold", { ...riak, maxValueBytes: 70_000, objectBytes: 65_536 }, /must fit an object/],
  ["an address that is no LDAP", { ...ldap, url: "http://localhost" }, /"http:\/\/localhost" is no ldap/],
  ["an LDAP address with a path", { ...ldap, url: "ldap://localhost/dc=x" }, /is no ldap/],
  ["no LDAP address at all", { ...ldap, url: [] }, /no address of an LDAP server/],
  ["groups whose filter ends early", { ...ldap, roster: { filter: "(&(cn=x)" } }, /open end/],
  ["no groups at all", { ...ldap, roster: { maxGroups: 0 } }, /max_groups .* not 0/],
  ["pictures of no size", { ...ldap, vcard: { photoBytes: 0 } }, /photo_size .* not 0/],
  ["a search without a password", { ...ldap, bindPassword: "" }, /needs a bind password/],
  ["a filter that asks for nobody", { ...ldap, filter: "(uid=%%u)" }, /asks for no %u/],
  ["an address with a secret in it", { ...http, url: "https://a:b@localhost/" }, /is no http:\/\/ or https:/],
  ["an address that is no HTTP", { ...http, url: "ldap://localhost" }, /is no http:\/\/ or https:/],
  ["a name without a password", { ...http, username: "a" }, /go together/],
  ["a name with a colon", { ...http, username: "a:b", password: "c" }, /no colon/],
  ["a name and a token", { ...http, username: "a", password: "b", token: "c" }, /not both/],
  ["a service that lets nobody in", { ...http, offers: ["register"] }, /nobody could log in/],
  ["a Redis that is nowhere", { ...redis, nodes: [] }, /nodes must name one/],
  ["a Redis without a port", { ...redis, nodes: ["localhost"] }, /"localhost" is not host:port/],
  ["single Redis that are two", { ...redis, nodes: ["a:1", "b:1"], cluster: false }, /is for a single node/],
  ["names in Redis that begin with a brace", { ...redis, prefix: "{a}" }, /prefix "{a}"/],
  ["no requests to Redis", { ...redis, queue: 0 }, /queue .* not 0/],
  ["a filter that ends early", { ...ldap, filter: "(&(uid=%u)" }, /open end/],
];
for (const [what, options, words] of WRONG) {
  test(`refuses ${what}`, () => assert.rejects(openDriver(options), words));
}
