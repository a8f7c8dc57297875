/**
 * `make restore-drill`: restores a set into fresh containers without a network and compares what is in them with what the source
 * had. Never touches the datacenter, and leaves nothing behind. SET names another set than the newest, TIME a moment of
 * PostgreSQL's log, or "latest", and ONLY one store.
 */
import { differences, type Manifest, type Part, rowsOf, type Tables } from "../compose/backup/manifest.ts";
import { readSettings } from "../compose/backup/settings.ts";
import { span, table } from "../compose/backup/table.ts";
import { backupCommand, docker, makeVolume, siteOf, sweep } from "./restore/docker.ts";
import { countedMariadb, loadMariadb, startMariadb } from "./restore/mariadb.ts";
import { countedOpenldap, startOpenldap } from "./restore/openldap.ts";
import { countedPostgres, type Restored, startPostgres } from "./restore/postgres.ts";

interface Outcome {
  readonly store: string;
  readonly part: Part;
  readonly seconds: number;
  readonly restored?: Restored;
  /** Why it does not agree, a line each; empty when it does. */
  readonly faults: readonly string[];
}

const site = siteOf(process.env);
const { base } = readSettings({}).ldap;
const began = new Date();
const target = process.env.TIME || "set";
const say = (text: string) => console.log(`drill      ${text}`);

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.once(signal, () => {
    say(`${signal}: removing what was started`);
    sweep(site);
    process.exit(code);
  });

/** Each restores a store and says what is in it. */
const RESTORES: Readonly<Record<string, (set: string) => Promise<Restored>>> = {
  async postgres(set) {
    return countedPostgres(await startPostgres(site, await makeVolume(site, "postgres"), set, target));
  },
  async mariadb(set) {
    const container = await startMariadb(site, await makeVolume(site, "mariadb"));
    await loadMariadb(site, container, set);
    return { tables: await countedMariadb(container), newest: undefined };
  },
  async openldap(set) {
    return { tables: await countedOpenldap(await startOpenldap(site, set, base), base), newest: undefined };
  },
};

async function drill(): Promise<boolean> {
  const set = process.env.SET || (await docker(backupCommand(site, ["newest"]))).trim();
  const manifest = JSON.parse(await docker(backupCommand(site, ["manifest", set]))) as Manifest;
  say(`restoring ${set}, begun ${span((Date.now() - Date.parse(manifest.started)) / 1000)} ago`);
  const parts = Object.entries(manifest.parts).filter(([store]) => !process.env.ONLY || process.env.ONLY === store);
  if (parts.length === 0) {
    throw new Error(`${set} has ${Object.keys(manifest.parts).join(", ")}, not ${process.env.ONLY}`);
  }
  const damage = await filesOf(set);
  const outcomes = await Promise.all(parts.map(([store, part]) => restore(set, store, part, damage)));
  const ok = outcomes.every(({ faults }) => faults.length === 0);
  show(outcomes, await liveCounts());
  await tell(set, ok, outcomes);
  return ok;
}

/** Files that are not as the manifest says. Their stores are not restored: nothing good can come of them. */
async function filesOf(set: string): Promise<readonly string[]> {
  const said = await docker(backupCommand(site, ["verify", set])).catch((error: Error) => error.message);
  if (said === "") return [];
  const faults = said.split("\n").flatMap((line) => /(?:^|ended with 1: )(\w+\/.+)$/.exec(line)?.[1] ?? []);
  if (faults.length === 0) throw new Error(said);
  return faults;
}

