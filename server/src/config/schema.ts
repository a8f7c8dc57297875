/** Every key of the configuration, with its default; an empty file is a complete single-node server. */
import { hostname } from "node:os";
import { z } from "zod";
import { LOG_LEVELS } from "../observe/log.ts";
import { count, domainName, duration, endpoint, network, port, secret, size } from "./values.ts";

const name = z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, { error: "must be a name: a-z, 0-9, _ and -" });
const nodeId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: "must be letters, digits, dots, dashes and underscores, 64 at most",
});

const node = z.strictObject({
  /** What the other nodes, the logs and the stream ids call this one. */
  id: nodeId.default(() => hostname().replaceAll(/[^A-Za-z0-9._-]/g, "-")),
  /** Where the embedded database and the self-signed certificate are kept. */
  data_dir: z.string().min(1).default("data"),
  /** After a signal: how long the load balancer has to notice before the streams are closed … */
  drain: duration("0s", { max: "10m" }),
  /** … and how long the clients have to say good-bye. */
  stop_timeout: duration("10s", { max: "10m" }),
});

const log = z.strictObject({ level: z.enum(LOG_LEVELS).default("info") });

const cluster = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("local") }),
  z.strictObject({
    kind: z.literal("redis"),
    /** Some of the cluster's nodes; the others are found through them. */
    nodes: z.array(endpoint).min(1).max(100),
    password: secret.optional(),
    renew_every: duration("2s", { min: "100ms", max: "1m" }),
    /** A node that has not renewed for so long is taken for dead. */
    lease_for: duration("10s", { min: "1s", max: "10m" }),
    answer_within: duration("5s", { min: "100ms", max: "1m" }),
    max_queued: size("4MiB", { min: "64KiB" }),
  }),
]);

const storage = z.discriminatedUnion("driver", [
  z.strictObject({ driver: z.literal("memory") }),
  z.strictObject({
    driver: z.literal("sqlite"),
    /** A file below `node.data_dir`, or ":memory:". */
    path: z.string().min(1).default("meerkat.db"),
  }),
  z.strictObject({
    driver: z.literal("postgres"),
    host: z.string().min(1),
    port: port.default(5432),
    database: z.string().min(1),
    username: z.string().min(1),
    password: secret,
    /** The file of the authority that signed the server's certificate; without it the connection is not encrypted. */
    ca: z.string().optional(),
    connections: count(10, 1, 500),
    queue: count(1000, 1, 100_000),
    connect_timeout: duration("5s", { min: "100ms", max: "1m" }),
    statement_timeout: duration("10s", { min: "100ms", max: "10m" }),
  }),
  z.strictObject({
    driver: z.literal("ldap"),
    url: z.string().regex(/^ldaps?:\/\/.+/, { error: "must be ldap://host:port or ldaps://host:port" }),
    start_tls: z.boolean().default(false),
    ca: z.string().optional(),
    bind_dn: z.string().min(1),
    bind_password: secret,
    base: z.string().min(1),
    scope: z.enum(["sub", "one"]).default("sub"),
    filter: z.string().default("(&(objectClass=inetOrgPerson)(uid=%u))"),
    connections: count(5, 1, 100),
    queue: count(500, 1, 100_000),
    timeout: duration("5s", { min: "100ms", max: "1m" }),
  }),
]);

const hostType = z.strictObject({
  /** Stores that accounts may come from, asked in this order. */
  accounts: z.array(name).min(1).default(["main"]),
  /** The store that modules keep their data in. */
  storage: name.default("main"),
  /** Characters that a new password has at least. */
  password_length: count(8, 1, 256),
  /** The modules of this type, each with its own table; left out, it is every module with its defaults. */
  modules: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
});

