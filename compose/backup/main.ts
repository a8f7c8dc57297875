import { serve } from "./service.ts";
import { prepareSecrets, readSettings } from "./settings.ts";

const say = (fields: Readonly<Record<string, unknown>>) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), ...fields }));

const settings = readSettings(process.env);
prepareSecrets(settings);
const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    say({ level: "info", what: "backup.stopping", signal });
    stopping.abort(new Error("the service is stopping"));
  });
}
await serve(settings, say, stopping.signal);
