/** The stores and accounts that the configuration names: opened alike for the running node and for the command line. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { why } from "../config/fill.ts";
import { ConfigError } from "../config/load.ts";
import type { Config, HostTypeConfig, StorageConfig } from "../config/schema.ts";
import type { Logger } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { cached } from "../storage/cached.ts";
import type { BatchOptions } from "../storage/drivers/batches.ts";
import { type DriverOptions, openDriver } from "../storage/open.ts";
import { type AccountStore, type DriverOf, map, type StorageDriver } from "../storage/specs.ts";
import { type HearCall, timed } from "../storage/timed.ts";
import { PUBLIC_KEY_ALGORITHMS, secretAlgorithms } from "../xmpp/sasl/token-algorithms.ts";
import { Accounts, type AccountsOptions, type BearerTokens } from "./accounts.ts";
import { type ClientTokens, FastTokens } from "./fast-tokens.ts";
import { Guests } from "./guests.ts";
import { HashQueue } from "./hash-queue.ts";
import { jwksFile, jwksUrl, type KeySet, pemKeys, secretKey } from "./key-sets.ts";
import { Throttle } from "./throttle.ts";
import { TokenVerifier } from "./tokens.ts";

type TokenConfig = NonNullable<HostTypeConfig["jwt"]>;

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

/** The stores as a running node uses them: every call is timed, and what may be kept for a while is kept. */
export function inService(
  drivers: Drivers,
  config: Config,
  metrics: Metrics,
  hear: (store: string, call: Parameters<HearCall>[0]) => void,
): Drivers {
  return new Map(
    [...drivers].map(([name, driver]) => {
      const store = config.storage[name];
      const entries = store !== undefined && "cache_entries" in store ? store.cache_entries : 0;
      return [
        name,
        cached(
          timed(driver, name, metrics, (call) => hear(name, call)),
          { store: name, entries, metrics },
        ),
      ];
    }),
  );
}

/** Which driver keeps what tables of a host type. The stores are there: the configuration has been checked. */
export function driverOf({ storage, stores }: HostTypeConfig, drivers: Drivers): DriverOf {
  return (table) => drivers.get(Object.hasOwn(stores, table) ? (stores[table] as string) : storage) as StorageDriver;
}

/** Opens one store; nothing is contacted yet. Rejects with a ConfigError if it cannot work as it is. */
export async function openStore(config: Config, name: string, log: Logger): Promise<StorageDriver> {
  try {
    return await openDriver(driverOptions(config.storage[name] as StorageConfig, config.node.data_dir, name, log));
  } catch (error) {
    throw new ConfigError([`storage.${name}: ${error instanceof Error ? error.message : String(error)}`]);
  }
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
        synchronous: store.synchronous,
        maxValueBytes: store.value_size,
        ...batchOptions(store),
      };
    case "postgres":
    case "mysql":
      return {
        driver: store.driver,
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
        ...batchOptions(store),
        batchWriters: store.batch_writers,
        warn,
      };
    case "redis":
      return {
        driver: "redis",
        nodes: store.nodes,
        cluster: store.cluster,
        username: store.username,
        password: store.password,
        prefix: store.prefix,
        queue: store.queue,
        timeout: store.timeout,
        maxValueBytes: store.value_size,
        warn,
      };
    case "riak":
      return {
        driver: "riak",
        nodes: store.nodes,
        tls: store.tls ? { ca: store.ca === undefined ? undefined : readAuthority(store.ca) } : undefined,
        username: store.username,
        password: store.password,
        bucketType: store.bucket_type,
        connections: store.connections,
        queue: store.queue,
        timeout: store.timeout,
        maxValueBytes: store.value_size,
        objectBytes: store.object_size,
      };
    case "ldap":
      return ldapOptions(store, warn);
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

function ldapOptions(store: StorageConfig & { driver: "ldap" }, warn: (message: string) => void): DriverOptions {
  const { photo_size, field_size, ...attributes } = store.vcard;
  const { roster } = store;
  return {
    driver: "ldap",
    url: store.url,
    order: store.order,
    startTls: store.start_tls,
    ca: store.ca === undefined ? undefined : readAuthority(store.ca),
    bindDn: store.bind_dn,
    bindPassword: store.bind_password,
    base: store.base,
    scope: store.scope,
    filter: store.filter,
    max: store.connections,
    queue: store.queue,
    connectTimeout: store.connect_timeout,
    timeout: store.timeout,
    idleTimeout: store.idle_timeout,
    lifetime: store.lifetime,
    pause: store.pause,
    longestPause: store.longest_pause,
    pageSize: store.page_size,
    maxEntries: store.max_entries,
    vcard: { attributes, photoBytes: photo_size, fieldBytes: field_size },
    roster: {
      ...(roster.base !== undefined && { base: roster.base }),
      filter: roster.filter,
      only: roster.only,
      names: roster.name,
      groupNames: roster.group_name,
      members: roster.member,
      department: roster.department,
      shows: roster.shows,
      maxGroups: roster.max_groups,
      maxMembers: roster.max_members,
      nameBytes: roster.name_size,
      cacheFor: roster.cache_for,
    },
    warn,
  };
}

