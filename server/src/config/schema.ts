/**
 * Every key of the configuration, with its default and its meaning; an empty file is a complete single-node server.
 * docs/configuration.md is made of this.
 */
import { hostname } from "node:os";
import { z } from "zod";
import { LOG_LEVELS } from "../observe/log.ts";
import { HTTP_OFFERS } from "../storage/drivers/http/offers.ts";
import { SCRAM_HASHES, type ScramHash } from "../xmpp/sasl/scram-keys.ts";
import { TOKEN_ALGORITHMS, type TokenAlgorithm } from "../xmpp/sasl/token-algorithms.ts";
import { cacheEntries } from "./cache.ts";
import { ldapStorage } from "./ldap.ts";
import { redisStorage } from "./redis.ts";
import { riakStorage } from "./riak.ts";
import {
  count,
  domainName,
  duration,
  endpoint,
  flag,
  name,
  network,
  port,
  secret,
  size,
  text,
  webUrl,
} from "./values.ts";

const nodeId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    error: "must be letters, digits, dots, dashes and underscores, 64 at most",
  })
  .meta({ allowed: "letters, digits, `.`, `-`, `_`" });

const node = z.strictObject({
  id: nodeId
    .default(() => hostname().replaceAll(/[^A-Za-z0-9._-]/g, "-"))
    .meta({ fallback: "the machine's name" })
    .describe("What the other nodes, the logs and the stream ids call this node; no two nodes may have the same."),
  data_dir: text.default("data").describe("Where the embedded database and the self-signed certificate are kept."),
  drain: duration("0s", { max: "10m" }).describe(
    "After SIGTERM the node says that it is not ready, and waits so long for the load balancer to notice.",
  ),
  stop_timeout: duration("10s", { max: "10m" }).describe(
    "How long the clients then have to say good-bye before their connections are cut.",
  ),
});

const log = z.strictObject({
  level: z
    .enum(LOG_LEVELS)
    .default("info")
    .describe("What is less important is left out. JSON lines on standard output."),
});

const cluster = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("local") }).describe("This node is alone."),
  z
    .strictObject({
      kind: z.literal("redis"),
      nodes: z
        .array(endpoint)
        .min(1)
        .max(100)
        .describe("Some of the Redis Cluster's nodes; the others are found through them."),
      password: secret.optional().describe("What Redis asks for, if it does."),
      renew_every: duration("2s", { min: "100ms", max: "1m" }).describe("How often this node says that it lives."),
      lease_for: duration("10s", { min: "1s", max: "10m" }).describe(
        "A node that has not said so for this long is taken for dead, and its sessions are removed.",
      ),
      answer_within: duration("5s", { min: "100ms", max: "1m" }).describe(
        "How long a command to Redis, or a stanza's way to another node, may take.",
      ),
      start_within: duration("10s", { min: "1s", max: "10m" }).describe(
        "How long one attempt to join may take; attempts go on until one succeeds.",
      ),
      heartbeat_every: duration("500ms", { min: "100ms", max: "1m" }).describe(
        "How often this node sends itself a message, to know whether it still hears.",
      ),
      heartbeat_within: duration("2s", { min: "200ms", max: "10m" }).describe(
        "Silence after which the subscription is made anew.",
      ),
      unhealthy_after: duration("5s", { min: "200ms", max: "10m" }).describe(
        "Silence after which this node is not healthy: longer than a hiccup or a failover of Redis.",
      ),
      refresh_every: duration("1m", { min: "1s", max: "24h" }).describe("How often each session is written again."),
      entry_for: duration("15m", { min: "10s", max: "24h" }).describe(
        "How long Redis keeps a session that nobody writes again.",
      ),
      max_pending: count(10_000, 100, 1_000_000).describe("Commands that may wait for Redis; more are refused."),
      max_queued: size("4MiB", { min: "64KiB" }).describe("What may wait for one other node; more is refused."),
      max_frame: size("16KiB", { min: "1KiB", max: "1MiB" }).describe(
        "Stanzas for one other node go together up to this size; a longer one goes alone.",
      ),
      max_nodes: count(1024, 1, 100_000).describe("Other nodes that may be sent to at a time; more are refused."),
      max_unreleased: count(10_000, 0, 1_000_000).describe(
        "Ended sessions that could not be taken out of Redis and are tried again; beyond it the oldest runs out by itself.",
      ),
    })
    .describe("Nodes find each other, and route to each other, through a Redis Cluster of version 7 or later."),
]);

