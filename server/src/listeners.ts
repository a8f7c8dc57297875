/** The doors of a node: what each configured listener speaks, and to whom it hands what comes in. */

import { hostMeta } from "./api/host-meta.ts";
import { ClientStream } from "./c2s/client-stream.ts";
import { bind, legacySession } from "./c2s/features/bind.ts";
import { channelBinding } from "./c2s/features/channel-binding.ts";
import { clientState } from "./c2s/features/client-state.ts";
import { sasl } from "./c2s/features/sasl.ts";
import { sasl2 } from "./c2s/features/sasl2.ts";
import { noStartTls, startTls } from "./c2s/features/starttls.ts";
import { streamManagement } from "./c2s/features/stream-management.ts";
import { Login } from "./c2s/login.ts";
import type { ClientServices, ListenerPolicy } from "./c2s/services.ts";
import { ConfigError } from "./config/load.ts";
import type { Config, ListenConfig } from "./config/schema.ts";
import type { Tally } from "./net/address.ts";
import { type HttpHandler, listenHttp } from "./net/http.ts";
import { listenTcp } from "./net/listener.ts";
import type { ShaperOptions } from "./net/shaper.ts";
import type { Certificates } from "./net/tls.ts";
import type { Transport } from "./net/transport.ts";
import { webSocketUpgrade } from "./net/websocket.ts";
import type { Health } from "./observe/health.ts";
import type { Metrics } from "./observe/metrics.ts";

/** An open door. */
export interface Door {
  readonly kind: ListenConfig["kind"];
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Lets nobody new in; those who are in stay. */
  close(): Promise<void>;
}

export interface Behind {
  readonly config: Config;
  /** None where no listener speaks TLS. */
  readonly certificates: Certificates | undefined;
  readonly services: ClientServices;
  /** What each client address holds on all listeners. */
  readonly perAddress: Tally;
}

type C2sConfig = Extract<ListenConfig, { kind: "c2s" }>;
type HttpConfig = Extract<ListenConfig, { kind: "http" }>;
type OpsConfig = Extract<ListenConfig, { kind: "ops" }>;

export async function openC2s(
  listen: C2sConfig,
  { config, certificates, services, perAddress }: Behind,
): Promise<Door> {
  const { limits } = config;
  const policy = policyOf(config, services, {
    withoutTls: listen.tls === "none" || !listen.tls_required,
    startTls: listen.tls === "starttls",
    required: listen.tls_required,
  });
  const listener = await listenTcp({
    host: listen.host,
    port: listen.port,
    tls: listen.tls,
    certificates: askingClients(listen, config, certificates),
    proxyProtocol: proxyProtocolOf(listen, config),
    maxConnections: limits.max_connections,
    perAddress,
    handshakeTimeoutMs: limits.tls_timeout,
    closeTimeoutMs: limits.close_timeout,
    maxBacklogBytes: limits.backlog,
    // Before the stream's own white space: what waits for an answer keeps the system from asking.
    keepAliveMs: 0.9 * limits.keepalive,
    shaper: shaperOf(listen),
    accept: (transport) => welcome(transport, services, policy),
    refused: ({ reason, address, detail }) => services.log.info("connection.refused", { reason, address, detail }),
  });
  return door("c2s", listener, listener.address);
}

/** Throws a ConfigError for authorities that cannot be read. */
function askingClients(listen: C2sConfig, config: Config, certificates: Certificates | undefined) {
  if (listen.client_authorities === undefined) return certificates;
  try {
    return certificates?.asking(listen.client_authorities);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`listen.${config.listen.indexOf(listen)}.client_authorities: ${reason}; mend the file`]);
  }
}

