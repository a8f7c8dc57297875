/** The sets on the disk: their names, which of them are kept, and which of the log. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Manifest, readManifest } from "./manifest.ts";

const NAME = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(\.incomplete)?$/;
/** What a set is called until it is whole. */
export const TAKING = ".taking-";
const SEGMENT = /^[0-9A-F]{24}(\.partial)?$/;

/** A set's name: when it was begun, to the second, in a form that sorts and that every file system takes. */
export function setName(at: Date): string {
  return at
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(":", "-");
}

/** The sets in a folder, oldest first; those that lack a store come too, with `.incomplete` at the end of their names. */
export async function listSets(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, "sets")).catch(() => [] as string[]);
  return names.filter((name) => NAME.test(name)).sort();
}

export function isWhole(set: string): boolean {
  return !set.endsWith(".incomplete");
}

/** The sets to remove once `newest` is there. A new set that lacks a store takes the place of an older such one only. */
export function superfluous(sets: readonly string[], keep: number, newest: string): string[] {
  const incomplete = sets.filter((set) => !isWhole(set) && set !== newest);
  if (!isWhole(newest)) return incomplete;
  const whole = sets.filter(isWhole);
  return [...incomplete, ...whole.slice(0, Math.max(0, whole.length - keep))];
}

/** The log's segments that no set needs: those before the oldest first one. Timelines count for nothing in this order. */
export function needlessSegments(names: readonly string[], oldestFirst: string | undefined): string[] {
  if (oldestFirst === undefined) return [];
  return names.filter((name) => SEGMENT.test(name) && name.slice(8, 24) < oldestFirst.slice(8, 24));
}

/** Removes superfluous sets, then what they alone needed of the log. `current` is the chain that is being written. */
export async function prune(
  folder: string,
  keep: number,
  newest: string,
  current: string | undefined,
): Promise<string[]> {
  const removed = superfluous(await listSets(folder), keep, newest);
  for (const set of removed) await rm(join(folder, "sets", set), { recursive: true, force: true });
  if (isWhole(newest)) await pruneLog(folder, current);
  return removed;
}

async function pruneLog(folder: string, current: string | undefined): Promise<void> {
  const manifests: Manifest[] = [];
  for (const set of await listSets(folder)) manifests.push(await readManifest(join(folder, "sets", set)));
  const places = manifests.flatMap(({ parts }) => Object.values(parts)).flatMap(({ log }) => log ?? []);
  for (const chain of await readdir(join(folder, "wal")).catch(() => [] as string[])) {
    const path = join(folder, "wal", chain);
    const firsts = places.filter((place) => place.chain === chain).map(({ first }) => first);
    if (firsts.length === 0 && chain !== current) {
      await rm(path, { recursive: true, force: true });
      continue;
    }
    const oldest = firsts.sort((a, b) => (a.slice(8) < b.slice(8) ? -1 : 1))[0];
    for (const name of needlessSegments(await readdir(path), oldest)) await rm(join(path, name), { force: true });
  }
}
