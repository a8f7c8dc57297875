import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { read } from "./support.ts";

const COMPOSE = join(import.meta.dirname, "../../../compose");

/** What compose.yaml sets and mounts for the service. */
const ENV = { MEERKAT_PROXY_ADDRESS: "172.28.2.10", MEERKAT_HTTPS_PORT: "443", MEERKAT_LOG_LEVEL: "info" };
/** What the container's own commands set. */
const OWN = { MEERKAT_NODE_ID: "meerkat-1" };
const SECRETS = ["redis_password", "postgres_password", "mariadb_password", "ldap_meerkat_password", "cluster_secret"];
/** What MEERKAT_STORAGE may be, and the driver that it means. */
const STORAGES = globSync("*.toml", { cwd: join(COMPOSE, "meerkat/storage") }).map((file) => file.replace(".toml", ""));

test("the datacenter may keep everything in PostgreSQL or in MariaDB", () => {
  for (const storage of ["postgres", "mysql"]) assert.ok(STORAGES.includes(storage), storage);
});

for (const storage of STORAGES) {
  test(`the configuration of the datacenter on ${storage} has no mistake, and needs no more than compose.yaml gives it`, () => {
    const files = Object.fromEntries(SECRETS.map((name) => [`/run/secrets/${name}`, `${name}\n`]));
    const parts = ["meerkat.toml", `storage/${storage}.toml`];
    const text = parts.map((file) => readFileSync(join(COMPOSE, "meerkat", file), "utf8")).join("");
    const config = read(text, { ...ENV, ...OWN }, files);
    assert.equal(config.storage.main?.driver, storage);
    assert.deepEqual(config.hosts, [
      { domain: "meerkat.localhost", type: "default" },
      { domain: "corp.meerkat.localhost", type: "company" },
    ]);
    assert.equal(config.cluster.kind, "redis");
    assert.equal(config.auth.decoy_secret, "cluster_secret");
    const trusted = config.listen.map((listen) =>
      listen.kind === "c2s" ? listen.proxy_protocol_from : listen.kind === "http" ? listen.forwarded_from : [],
    );
    assert.deepEqual(trusted, [["172.28.2.10"], ["172.28.2.10"], ["172.28.2.10"], []]);
  });
}

test("compose.yaml sets the variables, and mounts the secrets, that this test makes up", () => {
  const compose = readFileSync(join(COMPOSE, "compose.yaml"), "utf8");
  for (const variable of Object.keys(ENV)) assert.match(compose, new RegExp(`^\\s+${variable}: `, "m"));
  for (const command of ["entrypoint", "meerkatctl"]) {
    const script = readFileSync(join(COMPOSE, "meerkat", command), "utf8");
    for (const variable of Object.keys(OWN)) assert.match(script, new RegExp(`^export ${variable}\\b`, "m"), command);
  }
  for (const name of SECRETS) assert.match(compose, new RegExp(`\\b${name}\\b`));
});