const valueSize = size("1MiB", { min: "1KiB", max: "64MiB" }).describe(
  "The largest single value that is kept, such as a roster item.",
);
/** How archives and queues are written, for every database that is written to in batches. */
const batches = {
  batch_rows: count(100, 1, 1000).describe(
    "Items of archives and queues are written together, at most so many at a time.",
  ),
  batch_size: size("1MiB", { min: "16KiB", max: "64MiB" }).describe(
    "A batch takes no more items beyond this size; a larger item goes alone.",
  ),
  batch_wait: duration("5ms", { min: "1ms", max: "1s" }).describe("How long an item may wait for others."),
  batch_queue: count(10_000, 100, 1_000_000).describe("Items that may wait to be written; more are refused."),
  batch_queue_size: size("64MiB", { min: "1MiB", max: "1GiB" }).describe("Their size; what is beyond it is refused."),
};
const batchWriters = count(4, 1, 100).describe(
  "Batches of archives, and as many of queues, that are written at a time, each on a connection.",
);
const ca = text.optional();

/** What every SQL server is told. */
const pooled = {
  database: text.describe("The database; its tables are made, and upgraded, at start."),
  username: text.describe("Who logs in; must be allowed to make tables."),
  password: secret.describe("With what."),
  ca: ca.describe(
    "The file of the authority that signed the server's certificate; without it the connection is not encrypted.",
  ),
  connections: count(10, 1, 500).describe("Connections of this node."),
  queue: count(1000, 1, 100_000).describe("Requests that may wait for a connection; more are refused."),
  connect_timeout: duration("5s", { min: "100ms", max: "1m" }).describe("How long a request may wait for one."),
  idle_timeout: duration("30s", { min: "1s", max: "1h" }).describe("An unused connection is closed after so long."),
  statement_timeout: duration("10s", { min: "100ms", max: "10m" }).describe("How long one statement may take."),
  migration_timeout: duration("10m", { min: "1s", max: "24h" }).describe(
    "How long making and upgrading the tables may take, other nodes' turn included.",
  ),
  cache_entries: cacheEntries,
  value_size: valueSize,
  ...batches,
  batch_writers: batchWriters,
};

