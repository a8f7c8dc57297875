/** What the service remembers over restarts: when it began, how the last runs and drills went. Metrics are made of it. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface RunReport {
  readonly set: string;
  readonly at: string;
  readonly seconds: number;
  /** By store: what it took, or why it failed. */
  readonly stores: Readonly<Record<string, StoreReport>>;
  readonly removed: readonly string[];
}

export type StoreReport =
  | { readonly bytes: number; readonly rows: number; readonly seconds: number; readonly exact: boolean }
  | { readonly error: string };

export interface DrillReport {
  readonly at: string;
  readonly set: string;
  readonly ok: boolean;
  readonly seconds: number;
  /** Of the newest restored commit. */
  readonly ageSeconds: number;
}

export interface State {
  /** When this folder got its first service; what has never happened is late from then on. */
  readonly since: string;
  readonly lastRun?: RunReport;
  readonly lastSuccess?: RunReport;
  /** By store. */
  readonly failures: Readonly<Record<string, number>>;
  readonly lastDrill?: DrillReport;
  readonly lastGoodDrill?: DrillReport;
  readonly drills?: { readonly ok: number; readonly failed: number };
}

export class StateFile {
  #state: State;
  readonly #file: string;

  /** A state that cannot be read is begun anew, since it must not keep a backup from being taken. */
  constructor(folder: string, now: Date) {
    this.#file = join(folder, "state.json");
    this.#state = { since: now.toISOString(), failures: {} };
    try {
      this.#state = { ...this.#state, ...(JSON.parse(readFileSync(this.#file, "utf8")) as State) };
    } catch {
      this.#write();
    }
  }

  get value(): State {
    return this.#state;
  }

  ran(report: RunReport): void {
    const failed = Object.entries(report.stores).filter(([, each]) => "error" in each);
    const failures = { ...this.#state.failures };
    for (const [store] of failed) failures[store] = (failures[store] ?? 0) + 1;
    const success = failed.length === 0 ? { lastSuccess: report } : {};
    this.#state = { ...this.#state, lastRun: report, failures, ...success };
    this.#write();
  }

  drilled(report: DrillReport): void {
    const { ok = 0, failed = 0 } = this.#state.drills ?? {};
    const drills = report.ok ? { ok: ok + 1, failed } : { ok, failed: failed + 1 };
    this.#state = { ...this.#state, lastDrill: report, drills, ...(report.ok ? { lastGoodDrill: report } : {}) };
    this.#write();
  }

  /** On a full disk the state lives on in memory only. */
  #write(): void {
    try {
      writeFileSync(`${this.#file}.next`, `${JSON.stringify(this.#state, undefined, 2)}\n`);
      renameSync(`${this.#file}.next`, this.#file);
    } catch (error) {
      console.error(JSON.stringify({ level: "error", what: "state.not-written", error: String(error) }));
    }
  }
}

/** When the next run is due: an interval after the last good one, sooner after one that failed, never at once. */
export function nextRun(state: State, now: number, intervalMs: number, soonestMs: number): number {
  const good = state.lastSuccess === undefined ? Number.NEGATIVE_INFINITY : Date.parse(state.lastSuccess.at);
  const last = state.lastRun === undefined ? Number.NEGATIVE_INFINITY : Date.parse(state.lastRun.at);
  const again = last > good ? last + Math.min(intervalMs, RETRY_MS) : good + intervalMs;
  return Math.max(again, now + soonestMs);
}

const RETRY_MS = 30 * 60_000;