/** What every database that is written to in batches is told. */
function batchOptions(store: Extract<StorageConfig, { batch_rows: number }>): BatchOptions {
  return {
    batchRows: store.batch_rows,
    batchBytes: store.batch_size,
    batchWait: store.batch_wait,
    batchQueue: store.batch_queue,
    batchQueueBytes: store.batch_queue_size,
  };
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
export function openAccounts(
  config: Config,
  drivers: Drivers,
  { keySets, guests }: Ways = {},
): ReadonlyMap<string, Accounts> {
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
    hashes: auth.scram_hashes,
    offered: auth.scram_offered,
    channelBinding: auth.channel_binding,
    decoySecret: secretOf(config),
  };
  const stores = new Map<string, AccountStore>();
  for (const [name, driver] of drivers) {
    const store = driver.accounts?.();
    if (store !== undefined) stores.set(name, store);
  }
  return new Map(
    config.hosts.map(({ domain, type }) => {
      const hostType = config.host_types[type] as HostTypeConfig;
      const { accounts, password_length, jwt } = hostType;
      const own = accounts.map((name) => stores.get(name)).filter((store) => store !== undefined);
      const tokens = openTokens(config, driverOf(hostType, drivers)("fast_tokens"));
      const bearer = jwt && bearerTokens(domain, jwt, keySets?.get(type));
      const visitors = guests?.get(type);
      return [
        domain,
        new Accounts(domain, own, { ...shared, passwordLength: password_length, tokens, bearer, guests: visitors }),
      ];
    }),
  );
}

/** What lets clients in besides the stores, by host type. */
export interface Ways {
  readonly keySets?: ReadonlyMap<string, KeySet>;
  readonly guests?: ReadonlyMap<string, Guests>;
}

/** The keys of each host type that takes tokens. Files are read, and URLs begin to be. Throws a ConfigError. */
export function openKeySets({ host_types }: Config, log: Logger): ReadonlyMap<string, KeySet> {
  const sets = new Map<string, KeySet>();
  const mistakes: string[] = [];
  for (const [type, { jwt }] of Object.entries(host_types)) {
    if (jwt === undefined) continue;
    const warn = (message: string) => log.warn("token_keys.not_read", { hostType: type, message });
    try {
      sets.set(type, keySet(jwt, warn));
    } catch (error) {
      mistakes.push(`host_types.${type}.jwt.${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return sets;
}

function keySet(jwt: TokenConfig, warn: (message: string) => void): KeySet {
  const now = () => performance.now();
  if (jwt.secret !== undefined) return secretKey(jwt.secret);
  if (jwt.public_keys !== undefined) return named("public_keys", () => pemKeys(jwt.public_keys ?? [], { now, warn }));
  if (jwt.jwks_file !== undefined) return named("jwks_file", () => jwksFile(jwt.jwks_file ?? "", { now, warn }));
  const remote = jwksUrl({
    url: jwt.jwks_url ?? "",
    ca: jwt.ca === undefined ? undefined : readAuthority(jwt.ca),
    timeout: jwt.jwks_timeout,
    bytes: jwt.jwks_size,
    refresh: jwt.jwks_refresh,
    cooldown: jwt.jwks_cooldown,
    keep: jwt.jwks_keep,
    now,
    warn,
  });
  // Nothing waits for it: a URL that is wrong is to show in the log at the start, and not at the first login.
  void remote.refresh();
  return remote;
}

/** Says of which key a file is that cannot be read. */
function named(key: string, open: () => KeySet): KeySet {
  try {
    return open();
  } catch (error) {
    throw new Error(`${key} = ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** On the command line there are no keys, and nobody logs in; yet it must know which accounts there are. */
const NO_KEYS: KeySet = { matching: () => [], reload: () => {}, close: async () => {} };

function bearerTokens(domain: string, jwt: TokenConfig, keys: KeySet = NO_KEYS): BearerTokens {
  const secretBytes = Buffer.byteLength(jwt.secret ?? "");
  const fitting = jwt.secret === undefined ? PUBLIC_KEY_ALGORITHMS : secretAlgorithms(secretBytes);
  const verifier = new TokenVerifier(domain, {
    keys,
    algorithms: jwt.algorithms ?? fitting,
    issuer: jwt.issuer,
    audience: jwt.audience,
    scope: jwt.scope,
    claim: jwt.claim,
    form: jwt.form,
    leeway: jwt.leeway / 1000,
    discovery: jwt.openid_configuration,
    now: Date.now,
  });
  return { verifier, suffice: jwt.account === "any", asPassword: jwt.as_password };
}

/** Those of each host type that takes any. */
export function openGuests(config: Config): ReadonlyMap<string, Guests> {
  const { host_types, limits } = config;
  const secret = secretOf(config);
  return new Map(
    Object.entries(host_types).flatMap(([type, { anonymous }]) => {
      if (anonymous === undefined) return [];
      const options = {
        secret,
        perAddress: anonymous.max_per_address,
        max: anonymous.max_guests,
        bindWithin: limits.negotiation_timeout,
        now: () => performance.now(),
      };
      return [[type, new Guests(options)]];
    }),
  );
}

/** Undefined where there are to be none, or the store cannot keep any. */
function openTokens(config: Config, driver: StorageDriver): FastTokens | undefined {
  const { auth } = config;
  const store = auth.tokens_per_account === 0 ? undefined : map<ClientTokens>("fast_tokens").open(driver);
  if (store === undefined) return undefined;
  return new FastTokens(store, {
    secret: secretOf(config),
    lifetime: auth.token_lifetime,
    renewAfter: auth.token_renewal,
    perAccount: auth.tokens_per_account,
    now: Date.now,
  });
}

/** Without one in the configuration, a new one for as long as the process lives. */
function secretOf({ auth }: Config): Uint8Array {
  return auth.decoy_secret === undefined ? PROCESS_SECRET : Buffer.from(auth.decoy_secret);
}

const PROCESS_SECRET = randomBytes(32);
