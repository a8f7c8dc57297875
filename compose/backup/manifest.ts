/** What a set says about itself, and whether what was restored, or lies on the disk, is what it says. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/** How many rows a table has, and a sum over them that does not depend on their order. */
export interface TableSum {
  readonly rows: number;
  readonly sum: string;
}

export type Tables = Readonly<Record<string, TableSum>>;

export interface FileEntry {
  /** Below the part's folder. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface Part {
  /** What the store says it is. */
  readonly version: string;
  /** The moment that the counts are of, ISO 8601. */
  readonly at: string;
  /** True when the counts are of exactly what the set restores; false when the store was written to in between. */
  readonly exact: boolean;
  readonly tables: Tables;
  /** Counted again after the dump, where that is how exactness is known: a restored table may be as either says. */
  readonly later?: Tables | undefined;
  /** PostgreSQL's place in the write-ahead log. */
  readonly log?: LogPlace | undefined;
  readonly files: readonly FileEntry[];
  readonly seconds: number;
}

export interface LogPlace {
  /** What to replay to; the counts are of this very place. */
  readonly lsn: string;
  readonly timeline: number;
  /** The first segment that the base backup needs. */
  readonly first: string;
  /** The folder of the log that goes on from here. */
  readonly chain: string;
}

export interface Manifest {
  readonly format: 1;
  readonly set: string;
  readonly started: string;
  readonly seconds: number;
  readonly parts: Readonly<Record<string, Part>>;
  /** The stores that failed, with their words; such a set is incomplete. */
  readonly failed?: Readonly<Record<string, string>>;
}

export async function readManifest(folder: string): Promise<Manifest> {
  const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as Manifest;
  if (manifest.format !== 1) throw new Error(`${folder}: a manifest of format ${String(manifest.format)}`);
  return manifest;
}

/** Every file below a folder with its size and SHA-256, in the order of their names. */
export async function describeFiles(folder: string): Promise<FileEntry[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name).slice(folder.length + 1));
  const entries: FileEntry[] = [];
  for (const path of paths.sort()) {
    const file = join(folder, path);
    entries.push({ path, size: (await stat(file)).size, sha256: await sha256(file) });
  }
  return entries;
}

/** What is wrong with the files of a set, a sentence each: missing, of another size, changed, or not in the manifest. */
export async function fileFaults(folder: string, manifest: Manifest): Promise<string[]> {
  const faults: string[] = [];
  for (const [store, { files }] of Object.entries(manifest.parts)) {
    const present = new Map(
      (await describeFiles(join(folder, store)).catch(() => [])).map((each) => [each.path, each]),
    );
    for (const { path, size, sha256 } of files) {
      const found = present.get(path);
      present.delete(path);
      if (found === undefined) faults.push(`${store}/${path} is missing`);
      else if (found.size !== size) faults.push(`${store}/${path} has ${found.size} bytes instead of ${size}`);
      else if (found.sha256 !== sha256) faults.push(`${store}/${path} has been changed: its SHA-256 is another one`);
    }
    for (const path of present.keys()) faults.push(`${store}/${path} is not in the manifest`);
  }
  return faults;
}

export interface Difference {
  readonly table: string;
  readonly wanted: TableSum | undefined;
  readonly found: TableSum | undefined;
}

/** The tables in which the restored store is not what the manifest says. */
export function differences({ tables, later = {} }: Pick<Part, "tables" | "later">, found: Tables): Difference[] {
  const names = new Set([...Object.keys(tables), ...Object.keys(found)]);
  return [...names].sort().flatMap((table) => {
    const [wanted, then, is] = [tables[table], later[table], found[table]];
    const agrees = equal(is, wanted) || (then !== undefined && (equal(is, then) || between(is, wanted, then)));
    return agrees ? [] : [{ table, wanted, found: is }];
  });
}

export function rowsOf(tables: Tables): number {
  return Object.values(tables).reduce((total, { rows }) => total + rows, 0);
}

export function bytesOf({ files }: Part): number {
  return files.reduce((total, { size }) => total + size, 0);
}

function equal(one: TableSum | undefined, other: TableSum | undefined): boolean {
  return one?.rows === other?.rows && one?.sum === other?.sum;
}

/** A table that was written to while it was dumped has a count between the two, and a sum that nobody knows. */
function between(is: TableSum | undefined, wanted: TableSum | undefined, then: TableSum): boolean {
  if (is === undefined || equal(wanted, then)) return false;
  const rows = wanted?.rows ?? 0;
  return is.rows >= Math.min(rows, then.rows) && is.rows <= Math.max(rows, then.rows);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