const storage = z.discriminatedUnion("driver", [
  z
    .strictObject({ driver: z.literal("memory"), value_size: valueSize })
    .describe("Forgets everything when the node stops: for trying things out."),
  z
    .strictObject({
      driver: z.literal("sqlite"),
      path: text.default("meerkat.db").describe('A file below `node.data_dir`, or ":memory:".'),
      busy_timeout: duration("5s", { min: "1ms", max: "1m" }).describe(
        "How long another process, such as the command line, is waited for.",
      ),
      synchronous: z
        .enum(["full", "normal"])
        .default("full")
        .describe(
          "Whether a commit is on the disk before it is answered; with `normal` the newest may be lost when the power fails.",
        ),
      cache_entries: cacheEntries,
      value_size: valueSize,
      ...batches,
    })
    .describe("A file of this node alone; needs no other service."),
  z
    .strictObject({
      driver: z.literal("postgres"),
      host: text.describe("Where PostgreSQL is."),
      port: port.default(5432).describe("Its port."),
      ...pooled,
    })
    .describe("PostgreSQL, shared by all nodes."),
  z
    .strictObject({
      driver: z.literal("mysql"),
      host: text.describe("Where MySQL or MariaDB is."),
      port: port.default(3306).describe("Its port."),
      ...pooled,
    })
    .describe("MySQL or MariaDB, shared by all nodes."),
  redisStorage,
  riakStorage,
  ldapStorage,
  z
    .strictObject({
      driver: z.literal("http"),
      url: webUrl.describe('What the requests\' names are added to, such as "https://accounts.example.org/xmpp".'),
      username: text.optional().describe("Whom the service knows this server as (HTTP Basic)."),
      password: secret.optional().describe("With what."),
      token: secret.optional().describe("In place of both, what it knows this server by (HTTP Bearer)."),
      ca: ca.describe("The file of the authority that signed the service's certificate; else the system's are asked."),
      offers: z
        .array(z.enum(HTTP_OFFERS))
        .min(1)
        .default(["check_password"])
        .meta({ allowed: `list: ${HTTP_OFFERS.map((offer) => `"${offer}"`).join(", ")}` })
        .describe("What the service answers besides `user_exists`."),
      connections: count(10, 1, 500).describe("Requests at the same time."),
      queue: count(500, 1, 100_000).describe("Requests that may wait for their turn; more are refused."),
      timeout: duration("5s", { min: "100ms", max: "1m" }).describe("For each request, waiting for its turn included."),
      cache_entries: cacheEntries,
      answer_size: size("16KiB", { min: "1KiB", max: "1MiB" }).describe("The largest answer."),
      failures: count(5, 1, 1000).describe("Failures in a row after which the service is left in peace for a while."),
      pause: duration("1s", { min: "100ms", max: "1m" }).describe("That while; each one after it is twice as long."),
      longest_pause: duration("30s", { min: "100ms", max: "1h" }).describe("The longest such while."),
    })
    .describe(
      "A company's own service that accounts come from, asked over HTTP; see [authentication.md](authentication.md).",
    ),
]);

const algorithms = Object.keys(TOKEN_ALGORITHMS) as [TokenAlgorithm, ...TokenAlgorithm[]];
const jwt = z
  .strictObject({
    issuer: text.describe("Who makes the tokens: their `iss`."),
    audience: z.array(text).min(1).describe("Whom they are for: their `aud` must have one of these."),
    secret: secret
      .optional()
      .describe("What this server and the issuer sign with, 32 bytes at least. This, or one of the next three keys."),
    public_keys: z.array(text).min(1).max(10).optional().describe("Files of the issuer's public keys, in PEM."),
    jwks_file: text.optional().describe("The file of its key set (RFC 7517). SIGHUP, or a change, reads files again."),
    jwks_url: webUrl.optional().describe("Where its key set is."),
    ca: ca.describe("The file of the authority that signed the certificate there; else the system's are asked."),
    algorithms: z
      .array(z.enum(algorithms))
      .min(1)
      .optional()
      .meta({
        allowed: `list: ${algorithms.map((algorithm) => `"${algorithm}"`).join(", ")}`,
        fallback: "all that fit the keys",
      })
      .describe("Signatures that are accepted; HS… with a secret only, the others with public keys only."),
    claim: text.default("sub").describe("The claim that names the account."),
    form: z.enum(["local", "jid"]).default("local").describe("Whether that is a local part, or a bare JID."),
    scope: text.optional().describe("The scope that a token must have."),
    leeway: duration("30s", { max: "10m" }).describe("By how much the issuer's clock may differ from this one's."),
    account: z
      .enum(["existing", "any"])
      .default("existing")
      .describe(
        "Whether an account must be in one of the stores, or a token is enough; then every name counts as one.",
      ),
    as_password: flag(false).describe("Whether PLAIN takes a token in place of a password."),
    openid_configuration: webUrl
      .optional()
      .describe("What clients without a good token are told to find the issuer by (RFC 7628 3.2.2)."),
    jwks_refresh: duration("1h", { min: "1m", max: "24h" }).describe("The key set is fetched again after so long."),
    jwks_cooldown: duration("30s", { min: "1s", max: "1h" }).describe(
      "And sooner for a key that it does not have, but not more often than this.",
    ),
    jwks_keep: duration("24h", { min: "1m", max: "168h" }).describe(
      "How long it is used for while it cannot be fetched.",
    ),
    jwks_timeout: duration("5s", { min: "100ms", max: "1m" }).describe("For one fetch."),
    jwks_size: size("64KiB", { min: "1KiB", max: "1MiB" }).describe("The largest key set."),
  })
  .meta({ allowed: "a table" });