export async function openHttp(
  listen: HttpConfig,
  { config, certificates, services, perAddress }: Behind,
): Promise<Door> {
  const { limits } = config;
  const policy = policyOf(config, services, { withoutTls: false, startTls: false, required: true });
  const upgrade = webSocketUpgrade({
    maxMessageBytes: limits.stanza_size,
    maxBacklogBytes: limits.backlog,
    closeTimeoutMs: limits.close_timeout,
    pingIntervalMs: limits.websocket_ping,
    shaper: shaperOf(listen),
    maxConnections: limits.max_connections,
    perAddress,
    maxFragments: limits.websocket_fragments,
    maxChunks: limits.websocket_chunks,
    accept: (transport) => welcome(transport, services, policy),
  });
  const listener = await listenHttp({
    host: listen.host,
    port: listen.port,
    certificates: listen.tls ? certificates : undefined,
    trusted: listen.forwarded_from,
    routes: hostMeta(services.hosts, { path: listen.websocket_path, url: listen.websocket_url }),
    upgrades: new Map([[listen.websocket_path, upgrade]]),
    ...httpLimitsOf(config),
    failed: (error) => services.log.error("http.failed", { error }),
  });
  return door("http", listener, listener.address);
}

/** Health and metrics, for the load balancer and the operators: never to be reached by clients. */
export async function openOps(listen: OpsConfig, config: Config, health: Health, metrics: Metrics): Promise<Door> {
  const text = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  const routes = new Map<string, HttpHandler>([
    ["GET /healthz", () => ({ status: 200, headers: text, body: "ok\n" })],
    [
      "GET /readyz",
      () => {
        const { status, text: body } = health.readiness();
        return { status, headers: text, body: `${body}\n` };
      },
    ],
    [
      "GET /metrics",
      async () => ({
        status: 200,
        headers: { ...text, "content-type": "text/plain; version=0.0.4; charset=utf-8" },
        body: await metrics.render(),
      }),
    ],
  ]);
  const listener = await listenHttp({ host: listen.host, port: listen.port, routes, ...httpLimitsOf(config) });
  return door("ops", listener, listener.address);
}

function welcome(transport: Transport, services: ClientServices, policy: ListenerPolicy): void {
  services.streams.add(new ClientStream(transport, services, policy));
}

function policyOf(
  { limits }: Config,
  services: ClientServices,
  tls: { readonly withoutTls: boolean; readonly startTls: boolean; readonly required: boolean },
): ListenerPolicy {
  const login = new Login({
    withoutTls: tls.withoutTls,
    limits: { messageBytes: limits.sasl_message, refusals: limits.sasl_refusals },
    logins: services.logins,
    accountsOf: services.accountsOf,
  });
  return {
    limits: {
      negotiationTimeoutMs: limits.negotiation_timeout,
      closeTimeoutMs: limits.close_timeout,
      maxUnauthenticatedBytes: limits.unauthenticated_stanza_size,
      maxInbox: limits.inbox,
      shaper: shaperOf(limits),
      xml: {
        maxStanzaBytes: limits.stanza_size,
        maxDepth: limits.stanza_depth,
        maxAttributes: limits.stanza_attributes,
        maxTagBytes: limits.start_tag_size,
      },
    },
    features: [
      tls.startTls ? startTls({ required: tls.required }) : noStartTls,
      sasl(login),
      sasl2(login, services.log),
      channelBinding(login),
      streamManagement,
      bind({ refusals: limits.bind_refusals }),
      legacySession,
      clientState,
    ],
  };
}

function httpLimitsOf({ limits }: Config) {
  return {
    maxConnections: limits.max_connections,
    maxHeaderBytes: limits.http_header_size,
    maxBodyBytes: limits.http_body_size,
    requestTimeoutMs: limits.http_request_timeout,
    keepAliveMs: limits.http_keep_alive,
    closeTimeoutMs: limits.close_timeout,
  };
}

function proxyProtocolOf({ proxy_protocol_from: from }: C2sConfig, { limits }: Config) {
  if (from.length === 0) return undefined;
  return { from, timeoutMs: limits.proxy_header_timeout, maxBytes: limits.proxy_header_size };
}

function shaperOf({ rate, burst }: ShaperOptions): ShaperOptions | undefined {
  return rate === 0 ? undefined : { rate, burst };
}

function door(
  kind: Door["kind"],
  listener: { readonly connections: number; close(): Promise<void> },
  address: { readonly address: string; readonly port: number },
): Door {
  return {
    kind,
    host: address.address,
    port: address.port,
    get connections() {
      return listener.connections;
    },
    close: () => listener.close(),
  };
}
