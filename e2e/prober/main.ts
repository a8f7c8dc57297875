import { enter } from "../lib/topology.ts";
import { startProber } from "./prober.ts";
import { readSettings } from "./settings.ts";

const say = (fields: Readonly<Record<string, unknown>>) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), ...fields }));

const settings = readSettings(process.env);
enter(settings.target.site);
// What a client library lets fall must not end the watch; the path it belongs to is reported by its walk.
process.on("unhandledRejection", (error) => say({ level: "error", what: "prober.failed", error: String(error) }));
const prober = await startProber(settings, say);
say({ level: "info", what: "prober.started", port: prober.port, intervalMs: settings.intervalMs });
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    say({ level: "info", what: "prober.stopping", signal });
    void prober.stop().then(() => process.exit(0));
  });
}