const anonymous = z
  .strictObject({
    max_per_address: count(5, 1, 100_000).describe("Guests from one client address (IPv6: from its /64), on one node."),
    max_guests: count(1000, 1, 1_000_000).describe("Guests on one node."),
  })
  .meta({ allowed: "a table" });

const hostType = z.strictObject({
  accounts: z
    .array(name)
    .default(["main"])
    .describe(
      "Stores that accounts may come from, asked in this order; new ones go to the first that takes any. May be empty beside `jwt` or `anonymous`.",
    ),
  jwt: jwt.optional().describe("Tokens of an issuer, which let clients in (OAUTHBEARER, RFC 7628)."),
  anonymous: anonymous.optional().describe("Guests: clients without an account, who are let in (ANONYMOUS, RFC 4505)."),
  storage: name.default("main").describe("The store that the modules keep their data in."),
  stores: z
    .record(z.string(), name)
    .default({})
    .meta({ allowed: "a table of store names" })
    .describe('Tables that are kept in another store than that, such as `vcards = "company"`; see storage.md.'),
  password_length: count(8, 1, 256).describe("Characters that a new password has at least."),
  modules: z
    .record(z.string(), z.record(z.string(), z.unknown()))
    .optional()
    .meta({ allowed: "tables", fallback: "every module" })
    .describe("The modules of this type, a table each; see below."),
  without: z.array(z.string()).default([]).describe("Modules that do not run, where `modules` does not say which do."),
});

