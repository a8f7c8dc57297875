/** One running server: everything the configuration names, started from the ground up and stopped the other way round. */
import type { Accounts } from "./auth/accounts.ts";
import { accountDirectory } from "./auth/directory.ts";
import type { Guests } from "./auth/guests.ts";
import type { KeySet } from "./auth/key-sets.ts";
import {
  closeDrivers,
  type Drivers,
  driverOf,
  inService,
  openAccounts,
  openDrivers,
  openGuests,
  openKeySets,
} from "./auth/stores.ts";
import type { ClientStream } from "./c2s/client-stream.ts";
import { StanzaCounters } from "./c2s/counters.ts";
import { Resumptions } from "./c2s/resumptions.ts";
import type { ClientServices } from "./c2s/services.ts";
import type { SessionLimits } from "./c2s/session.ts";
import { realClock } from "./cluster/clock.ts";
import { type Cluster, ClusterError } from "./cluster/cluster.ts";
import { openCluster } from "./cluster/open.ts";
import { why } from "./config/fill.ts";
import { ConfigError } from "./config/load.ts";
import type { Config, HostTypeConfig, ListenConfig } from "./config/schema.ts";
import { type Door, openC2s, openHttp, openOps } from "./listeners.ts";
import type { AccountDirectory, Clock } from "./module/api.ts";
import { forgetAccount } from "./module/forget.ts";
import { HookTable } from "./module/hook-table.ts";
import { startModules } from "./module/loader.ts";
import { chooseModules } from "./module-choice.ts";
import { MODULES } from "./modules/catalogue.ts";
import { Tally } from "./net/address.ts";
import { Certificates, selfSigned, type TicketOptions } from "./net/tls.ts";
import { Health } from "./observe/health.ts";
import type { Logger } from "./observe/log.ts";
import { createMetrics, type Metrics } from "./observe/metrics.ts";
import { Hosts, type HostType } from "./router/hosts.ts";
import { Router } from "./router/router.ts";
import { type LocalSession, Sessions } from "./router/sessions.ts";
import { StorageError } from "./storage/specs.ts";
import { type StoreWatch, watchStores } from "./store-watch.ts";
import { KEEPALIVE_TURNS } from "./stream/stream.ts";
import { then } from "./util/maybe-promise.ts";
import { StreamError } from "./xmpp/errors.ts";
import { type Jid, rememberJids } from "./xmpp/jid.ts";

const wallClock: Clock = {
  seconds: () => Math.floor(Date.now() / 1000),
  milliseconds: Date.now,
  after: realClock.after,
};

/** How long what was kept for a guest outlives its last session: whoever says good-bye for it still finds its contacts. */
const GUEST_MEMORY_MS = 5000;
const RETRY_MS = { first: 250, longest: 5000 };

export interface RunningNode {
  readonly id: string;
  readonly doors: readonly Door[];
  readonly metrics: Metrics;
  /** By domain. */
  readonly accounts: ReadonlyMap<string, Accounts>;
  /** Reads the certificates, and the keys of tokens, again. */
  reload(): void;
  /** Unready first, then good-bye to every client, then everything closed; settles within drain + stop_timeout and a little. */
  stop(): Promise<void>;
}

/** Parts that a test brings along instead of having them opened by the configuration. */
export interface Parts {
  readonly drivers?: Drivers;
  readonly cluster?: Cluster;
  readonly clock?: Clock;
}

