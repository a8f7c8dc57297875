/** The service's metrics, in Prometheus' text format. */

import type { Lag } from "./receiver.ts";
import type { Settings } from "./settings.ts";
import type { State, StoreReport } from "./state.ts";

export interface Shown {
  readonly settings: Settings;
  readonly state: State;
  readonly lag: Lag;
  readonly running: boolean;
  readonly sets: number;
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export function metrics({ settings, state, lag, running, sets }: Shown): string {
  const text: string[] = [];
  const family = (name: string, type: "gauge" | "counter", help: string, samples: readonly Sample[]) => {
    if (samples.length === 0) return;
    text.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) text.push(`${name}${written(labels)} ${value}`);
  };
  const gauge = (name: string, help: string, value: number | undefined) =>
    family(name, "gauge", help, value === undefined ? [] : [[{}, value]]);
  const perStore = (report: Readonly<Record<string, StoreReport>>, value: (of: StoreReport) => number | undefined) =>
    Object.entries(report).flatMap(([store, each]): Sample[] => {
      const number = value(each);
      return number === undefined ? [] : [[{ store }, number]];
    });
  const { lastRun, lastSuccess, lastDrill, lastGoodDrill, drills } = state;
  const good = lastSuccess?.stores ?? {};

  gauge("backup_since_timestamp_seconds", "When the backup folder got its first service.", unix(state.since));
  gauge("backup_interval_seconds", "How often a backup is taken.", settings.intervalMs / 1000);
  gauge("backup_running", "1 while a backup is being taken.", running ? 1 : 0);
  gauge("backup_sets", "Whole sets that are kept.", sets);
  gauge(
    "backup_last_success_timestamp_seconds",
    "When the last whole set was begun; 0 for never.",
    unix(lastSuccess?.at),
  );
  gauge(
    "backup_last_run_timestamp_seconds",
    "When the last set was begun, whole or not; 0 for never.",
    unix(lastRun?.at),
  );
  gauge("backup_last_duration_seconds", "How long the last whole set took.", lastSuccess?.seconds);
  family(
    "backup_last_run_success",
    "gauge",
    "1 when the store was taken by the last run, else 0.",
    perStore(lastRun?.stores ?? {}, (each) => ("error" in each ? 0 : 1)),
  );
  family(
    "backup_failures_total",
    "counter",
    "Runs that could not take the store.",
    settings.stores.map((store) => [{ store }, state.failures[store] ?? 0]),
  );
  family(
    "backup_store_size_bytes",
    "gauge",
    "Size of the store's part in the last whole set.",
    perStore(good, (each) => ("bytes" in each ? each.bytes : undefined)),
  );
  family(
    "backup_store_rows",
    "gauge",
    "Rows or entries of the store in the last whole set.",
    perStore(good, (each) => ("rows" in each ? each.rows : undefined)),
  );
  family(
    "backup_store_duration_seconds",
    "gauge",
    "How long the store's part of the last whole set took.",
    perStore(good, (each) => ("seconds" in each ? each.seconds : undefined)),
  );
  gauge("backup_wal_receiving", "1 while PostgreSQL says that its log is being received.", lag.receiving ? 1 : 0);
  gauge(
    "backup_wal_lag_bytes",
    "How much of the log PostgreSQL has and the backup has not; absent when it does not say.",
    lag.bytes,
  );
  gauge("backup_drill_interval_seconds", "How often a restore drill is expected.", settings.drillIntervalMs / 1000);
  gauge("backup_drill_timestamp_seconds", "When the last restore drill was begun; 0 for never.", unix(lastDrill?.at));
  gauge(
    "backup_drill_last_success_timestamp_seconds",
    "When the last restore drill that agreed was begun; 0 for never.",
    unix(lastGoodDrill?.at),
  );
  gauge(
    "backup_drill_success",
    "1 when the last restore drill agreed, 0 when not; absent before the first.",
    lastDrill === undefined ? undefined : Number(lastDrill.ok),
  );
  gauge("backup_drill_duration_seconds", "How long the last restore drill took.", lastDrill?.seconds);
  gauge(
    "backup_drill_data_age_seconds",
    "How old the newest restored commit was in the last restore drill.",
    lastDrill?.ageSeconds,
  );
  family("backup_drills_total", "counter", "Restore drills by how they ended.", [
    [{ result: "ok" }, drills?.ok ?? 0],
    [{ result: "failed" }, drills?.failed ?? 0],
  ]);
  return `${text.join("\n")}\n`;
}

function written(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function unix(at: string | undefined): number {
  return at === undefined ? 0 : Date.parse(at) / 1000;
}