const limits = z.strictObject({
  max_connections: count(10_000, 1, 1_000_000).describe("Of one listener; more are refused."),
  max_connections_per_address: count(100, 1, 1_000_000).describe(
    "Of one client address (IPv6: of its /64), on all listeners of a node.",
  ),
  stanza_size: size("256KiB", { min: "10000B", max: "16MiB" }).describe(
    "The largest stanza of a client that has logged in (RFC 6120 13.12 wants 10000 bytes at least).",
  ),
  unauthenticated_stanza_size: size("16KiB", { min: "10000B", max: "1MiB" }).describe("The largest one before that."),
  stanza_depth: count(64, 8, 1000).describe("Elements within elements."),
  stanza_attributes: count(64, 8, 1000).describe("Attributes of one element, namespace declarations included."),
  start_tag_size: size("16KiB", { min: "1KiB", max: "1MiB" }).describe("The largest single tag."),
  inbox: count(64, 1, 10_000).describe("Stanzas of one client that wait for a slow one before its socket is paused."),
  backlog: size("4MiB", { min: "64KiB", max: "256MiB" }).describe(
    "What a client may leave unread before it is cut off.",
  ),
  negotiation_timeout: duration("30s", { min: "1s", max: "10m" }).describe("From the connection to a bound resource."),
  tls_timeout: duration("10s", { min: "1s", max: "1m" }).describe("For a TLS handshake."),
  close_timeout: duration("5s", { min: "100ms", max: "1m" }).describe("For the client's answer to the stream's end."),
  rate: size("0B", { min: "0B" }).describe(
    "Bytes a second that a client may send in the long run once it has logged in; 0B for any number. One that sends more is read more slowly, and loses nothing.",
  ),
  burst: size("64KiB").describe("Bytes that it may send at once, where there is a rate."),
  keepalive: duration("5m", { min: "1s", max: "30m" }).describe(
    "How often each TCP stream gets a space (RFC 6120 4.6.1), so that nothing on the way takes it for dead; and shortly before, the system asks a silent peer whether it is still there, and cuts it off if not.",
  ),
  websocket_ping: duration("60s", { min: "1s", max: "1h" }).describe(
    "A WebSocket that is silent for so long is pinged, and cut when it stays silent as long again.",
  ),
  websocket_fragments: count(1024, 1, 100_000).describe("Fragments that a message on a WebSocket may be in."),
  websocket_chunks: count(16_384, 16, 1_000_000).describe("TCP segments that it may arrive in."),
  sasl_message: size("4KiB", { min: "512B", max: "64KiB" }).describe("The largest step of a login."),
  sasl_refusals: count(3, 2, 5).describe(
    "Refused logins after which a stream is closed (RFC 6120 6.4.5); some clients try each mechanism that is offered.",
  ),
  bind_refusals: count(5, 5, 10).describe("Refused resources after which a stream is closed (RFC 6120 7.7.3)."),
  proxy_header_size: size("1KiB", { min: "256B", max: "64KiB" }).describe(
    "The largest PROXY header of a load balancer, version 2 with all it carries.",
  ),
  proxy_header_timeout: duration("5s", { min: "100ms", max: "1m" }).describe("For a PROXY header to arrive."),
  http_header_size: size("8KiB", { min: "1KiB", max: "1MiB" }).describe("The largest head of an HTTP request."),
  http_body_size: size("64KiB", { min: "1KiB", max: "64MiB" }).describe("Its largest body."),
  http_request_timeout: duration("10s", { min: "1s", max: "10m" }).describe(
    "For an HTTP request to arrive; twice as long for the client to read the response.",
  ),
  http_keep_alive: duration("5s", { min: "100ms", max: "10m" }).describe(
    "How long an HTTP connection without a request is kept.",
  ),
  remembered_jids: count(10_000, 0, 10_000_000).describe(
    "Addresses whose parsed form the process remembers; 0 remembers none.",
  ),
});

const scramHashes = (fallback: readonly ScramHash[]) =>
  z
    .array(z.enum(SCRAM_HASHES))
    .min(1)
    .default([...fallback])
    .meta({ allowed: `list: ${SCRAM_HASHES.map((hash) => `"${hash}"`).join(", ")}` });

const auth = z.strictObject({
  scram_iterations: count(10_000, 4096, 10_000_000).describe(
    "Of the SCRAM keys that are made from now on (RFC 7677 wants 4096 at least); a login costs the client as much, and with PLAIN the server.",
  ),
  scram_hashes: scramHashes([...SCRAM_HASHES]).describe(
    "What keys are made for of a new password; an account that lacks some gets them when it logs in with PLAIN.",
  ),
  scram_offered: scramHashes(["sha-1", "sha-256"]).describe(
    "What SCRAM is offered for, of those. An account without keys for it cannot log in by it: see [authentication](authentication.md).",
  ),
  channel_binding: flag(true).describe(
    "Whether SCRAM is offered bound to TLS (-PLUS); false for the sake of clients that can only do it wrong, see [authentication](authentication.md).",
  ),
  failures_per_address: count(10, 0, 1_000_000).describe(
    "Wrong passwords and tokens from one client address in a period, to one node; 0 for any number.",
  ),
  failures_per_account: count(5, 0, 1_000_000).describe("The same for one account, from wherever."),
  failure_period: duration("1m", { min: "1s", max: "24h" }).describe("The period."),
  failures_remembered: count(50_000, 1, 10_000_000).describe(
    "Addresses, and again accounts, whose failures are remembered; beyond it the oldest are forgotten.",
  ),
  hashes_running: count(2, 1, 64).describe(
    "Passwords that are hashed at the same time; they share four threads with files and name look-ups.",
  ),
  hashes_waiting: count(500, 1, 100_000).describe("Passwords that may wait for that; more are refused."),
  tokens_per_account: count(20, 0, 1000).describe(
    "Clients of one account that can have a token, to log in with in place of a password (XEP-0484); beyond it those whose tokens expire first lose them. 0 for no tokens at all.",
  ),
  token_lifetime: duration("21d", { min: "1h", max: "366d" }).describe(
    "How long a token is good for: a client that stays away longer needs its password again.",
  ),
  token_renewal: duration("1d", { min: "1m", max: "366d" }).describe(
    "A token of this age is replaced by a new one when it is used; must be less than `token_lifetime`.",
  ),
  decoy_secret: secret
    .optional()
    .meta({ fallback: "a new one at each start" })
    .describe(
      "The same on all nodes: what is made of it makes an account that does not exist look like one that does. Tokens are made of it too, so that the store alone does not tell them: with another one they are all void. A cluster has to have one.",
    ),
});