const limits = z.strictObject({
  max_connections: count(10_000, 1, 1_000_000),
  max_connections_per_address: count(100, 1, 1_000_000),
  stanza_size: size("256KiB", { min: "10000B", max: "16MiB" }),
  unauthenticated_stanza_size: size("16KiB", { min: "10000B", max: "1MiB" }),
  stanza_depth: count(64, 8, 1000),
  stanza_attributes: count(64, 8, 1000),
  start_tag_size: size("16KiB", { min: "1KiB", max: "1MiB" }),
  /** Stanzas of one client that wait for a slow one before its socket is paused. */
  inbox: count(64, 1, 10_000),
  /** What a client may leave unread before it is cut off. */
  backlog: size("4MiB", { min: "64KiB", max: "256MiB" }),
  negotiation_timeout: duration("30s", { min: "1s", max: "10m" }),
  tls_timeout: duration("10s", { min: "1s", max: "1m" }),
  close_timeout: duration("5s", { min: "100ms", max: "1m" }),
  /** Bytes a second that a client may send in the long run, and at once; 0 for any number. */
  rate: size("0B", { min: "0B" }),
  burst: size("64KiB"),
  /** A WebSocket that is silent for so long is pinged, and cut when it stays silent. */
  websocket_ping: duration("60s", { min: "1s", max: "1h" }),
  sasl_message: size("4KiB", { min: "512B", max: "64KiB" }),
  /** Refused logins after which a stream is closed (RFC 6120 6.4.5). */
  sasl_refusals: count(3, 2, 5),
});

const auth = z.strictObject({
  scram_iterations: count(10_000, 4096, 10_000_000),
  failures_per_address: count(10, 0, 1_000_000),
  failures_per_account: count(5, 0, 1_000_000),
  failure_period: duration("1m", { min: "1s", max: "24h" }),
  /** Known to all nodes: what accounts that do not exist are made up from. Without it each start makes a new one. */
  decoy_secret: secret.optional(),
});

const sessions = z.strictObject({
  max_per_account: count(20, 1, 10_000),
  /** How long a new session waits for the one it replaces to be gone from another node. */
  replace_timeout: duration("2s", { min: "100ms", max: "1m" }),
});

const listener = { host: z.string().default("127.0.0.1"), port };
const listen = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("c2s"),
    ...listener,
    tls: z.enum(["starttls", "direct", "none"]).default("starttls"),
    /** Whether STARTTLS must be used before anything else. */
    tls_required: z.boolean().default(true),
    /** Load balancers, whose PROXY header is required and believed; empty for clients that come directly. */
    proxy_protocol_from: z.array(network).default([]),
  }),
  z.strictObject({
    kind: z.literal("http"),
    ...listener,
    tls: z.boolean().default(false),
    /** Load balancers whose X-Forwarded-For and X-Forwarded-Proto are believed. */
    forwarded_from: z.array(network).default([]),
    websocket_path: z.string().startsWith("/").default("/ws-xmpp"),
    /** The address that host-meta tells web clients, with {domain} in place of the domain (XEP-0156). */
    websocket_url: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal("ops"), ...listener }),
]);

const certificate = z.strictObject({
  certificate: z.string().min(1),
  key: z.string().min(1),
  domains: z.array(domainName).optional(),
});

const host = z.strictObject({ domain: domainName, type: name.default("default") });

export const schema = z.strictObject({
  node: node.prefault({}),
  log: log.prefault({}),
  /** PEM files; the first is shown to clients that name no domain. Left out: a self-signed one in `node.data_dir`. */
  certificates: z.array(certificate).default([]),
  cluster: cluster.prefault({ kind: "local" }),
  storage: z.record(name, storage).prefault({ main: { driver: "sqlite" } }),
  host_types: z.record(name, hostType).prefault({ default: {} }),
  hosts: z
    .array(host)
    .min(1)
    .max(100_000)
    .prefault([{ domain: "localhost" }]),
  listen: z
    .array(listen)
    .min(1)
    .prefault([
      { kind: "c2s", port: 5222 },
      { kind: "c2s", port: 5223, tls: "direct" },
      { kind: "http", port: 5443, tls: true },
      { kind: "ops", port: 9090 },
    ]),
  limits: limits.prefault({}),
  auth: auth.prefault({}),
  sessions: sessions.prefault({}),
});

/** The whole configuration, checked: durations in milliseconds, sizes in bytes, secrets read. */
export type Config = z.output<typeof schema>;
export type StorageConfig = Config["storage"][string];
export type ListenConfig = Config["listen"][number];
export type HostTypeConfig = Config["host_types"][string];