async function restore(set: string, store: string, part: Part, damage: readonly string[]): Promise<Outcome> {
  const started = performance.now();
  const after = () => (performance.now() - started) / 1000;
  const damaged = damage.filter((fault) => fault.startsWith(`${store}/`));
  if (damaged.length > 0) return { store, part, seconds: 0, faults: damaged };
  try {
    const restored = await RESTORES[store]?.(set);
    if (restored === undefined) return { store, part, seconds: 0, faults: [`nothing here restores ${store}`] };
    say(`${store} restored and read in ${span(after())}`);
    const compared = store === "postgres" && target !== "set" ? [] : differences(part, restored.tables);
    return {
      store,
      part,
      restored,
      seconds: after(),
      faults: compared.map(
        (each) =>
          `${each.table}: ${inWords(each.found)} restored, ${inWords(each.wanted)} in the set${part.exact ? "" : ", which was written to while it was taken"}`,
      ),
    };
  } catch (error) {
    return { store, part, seconds: after(), faults: [error instanceof Error ? error.message : String(error)] };
  }
}

function inWords(found: { readonly rows: number; readonly sum: string } | undefined): string {
  return found === undefined ? "nothing" : `${found.rows} rows (sum ${found.sum})`;
}

/** The container of the backup service, where it runs. */
async function runningService(): Promise<string | undefined> {
  const labels = [`com.docker.compose.project=${site.project}`, "com.docker.compose.service=backup"];
  const ids = await docker(["ps", "-q", ...labels.flatMap((each) => ["--filter", `label=${each}`])]);
  return ids.split("\n")[0] || undefined;
}

/** What the running stores have now, where they run. */
async function liveCounts(): Promise<Readonly<Record<string, Tables | null>>> {
  const id = await runningService();
  if (id === undefined) return {};
  return JSON.parse(await docker(["exec", id, "backup", "live"]).catch(() => "{}")) as Record<string, Tables | null>;
}

function show(outcomes: readonly Outcome[], live: Readonly<Record<string, Tables | null>>): void {
  const rows = outcomes.map(({ store, part, seconds, restored, faults }) => {
    const now = live[store];
    return [
      store,
      restored === undefined ? "-" : String(Object.keys(restored.tables).length),
      restored === undefined ? "-" : String(rowsOf(restored.tables)),
      String(rowsOf(part.tables)),
      now ? String(rowsOf(now)) : "-",
      seconds.toFixed(1),
      span(ageOf({ part, restored }) / 1000),
      faults.length > 0 ? "DIFFERS" : store === "postgres" && target !== "set" ? `as of ${target}` : "agrees",
    ];
  });
  console.log(table(["store", "tables", "restored", "in the set", "live now", "seconds", "age", ""], rows));
  for (const { store, faults } of outcomes) for (const fault of faults) console.log(`${store}: ${fault}`);
  for (const { restored } of outcomes)
    if (restored?.newest !== undefined)
      say(
        `the newest restored commit is ${span((began.getTime() - restored.newest.getTime()) / 1000)} old (${restored.newest.toISOString()})`,
      );
}

/** How old the data are: since the newest commit, or else since the dump. */
function ageOf({ part, restored }: { readonly part: Part; readonly restored?: Restored | undefined }): number {
  return Math.max(0, began.getTime() - (restored?.newest?.getTime() ?? Date.parse(part.at)));
}

/** Tells the service, whose metrics say how the last drill went. A drill of something chosen proves nothing about the newest set. */
async function tell(set: string, ok: boolean, outcomes: readonly Outcome[]): Promise<void> {
  if (process.env.SET || process.env.TIME || process.env.ONLY) return;
  const report = {
    at: began.toISOString(),
    set,
    ok,
    seconds: (Date.now() - began.getTime()) / 1000,
    ageSeconds: Math.max(0, ...outcomes.map(ageOf)) / 1000,
  };
  const id = await runningService();
  if (id === undefined) return say("the backup service does not run, so no metric tells of this drill");
  await docker(["exec", "-i", id, "backup", "drilled"], JSON.stringify(report)).catch((error: Error) =>
    say(`the service was not told: ${error.message}`),
  );
}

let ok = false;
sweep(site);
try {
  ok = await drill();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  await tell(process.env.SET ?? "", false, []);
} finally {
  sweep(site);
}
say(`${ok ? "all stores agree" : "FAILED"}, after ${span((Date.now() - began.getTime()) / 1000)}`);
process.exitCode = ok ? 0 : 1;