const sessions = z.strictObject({
  max_per_account: count(20, 1, 10_000).describe("Resources that one account may have bound at once."),
  replace_timeout: duration("2s", { min: "100ms", max: "1m" }).describe(
    "How long a new session waits for the one it replaces to be gone from another node.",
  ),
  resume_timeout: duration("5m", { max: "24h" }).describe(
    "How long a session whose connection broke waits for its client to come back (XEP-0198); 0 ends it at once.",
  ),
  resume_location: z
    .string()
    .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, { error: 'must be "host:port" or "[address]:port"' })
    .optional()
    .meta({ allowed: '"host:port"' })
    .describe("Where clients come back to, if they can reach this very node there; told to them with their session."),
  resumptions_remembered: count(10_000, 0, 10_000_000).describe(
    "Ended sessions of which the node can still say how much of what their client sent was handled.",
  ),
  unacked_stanzas: count(500, 10, 100_000).describe(
    "Stanzas that a client may leave unacknowledged before those who write to it are held up; with twice as many it is cut off.",
  ),
  unacked_size: size("2MiB", { min: "64KiB", max: "1GiB" }).describe("The same in bytes."),
  unacked_wait: duration("5s", { min: "1ms", max: "1m" }).describe("How long a sender is held up so at most."),
  ack_every: count(10, 1, 10_000).describe("After so many stanzas a client is asked what it has."),
  ack_after: duration("1s", { min: "10ms", max: "1m" }).describe("After so long it is asked in any case."),
  ack_timeout: duration("1m", { min: "1s", max: "1h" }).describe(
    "A client that has not answered by then counts as gone; its session waits to be resumed.",
  ),
  inactive_stanzas: count(100, 0, 10_000).describe(
    "Unimportant stanzas that are held for a client that is not looking (XEP-0352); 0 holds none.",
  ),
});

