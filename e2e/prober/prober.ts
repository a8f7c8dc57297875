/** Walks every client path again and again and tells Prometheus: what users see, from where users are. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Gauge, Registry } from "prom-client";
import { PATHS } from "./paths.ts";
import type { ProberSettings } from "./settings.ts";
import { type Outcome, walkAll } from "./walk.ts";

export interface Prober {
  readonly port: number;
  /** Cuts the walk under way and closes the metrics' port. */
  stop(): Promise<void>;
}

/** Settles when the metrics can be read; `say` is told of each path that has begun or ceased to work. */
export async function startProber(
  { target, intervalMs, listenPort }: ProberSettings,
  say: (fields: Readonly<Record<string, unknown>>) => void,
): Promise<Prober> {
  const registry = new Registry();
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ["path"], registers: [registry] });
  const success = gauge("xmpp_probe_success", "1 when the client path worked the last time, else 0.");
  const duration = gauge("xmpp_probe_duration_seconds", "How long the last walk of the path took, failed or not.");
  const last = gauge("xmpp_probe_last_success_timestamp_seconds", "When the path last worked; 0 for not yet.");
  const expiry = gauge("xmpp_probe_certificate_expiry_seconds", "When the certificate on the path ends, as Unix time.");
  for (const { name } of PATHS) last.set({ path: name }, 0);

  const worked = new Map<string, boolean>();
  const tell = (started: number) => (outcome: Outcome) => {
    const path = outcome.path.name;
    const ok = "probed" in outcome;
    success.set({ path }, ok ? 1 : 0);
    duration.set({ path }, ok ? outcome.probed.seconds : (performance.now() - started) / 1000);
    if (ok) last.set({ path }, Date.now() / 1000);
    if (ok && outcome.probed.certificateEnd) expiry.set({ path }, outcome.probed.certificateEnd.getTime() / 1000);
    if (worked.get(path) === ok) return;
    worked.set(path, ok);
    if (ok) say({ level: "info", what: "probe.works", path, nodes: outcome.probed.nodes, note: outcome.probed.note });
    else say({ level: "error", what: "probe.fails", path, error: outcome.error.message, remedy: outcome.path.remedy });
  };

  const stopping = new AbortController();
  let round: Promise<void> = Promise.resolve();
  let busy = false;
  const begin = () => {
    // A slow round is not overtaken by the next one.
    if (busy) return;
    busy = true;
    const { signal } = stopping;
    round = walkAll(target, (outcome) => signal.aborted || tell(started)(outcome), signal).finally(
      () => (busy = false),
    );
    const started = performance.now();
  };

  const server = createServer((request, response) => {
    const reply = (status: number, type: string, body: string) =>
      response.writeHead(status, { "content-type": type }).end(body);
    if (request.method !== "GET" && request.method !== "HEAD") reply(405, "text/plain", "GET only\n");
    else if (request.url === "/healthz") reply(200, "text/plain", "ok\n");
    else if (request.url === "/metrics") {
      registry.metrics().then(
        (text) => reply(200, registry.contentType, text),
        (error: unknown) => reply(500, "text/plain", `${String(error)}\n`),
      );
    } else reply(404, "text/plain", "/metrics or /healthz\n");
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(listenPort, resolve));
  begin();
  const timer = setInterval(begin, intervalMs);
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      clearInterval(timer);
      stopping.abort(new Error("stopping"));
      await round;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
