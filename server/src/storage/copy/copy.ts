/** Moves all that one store holds into another, and proves that it is there. */
import type { Capability, Contents } from "../specs.ts";
import { type Persistence, persistently } from "./persistence.ts";
import { pages } from "./reader.ts";
import { Tallies, type Tally } from "./tally.ts";

/** How far a copy has come: kept after each page, so that it can go on from there. */
export interface CopyState {
  /** What it is a copy of; another source begins anew. */
  readonly source: string;
  readonly capabilities: readonly Capability[];
  /** Where each capability goes on; null for one that is finished. */
  readonly places: Readonly<Record<string, string | null>>;
  /** What has been copied, by table. */
  readonly copied: Readonly<Record<string, Tally>>;
  /** Records there were in the source at the beginning, by table. */
  readonly totals: Readonly<Record<string, number>>;
}

export interface StateStore {
  load(): Promise<CopyState | undefined>;
  save(state: CopyState): Promise<void>;
}

/** Told of records as they are read, copied or compared. */
export type Progress = (step: "counting" | "copying" | "comparing", capability: Capability, records: number) => void;

export interface Job extends Persistence {
  readonly capabilities: readonly Capability[];
  readonly progress: Progress;
}

/** Records by table, found by reading them all. */
export async function countAll(from: Contents, job: Job): Promise<Record<string, number>> {
  const tallies = new Tallies();
  for (const capability of job.capabilities) {
    for await (const { records } of pages(from, capability, undefined, job)) {
      for (const record of records) tallies.add(record);
      job.progress("counting", capability, records.length);
    }
  }
  return Object.fromEntries(Object.entries(tallies.toJSON()).map(([table, { count }]) => [table, count]));
}

/** Copies what the state says is still to come. Returns the state at the end. Rejects with the signal's reason when it is given. */
export async function copyAll(
  from: Contents,
  to: Contents,
  state: CopyState,
  store: StateStore,
  job: Job,
): Promise<CopyState> {
  const tallies = new Tallies(state.copied);
  const places = { ...state.places };
  for (const capability of job.capabilities) {
    if (places[capability] === null) continue;
    for await (const { records, next } of pages(from, capability, places[capability] ?? undefined, job)) {
      await persistently(job, () => to.write(records));
      for (const record of records) tallies.add(record);
      places[capability] = next ?? null;
      const reached = { ...state, places: { ...places }, copied: tallies.toJSON() };
      await persistently(job, () => store.save(reached));
      job.progress("copying", capability, records.length);
      job.signal.throwIfAborted();
    }
  }
  return { ...state, places, copied: tallies.toJSON() };
}

/** What dies sooner than this is not compared: it may be there when one side is read, and gone when the other is. */
const COMPARED_LIFETIME = 3_600_000;

/** Reads both sides to the end. */
export async function tallyBoth(
  from: Contents,
  to: Contents,
  job: Job,
): Promise<{ readonly source: Record<string, Tally>; readonly target: Record<string, Tally> }> {
  const horizon = job.now() + COMPARED_LIFETIME;
  const tally = async (
    contents: Contents,
    tallies: Tallies,
    progress: Progress | undefined,
    capability: Capability,
  ) => {
    for await (const { records } of pages(contents, capability, undefined, job)) {
      for (const record of records) {
        if (record.capability !== "expiring" || record.expires > horizon) tallies.add(record);
      }
      progress?.("comparing", capability, records.length);
    }
  };
  const [source, target] = [new Tallies(), new Tallies()];
  for (const capability of job.capabilities) {
    await Promise.all([tally(from, source, job.progress, capability), tally(to, target, undefined, capability)]);
  }
  return { source: source.toJSON(), target: target.toJSON() };
}
