/** The stores and accounts that the configuration names: opened alike for the running node and for the command line. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { why } from "../config/fill.ts";
import { ConfigError } from "../config/load.ts";
import type { Config, StorageConfig } from "../config/schema.ts";
import type { Logger } from "../observe/log.ts";
import { type DriverOptions, openDriver } from "../storage/open.ts";
import { type AccountStore, map, type StorageDriver } from "../storage/specs.ts";
import { Accounts, type AccountsOptions } from "./accounts.ts";
import { type ClientTokens, FastTokens } from "./fast-tokens.ts";
import { HashQueue } from "./hash-queue.ts";
import { Throttle } from "./throttle.ts";

export type Drivers = ReadonlyMap<string, StorageDriver>;

/** Opens every store; nothing is contacted yet. Rejects with a ConfigError for those that cannot work as they are. */
export async function openDrivers(config: Config, log: Logger): Promise<Drivers> {
  const drivers = new Map<string, StorageDriver>();
  const mistakes: string[] = [];
  for (const [name, store] of Object.entries(config.storage)) {
    try {
      drivers.set(name, await openDriver(driverOptions(store, config.node.data_dir, name, log)));
    } catch (error) {
      mistakes.push(`storage.${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (mistakes.length === 0) return drivers;
  await closeDrivers(drivers);
  throw new ConfigError(mistakes);
}

export async function closeDrivers(drivers: Drivers): Promise<void> {
  for (const driver of drivers.values()) await driver.close();
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`ca = "${path}" cannot be read (${why(error)}); mend the path, or the file's permissions`);
  }
}

function driverOptions(store: StorageConfig, dataDir: string, name: string, log: Logger): DriverOptions {
  const warn = (message: string) => log.warn("storage.warned", { store: name, message });
  switch (store.driver) {
    case "memory":
      return { driver: "memory", maxValueBytes: store.value_size };
    case "sqlite":
      return {
        driver: "sqlite",
        path: store.path === ":memory:" ? store.path : join(dataDir, store.path),
        busyTimeout: store.busy_timeout,
        maxValueBytes: store.value_size,
      };
    case "postgres":
      return {
        driver: "postgres",
        host: store.host,
        port: store.port,
        database: store.database,
        username: store.username,
        password: store.password,
        tls: store.ca === undefined ? undefined : { ca: readAuthority(store.ca) },
        max: store.connections,
        queue: store.queue,
        connectionTimeout: store.connect_timeout,
        idleTimeout: store.idle_timeout,
        statementTimeout: store.statement_timeout,
        migrationTimeout: store.migration_timeout,
        maxValueBytes: store.value_size,
        warn,
      };
    case "ldap":
      return {
        driver: "ldap",
        url: store.url,
        startTls: store.start_tls,
        ca: store.ca === undefined ? undefined : readAuthority(store.ca),
        bindDn: store.bind_dn,
        bindPassword: store.bind_password,
        base: store.base,
        scope: store.scope,
        filter: store.filter,
        max: store.connections,
        queue: store.queue,
        timeout: store.timeout,
        idleTimeout: store.idle_timeout,
        warn,
      };
    case "http":
      return {
        driver: "http",
        url: store.url,
        username: store.username,
        password: store.password,
        token: store.token,
        ca: store.ca === undefined ? undefined : readAuthority(store.ca),
        offers: store.offers,
        max: store.connections,
        queue: store.queue,
        timeout: store.timeout,
        answerBytes: store.answer_size,
        failures: store.failures,
        pause: store.pause,
        longestPause: store.longest_pause,
      };
  }
}

/** What is wrong with the stores that accounts are to come from; empty when nothing is. */
export function accountObstacles(config: Config, drivers: Drivers): string[] {
  return Object.entries(config.host_types).flatMap(([name, { accounts }]) =>
    accounts
      .filter((store) => drivers.get(store)?.accounts === undefined)
      .map(
        (store) =>
          `host_types.${name}.accounts: the store "${store}" cannot keep accounts; take it out, or name another`,
      ),
  );
}

/** The accounts of each domain. */
export function openAccounts(config: Config, drivers: Drivers): ReadonlyMap<string, Accounts> {
  const { auth } = config;
  const shared: AccountsOptions = {
    hashing: new HashQueue({ running: auth.hashes_running, waiting: auth.hashes_waiting }),
    throttle: new Throttle(() => performance.now(), {
      failuresPerAddress: auth.failures_per_address,
      failuresPerAccount: auth.failures_per_account,
      period: auth.failure_period,
      entries: auth.failures_remembered,
    }),
    iterations: auth.scram_iterations,
    ...(auth.decoy_secret === undefined ? {} : { decoySecret: Buffer.from(auth.decoy_secret) }),
  };
  const stores = new Map<string, AccountStore>();
  for (const [name, driver] of drivers) {
    const store = driver.accounts?.();
    if (store !== undefined) stores.set(name, store);
  }
  return new Map(
    config.hosts.map(({ domain, type }) => {
      const { accounts, password_length, storage } = config.host_types[type] as Config["host_types"][string];
      const own = accounts.map((name) => stores.get(name)).filter((store) => store !== undefined);
      const tokens = openTokens(config, drivers.get(storage));
      return [domain, new Accounts(domain, own, { ...shared, passwordLength: password_length, tokens })];
    }),
  );
}

/** Undefined where there are to be none, or the store cannot keep any. */
function openTokens({ auth }: Config, driver: StorageDriver | undefined): FastTokens | undefined {
  const store = auth.tokens_per_account === 0 ? undefined : driver && map<ClientTokens>("fast_tokens").open(driver);
  if (store === undefined) return undefined;
  return new FastTokens(store, {
    secret: Buffer.from(auth.decoy_secret ?? ""),
    lifetime: auth.token_lifetime,
    renewAfter: auth.token_renewal,
    perAccount: auth.tokens_per_account,
    now: Date.now,
  });
}
