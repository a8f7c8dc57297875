/** Takes a set: every store's part aside, the manifest last, then one rename; what fails leaves the older sets alone. */
import { mkdir, readdir, rename, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bytesOf, describeFiles, type Manifest, type Part, readManifest, rowsOf } from "./manifest.ts";
import { takeMariadb } from "./mariadb.ts";
import { takeOpenldap } from "./openldap.ts";
import { takePostgres } from "./postgres.ts";
import type { Receiver } from "./receiver.ts";
import { isWhole, listSets, prune, setName, TAKING } from "./sets.ts";
import type { Settings, Store } from "./settings.ts";
import type { RunReport, StoreReport } from "./state.ts";
import type { Take } from "./taking.ts";

const TAKES: Readonly<Record<Store, Take>> = {
  postgres: takePostgres,
  mariadb: takeMariadb,
  openldap: takeOpenldap,
};

/** A set must find this many times the size of the last one free. */
const ROOM = 1.1;

export interface Surroundings {
  readonly settings: Settings;
  readonly receiver: Receiver;
  readonly signal: AbortSignal;
  readonly takes?: Readonly<Partial<Record<Store, Take>>>;
}

/** Rejects only when nothing of the set could be kept; a store that failed is told in the report. */
export async function takeSet({ settings, receiver, signal, takes = TAKES }: Surroundings): Promise<RunReport> {
  const started = new Date();
  const set = setName(started);
  const sets = join(settings.folder, "sets");
  const aside = join(sets, TAKING + set);
  await mkdir(sets, { recursive: true });
  await removeLeftovers(sets);
  await mkdir(aside);
  const parts: Record<string, Part> = {};
  const failed: Record<string, string> = {};
  try {
    for (const store of settings.stores) {
      const folder = join(aside, store);
      const began = performance.now();
      try {
        await enoughRoom(settings, store);
        await mkdir(folder);
        const taken = await takes[store]?.({ settings, set, folder, receiver, signal });
        if (taken === undefined) continue;
        const files = await describeFiles(folder);
        parts[store] = { ...taken, files, seconds: round((performance.now() - began) / 1000) };
      } catch (error) {
        failed[store] = error instanceof Error ? error.message : String(error);
        // Room for the others, and for the log.
        await rm(folder, { recursive: true, force: true });
      }
    }
    const seconds = round((Date.now() - started.getTime()) / 1000);
    const manifest: Manifest = { format: 1, set, started: started.toISOString(), seconds, parts };
    const removed = await keep(settings, aside, failed, manifest, receiver.current);
    return { set, at: started.toISOString(), seconds, stores: { ...reports(parts), ...errors(failed) }, removed };
  } catch (error) {
    // A full disk, most likely, which leaves no room for a manifest either.
    for (const store of settings.stores) failed[store] ??= error instanceof Error ? error.message : String(error);
    await rm(aside, { recursive: true, force: true });
    return {
      set,
      at: started.toISOString(),
      seconds: round((Date.now() - started.getTime()) / 1000),
      stores: errors(failed),
      removed: [],
    };
  }
}

async function keep(
  settings: Settings,
  aside: string,
  failed: Readonly<Record<string, string>>,
  manifest: Manifest,
  chain: string | undefined,
): Promise<string[]> {
  if (Object.keys(manifest.parts).length === 0) {
    await rm(aside, { recursive: true, force: true });
    return [];
  }
  const whole = Object.keys(failed).length === 0;
  const name = whole ? manifest.set : `${manifest.set}.incomplete`;
  const written: Manifest = whole ? manifest : { ...manifest, failed };
  await writeFile(join(aside, "manifest.json"), `${JSON.stringify(written, undefined, 2)}\n`, { flush: true });
  await rename(aside, join(settings.folder, "sets", name));
  return prune(settings.folder, settings.keep, name, chain);
}

/** What a service that was killed left of its last attempt. */
async function removeLeftovers(sets: string): Promise<void> {
  for (const name of await readdir(sets))
    if (name.startsWith(TAKING)) await rm(join(sets, name), { recursive: true, force: true });
}

async function enoughRoom({ folder }: Settings, store: string): Promise<void> {
  const last = (await listSets(folder)).filter(isWhole).at(-1);
  const part = last === undefined ? undefined : (await readManifest(join(folder, "sets", last))).parts[store];
  if (part === undefined) return;
  const { bavail, bsize } = await statfs(folder);
  const needed = Math.ceil(bytesOf(part) * ROOM);
  if (bavail * bsize < needed) throw new Error(`${bavail * bsize} bytes are free in ${folder}, ${needed} are needed`);
}

function reports(parts: Readonly<Record<string, Part>>): Record<string, StoreReport> {
  return Object.fromEntries(
    Object.entries(parts).map(([store, part]) => [
      store,
      { bytes: bytesOf(part), rows: rowsOf(part.tables), seconds: part.seconds, exact: part.exact },
    ]),
  );
}

function errors(failed: Readonly<Record<string, string>>): Record<string, StoreReport> {
  return Object.fromEntries(Object.entries(failed).map(([store, error]) => [store, { error }]));
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