const listener = {
  host: text.default("127.0.0.1").describe("The local address; `0.0.0.0` or `::` for all of them."),
  port: port.describe("The port; 0 takes a free one, which the log names."),
};
const pace = {
  rate: size("64KiB", { min: "0B" }).describe(
    "Bytes a second that a client may send here in the long run before it has logged in; 0B for any number. After that `limits.rate` counts.",
  ),
  burst: size("64KiB").describe("Bytes that it may send at once, where there is a rate."),
};
const listen = z.discriminatedUnion("kind", [
  z
    .strictObject({
      kind: z.literal("c2s"),
      ...listener,
      tls: z
        .enum(["starttls", "direct", "none"])
        .default("starttls")
        .describe("STARTTLS (RFC 6120 5), TLS from the first byte (XEP-0368), or none at all."),
      client_authorities: text
        .optional()
        .describe(
          "A PEM file of authorities: clients are asked for a certificate that one of them has signed, and may log in with it (EXTERNAL). Without it they are not asked.",
        ),
      tls_required: flag(true).describe("Whether STARTTLS must be used before anything else."),
      ...pace,
      proxy_protocol_from: z
        .array(network)
        .default([])
        .describe("Load balancers, whose PROXY header is required and believed; empty for clients that come directly."),
    })
    .describe("Clients over TCP."),
  z
    .strictObject({
      kind: z.literal("http"),
      ...listener,
      tls: flag(false).describe("HTTPS here; false where a load balancer ends TLS."),
      ...pace,
      forwarded_from: z
        .array(network)
        .default([])
        .describe("Load balancers whose X-Forwarded-For and X-Forwarded-Proto are believed."),
      websocket_path: text
        .startsWith("/", { error: 'must begin with "/"' })
        .default("/ws-xmpp")
        .describe("Where WebSockets are taken (RFC 7395)."),
      websocket_url: text
        .regex(/^wss:\/\//, { error: 'must be such as "wss://{domain}/ws-xmpp"' })
        .optional()
        .meta({ allowed: "a URL", fallback: "the address that was asked" })
        .describe("The address that host-meta tells web clients (XEP-0156), with `{domain}` in place of the domain."),
    })
    .describe("Clients over WebSocket, and host-meta, which leads them there."),
  z
    .strictObject({ kind: z.literal("ops"), ...listener })
    .describe("`/healthz`, `/readyz` and `/metrics`: for the load balancer and the monitoring, never for clients."),
]);

const certificate = z.strictObject({
  certificate: text.describe("The PEM file of the certificate, with those that lead to its authority."),
  key: text.describe("The PEM file of its private key."),
  domains: z
    .array(domainName)
    .optional()
    .meta({ fallback: "the certificate's own names" })
    .describe("The domains it is shown for."),
});

const tls = z.strictObject({
  ticket_secret: secret
    .optional()
    .meta({ fallback: "a new one at each start" })
    .describe(
      "The same on all nodes: a client that comes back, to whichever of them, goes on with its TLS session instead of a whole handshake.",
    ),
  ticket_period: duration("12h", { min: "1m", max: "168h" }).describe(
    "How long one key made of the secret is used; sessions of the keys before it are forgotten.",
  ),
});

const host = z.strictObject({
  domain: domainName.describe("What stands after the @ of its accounts."),
  type: name.default("default").describe("Its host type."),
});

export const schema = z.strictObject({
  node: node.prefault({}).describe("This server process."),
  log: log.prefault({}).describe("What is written down."),
  hosts: z
    .array(host)
    .min(1)
    .max(100_000)
    .prefault([{ domain: "localhost" }])
    .describe("The domains that are served."),
  host_types: z
    .record(name, hostType)
    .prefault({ default: {} })
    .describe("What hosts have in common: where their accounts come from, and which modules they run."),
  listen: z
    .array(listen)
    .min(1)
    .prefault([
      { kind: "c2s", port: 5222 },
      { kind: "c2s", port: 5223, tls: "direct" },
      { kind: "http", port: 5443, tls: true },
      { kind: "ops", port: 9090 },
    ])
    .describe("Where peers come in."),
  certificates: z
    .array(certificate)
    .default([])
    .meta({ fallback: "a self-signed one, kept in `node.data_dir`" })
    .describe("The first is shown to clients that name no domain. SIGHUP reads the files again."),
  tls: tls.prefault({}).describe("TLS sessions."),
  storage: z
    .record(name, storage)
    .prefault({ main: { driver: "sqlite" } })
    .describe("Stores, by the name that host types call them."),
  cluster: cluster.prefault({ kind: "local" }).describe("How the nodes of one server find each other."),
  limits: limits.prefault({}).describe("What peers may use up."),
  auth: auth.prefault({}).describe("Passwords, and those who guess them."),
  sessions: sessions.prefault({}).describe("Bound resources."),
});

/** The whole configuration, checked: durations in milliseconds, sizes in bytes, secrets read. */
export type Config = z.output<typeof schema>;
export type StorageConfig = Config["storage"][string];
export type ListenConfig = Config["listen"][number];
export type HostTypeConfig = Config["host_types"][string];