/** Settles when clients can come in. Rejects with a ConfigError for what can never work; for what may yet come up, it waits. */
export async function startNode(
  config: Config,
  log: Logger,
  aborted: AbortSignal,
  parts: Parts = {},
): Promise<RunningNode> {
  rememberJids(config.limits.remembered_jids);
  const metrics = createMetrics();
  const stores = parts.drivers ?? (await openDrivers(config, log));
  let watch: StoreWatch | undefined;
  const drivers = inService(stores, config, metrics, (store, call) => watch?.note(store, call));
  const choices = chooseModules(config, drivers);
  const keySets = openKeySets(config, log);
  const certificates = await openCertificates(config);
  const cluster = parts.cluster ?? (await openCluster(clusterOptions(config, log)));
  const health = new Health();
  const undo: (() => Promise<void>)[] = [() => closeDrivers(drivers), () => closeKeySets(keySets)];
  const stopAll = async () => {
    for (const step of undo.reverse()) await step();
  };

  try {
    // Open from the first moment, so that whoever waits for the node can see why.
    const opsDoors: Door[] = [];
    undo.push(() => closeDoors(opsDoors));
    for (const listen of config.listen) {
      if (listen.kind === "ops") opsDoors.push(await opened(config, listen, openOps(listen, config, health, metrics)));
    }

    for (const [name, driver] of drivers) {
      await persistently(`storage.${name}`, () => driver.migrate(), log, aborted);
    }
    const clock = parts.clock ?? wallClock;
    watch = watchStores(config, drivers, { health, metrics, log, clock });
    undo.push(async () => watch?.stop());

    const guests = openGuests(config);
    const accounts = openAccounts(config, drivers, { keySets, guests });
    const hosts = new Hosts();
    const sessions = new Sessions(cluster, log, {
      maxPerAccount: config.sessions.max_per_account,
      replaceTimeoutMs: config.sessions.replace_timeout,
    });
    const router = new Router(hosts, sessions, log, metrics);
    const types = addHosts(config, hosts, log, (type, hooks) => {
      const keptBy = driverOf(config.host_types[type] as HostTypeConfig, drivers);
      const forget = (account: Jid) => forgetAccount(MODULES.values(), keptBy, account);
      const serves = (domain: string) => hosts.get(domain)?.type.name === type;
      return accountDirectory({ accounts, hooks, sessions, log, serves, forget });
    });
    observeCluster(cluster, sessions, hosts, metrics, log);
    health.add("cluster", () => cluster.healthy());

    await persistently("cluster", () => cluster.start(), log, aborted);
    undo.push(() => cluster.stop());

    for (const [name, type] of types) {
      const stop = await startModules(choices.get(name) ?? [], {
        hostType: name,
        hooks: type.hooks,
        sessions,
        accounts: type.accounts,
        router,
        clock,
        log: log.with({ hostType: name }),
        metrics,
      });
      undo.push(stop);
    }
    for (const [name, visitors] of guests) undo.push(attend(visitors, types.get(name) as HostType, sessions, log));
    metrics.gauge("xmpp_guests", "Clients without an account that are on this node.", () =>
      [...guests.values()].reduce((sum, { count }) => sum + count, 0),
    );

    const streams = new Set<ClientStream>();
    const resumptions = new Resumptions(config.sessions.resumptions_remembered);
    const services: ClientServices = {
      nodeId: config.node.id,
      hosts,
      sessions,
      resumptions,
      sessionParts: {
        nodeId: config.node.id,
        router,
        sessions,
        resumptions,
        counters: new StanzaCounters(metrics),
        limits: sessionLimits(config),
        expired: (session) => void expire(session, log),
      },
      streams,
      log,
      streamErrors: metrics.counters("xmpp_stream_errors_total", "Streams ended with an error.", ["condition"]),
      logins: metrics.counters("xmpp_auth_total", "Logins tried.", ["mechanism", "result"]),
      resumed: metrics.counters("xmpp_sm_resumptions_total", "Sessions that clients wanted to resume.", ["result"]),
      accountsOf: (host) => accounts.get(host.domain) as Accounts,
    };
    observeStreams(streams, sessions, health, metrics);
    metrics.gauge(
      "xmpp_sessions_detached",
      "Sessions that wait for their client to come back.",
      () => resumptions.waiting,
    );
    undo.push(keepAlive(streams, config.limits.keepalive));

    const doors: Door[] = [];
    undo.push(() => closeDoors(doors));
    const perAddress = new Tally(config.limits.max_connections_per_address);
    for (const listen of config.listen) {
      const behind = { config, certificates, services, perAddress };
      if (listen.kind === "c2s") doors.push(await opened(config, listen, openC2s(listen, behind)));
      if (listen.kind === "http") doors.push(await opened(config, listen, openHttp(listen, behind)));
    }
    health.serving();
    for (const { kind, host, port } of [...doors, ...opsDoors]) log.info("listener.opened", { kind, host, port });

    return {
      id: config.node.id,
      doors: [...doors, ...opsDoors],
      metrics,
      accounts,
      reload() {
        certificates?.reload();
        for (const keys of keySets.values()) keys.reload();
      },
      async stop() {
        health.draining();
        log.info("node.draining", { sessions: sessions.count, ms: config.node.drain });
        await delay(config.node.drain);
        await closeDoors(doors);
        await farewell(streams, config.node.stop_timeout);
        await Promise.all(sessions.all().map((session) => expire(session, log)));
        await stopAll();
        log.info("node.stopped");
      },
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** None where no listener needs any. */
async function openCertificates(config: Config): Promise<Certificates | undefined> {
  const needed = config.listen.some(
    ({ kind, ...listen }) => kind !== "ops" && "tls" in listen && listen.tls !== "none" && listen.tls !== false,
  );
  if (!needed) return undefined;
  if (config.certificates.length > 0) {
    try {
      return new Certificates(config.certificates, ticketsOf(config));
    } catch (error) {
      throw new ConfigError([`certificates: ${error instanceof Error ? error.message : String(error)}`]);
    }
  }
  const domains = config.hosts.map(({ domain }) => domain);
  return new Certificates([await selfSigned(config.node.data_dir, domains)], ticketsOf(config));
}

function ticketsOf({ tls }: Config): TicketOptions {
  return { secret: tls.ticket_secret, periodMs: tls.ticket_period };
}

/** An address that cannot be had is the operator's to mend. */
async function opened(config: Config, listen: ListenConfig, door: Promise<Door>): Promise<Door> {
  try {
    return await door;
  } catch (error) {
    if (!(error instanceof Error && "syscall" in error)) throw error;
    const key = `listen.${config.listen.indexOf(listen)}`;
    const address = `host = "${listen.host}", port = ${listen.port}`;
    throw new ConfigError([`${key}: ${address} cannot be had (${why(error)}); free it, or name another`]);
  }
}

function clusterOptions(config: Config, log: Logger): Parameters<typeof openCluster>[0] {
  const common = {
    nodeId: config.node.id,
    log: (event: string, details: Readonly<Record<string, unknown>>) => log.warn(event, details),
  };
  const { cluster } = config;
  if (cluster.kind === "local") return { kind: "local", ...common };
  return {
    kind: "redis",
    ...common,
    nodes: cluster.nodes,
    renewEvery: cluster.renew_every,
    leaseFor: cluster.lease_for,
    answerWithin: cluster.answer_within,
    startWithin: cluster.start_within,
    heartbeatEvery: cluster.heartbeat_every,
    heartbeatWithin: cluster.heartbeat_within,
    unhealthyAfter: cluster.unhealthy_after,
    refreshEvery: cluster.refresh_every,
    entryFor: cluster.entry_for,
    maxPending: cluster.max_pending,
    maxQueuedBytes: cluster.max_queued,
    maxFrameBytes: cluster.max_frame,
    maxNodes: cluster.max_nodes,
    maxUnreleased: cluster.max_unreleased,
    ...(cluster.password === undefined ? {} : { password: cluster.password }),
  };
}

function addHosts(
  config: Config,
  hosts: Hosts,
  log: Logger,
  accountsOf: (type: string, hooks: HookTable) => AccountDirectory,
): ReadonlyMap<string, HostType> {
  const types = new Map<string, HostType>();
  for (const name of Object.keys(config.host_types)) {
    const hooks = new HookTable(log.with({ hostType: name }));
    types.set(name, { name, hooks, accounts: accountsOf(name, hooks) });
  }
  for (const { domain, type } of config.hosts) hosts.add(domain, types.get(type) as HostType);
  return types;
}

function observeCluster(cluster: Cluster, sessions: Sessions, hosts: Hosts, metrics: Metrics, log: Logger): void {
  cluster.onLost(({ jid, priority }) => {
    log.info("session.lost", { jid: jid.full });
    const notices = hosts.get(jid.domain)?.type.hooks.notices;
    void notices?.sessionLost.tell({ jid, available: priority !== undefined });
  });
  cluster.onDisplaced((entry) => sessions.displaced(entry));
  cluster.onFenced(() => log.warn("node.fenced", { sessions: sessions.count }));
  cluster.onRejoined(() => log.info("node.rejoined", { sessions: sessions.count }));
  metrics.gauge("xmpp_cluster_up", "Whether this node reaches the others.", () => (cluster.healthy() ? 1 : 0));
  metrics.gauge("xmpp_cluster_nodes", "Living nodes, this one included.", () => cluster.nodes().length);
  metrics.gauges(
    "xmpp_cluster_stat",
    "What happened in the cluster layer since the start, and what it holds.",
    "name",
    () => new Map(Object.entries(cluster.stats())),
  );
}

function observeStreams(streams: Set<ClientStream>, sessions: Sessions, health: Health, metrics: Metrics): void {
  metrics.gauge("xmpp_sessions", "Bound resources on this node.", () => sessions.count);
  metrics.gauge("xmpp_ready", "Whether the load balancer may send clients.", () =>
    health.readiness().status === 200 ? 1 : 0,
  );
  metrics.gauges("xmpp_streams", "Open client streams, bound or not.", "transport", () => {
    const counts = new Map([
      ["tcp", 0],
      ["websocket", 0],
    ]);
    for (const { transport } of streams) counts.set(transport.kind, (counts.get(transport.kind) ?? 0) + 1);
    return counts;
  });
}

function sessionLimits({ sessions }: Config): SessionLimits {
  return {
    resumeForMs: sessions.resume_timeout,
    resumeLocation: sessions.resume_location,
    unackedStanzas: sessions.unacked_stanzas,
    unackedBytes: sessions.unacked_size,
    unackedWaitMs: sessions.unacked_wait,
    ackEvery: sessions.ack_every,
    ackAfterMs: sessions.ack_after,
    ackTimeoutMs: sessions.ack_timeout,
    inactiveStanzas: sessions.inactive_stanzas,
  };
}

/** Ends a session that no stream carries. */
async function expire(session: LocalSession, log: Logger): Promise<void> {
  log.info("session.expired", { jid: session.jid.full, session: session.id });
  try {
    await session.end();
  } catch (error) {
    log.warn("session.not_released", { jid: session.jid.full, error });
  }
}

async function closeKeySets(keySets: ReadonlyMap<string, KeySet>): Promise<void> {
  for (const keys of keySets.values()) await keys.close();
}

/** Guests' accounts end with their sessions. Returns what ends those that are left. */
function attend(guests: Guests, { hooks, accounts }: HostType, sessions: Sessions, log: Logger): () => Promise<void> {
  return guests.attend({
    notices: hooks.notices,
    online: (account) => then(sessions.locate(account), (entries) => entries.length > 0),
    remove: (account) => accounts.remove(account),
    failed: (account, error) => log.warn("guest.not_removed", { account: account.bare, error }),
    after: GUEST_MEMORY_MS,
  });
}

/** One timer for all streams, which do not all write at once. Returns what ends it. */
function keepAlive(streams: ReadonlySet<ClientStream>, everyMs: number): () => Promise<void> {
  let turn = 0;
  const timer = setInterval(() => {
    turn = (turn + 1) % KEEPALIVE_TURNS;
    for (const stream of streams) stream.keepAlive(turn);
  }, everyMs / KEEPALIVE_TURNS);
  return async () => clearInterval(timer);
}

/** Tries until it works; only what cannot be reached is worth trying again. */
async function persistently(what: string, run: () => Promise<void>, log: Logger, aborted: AbortSignal): Promise<void> {
  for (let wait = RETRY_MS.first; ; wait = Math.min(wait * 2, RETRY_MS.longest)) {
    aborted.throwIfAborted();
    try {
      await run();
      return;
    } catch (error) {
      if (!(error instanceof StorageError || error instanceof ClusterError)) throw error;
      log.warn("start.waiting", { for: what, reason: error.message });
      await delay(wait, aborted);
    }
  }
}

/** Every client hears why, and has some time to say good-bye itself (RFC 6120 4.9.3.19). */
async function farewell(streams: ReadonlySet<ClientStream>, timeoutMs: number): Promise<void> {
  const gone = [...streams].map((stream) => stream.gone);
  for (const stream of [...streams]) stream.close(new StreamError("system-shutdown"));
  const late = new AbortController();
  await Promise.race([Promise.all(gone), delay(timeoutMs, late.signal)]);
  late.abort();
}

async function closeDoors(doors: readonly Door[]): Promise<void> {
  await Promise.all(doors.map((door) => door.close()));
}

/** Ends early, and without complaint, when aborted. */
function delay(ms: number, aborted?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    aborted?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
