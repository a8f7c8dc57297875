/**
 * PostgreSQL: a base backup, the write-ahead log from its start to a place after its end, and counts of that very place. The log
 * is linked from what the receiver has, so a set restores by itself, and with the receiver's folder to any later moment.
 */
import { copyFile, link, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "./child.ts";
import type { Tables } from "./manifest.ts";
import { Psql } from "./psql.ts";
import type { Settings } from "./settings.ts";
import type { Taken, Taking } from "./taking.ts";

const SUMS = join(import.meta.dirname, "postgres-sums.sql");
/** How long a moment is looked for in which nobody is writing. */
const QUIET_MS = 20_000;
const RECEIVED_MS = 60_000;

export async function takePostgres({ settings, set, folder, receiver, signal }: Taking): Promise<Taken> {
  const chain = await receiver.chain(signal);
  await run(
    "pg_basebackup",
    // Without the log: the receiver has it.
    [
      "-d",
      settings.postgres,
      "-D",
      folder,
      "-F",
      "tar",
      "-X",
      "none",
      "-c",
      "fast",
      "-l",
      set,
      "--compress=client-zstd:1",
    ],
    { env: { PGPASSFILE: passFile(settings) }, signal },
  );
  const first = await firstSegment(folder);
  const psql = new Psql(settings.postgres, passFile(settings));
  try {
    const [version = ""] = await psql.row("SHOW server_version;");
    // A commit of our own, so that what is restored has a commit as new as the set.
    await psql.rows("SELECT 1 FROM pg_logical_emit_message(true, 'backup', 'taken');");
    const place = await quietPlace(psql, signal);
    const tables = await countTables(psql);
    await psql.rows("COMMIT;");
    // A replay stops at the first record beyond its target, so there must be one.
    const [beyond = ""] = await psql.row("SELECT pg_logical_emit_message(false, 'backup', 'counted', true);");
    await received(psql, beyond, signal);
    if ((await receiver.chain(signal)) !== chain) throw new Error("the log was cut while the base backup was taken");
    await keepLog(join(settings.folder, "wal", chain), join(folder, "wal"), first, segment(beyond, place.timeline));
    const { at, exact, lsn, timeline } = place;
    return { version, at, exact, tables, log: { lsn, timeline, first, chain } };
  } finally {
    psql.close();
  }
}

/** Counts of the database as it is now. */
export async function countPostgres(settings: Settings): Promise<Tables> {
  const psql = new Psql(settings.postgres, passFile(settings));
  try {
    await psql.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    return await countTables(psql);
  } finally {
    psql.close();
  }
}

export function passFile({ runFolder }: Settings): string {
  return join(runFolder, "pgpass");
}

/** Three columns a line: table, rows, sum. */
export function asTables(rows: readonly (readonly string[])[]): Tables {
  return Object.fromEntries(rows.map(([table = "", count, sum = ""]) => [table, { rows: Number(count), sum }]));
}

async function countTables(psql: Psql): Promise<Tables> {
  return asTables(await psql.rows(`\\i ${SUMS}`));
}

interface Place {
  readonly lsn: string;
  readonly timeline: number;
  readonly at: string;
  readonly exact: boolean;
}

/**
 * Begins a transaction whose snapshot is of a known place in the log: one in which all commits before that place are seen, and
 * none after it. It is when nothing was written to the log around the snapshot and no other transaction that writes was open in
 * it: neither in its list, nor begun after the last one that has ended, which is known by our own number being the next. A commit
 * is in the log before others see it, hence the care. Another transaction is tried until that is so; on a server that never
 * has such a moment the place is near the snapshot, not exact.
 */
async function quietPlace(psql: Psql, signal: AbortSignal): Promise<Place> {
  const end = performance.now() + QUIET_MS;
  for (;;) {
    const [before] = await psql.row("SELECT pg_current_wal_insert_lsn();");
    await psql.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    const [quiet, lsn = "", file = "", at = ""] = await psql.row(
      `SELECT pg_current_xact_id() = pg_snapshot_xmax(s) AND NOT EXISTS (SELECT 1 FROM pg_snapshot_xip(s)), place,
        pg_walfile_name(place), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        FROM (SELECT pg_current_snapshot() AS s, pg_current_wal_insert_lsn() AS place) AS one;`,
    );
    const exact = quiet === "t" && before === lsn;
    if (exact || performance.now() > end) return { lsn, timeline: Number.parseInt(file.slice(0, 8), 16), at, exact };
    await psql.rows("ROLLBACK;");
    await delay(2, undefined, { signal });
  }
}

/** Where the log begins that a base backup needs, by what pg_basebackup wrote beside it. */
async function firstSegment(folder: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(folder, "backup_manifest"), "utf8")) as {
    "WAL-Ranges": { Timeline: number; "Start-LSN": string }[];
  };
  const [range] = manifest["WAL-Ranges"];
  if (range === undefined) throw new Error("the base backup does not say where it began");
  return segment(range["Start-LSN"], range.Timeline);
}

/** Until the receiver has the log up to a place. */
async function received(psql: Psql, lsn: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + RECEIVED_MS;
  while (
    (await psql.row(`SELECT restart_lsn >= '${lsn}' FROM pg_replication_slots WHERE slot_name = 'backup';`))[0] !== "t"
  ) {
    if (performance.now() > end) throw new Error(`the log receiver has not come to ${lsn} in ${RECEIVED_MS / 1000} s`);
    await delay(100, undefined, { signal });
  }
}

/** Segments that are whole are linked, since they never change; the one that is being written is copied. */
async function keepLog(from: string, to: string, first: string, last: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(from)) {
    const history = name.endsWith(".history");
    if (!history && (name.slice(8, 24) < first.slice(8, 24) || name.slice(8, 24) > last.slice(8, 24))) continue;
    if (name.endsWith(".partial")) await copyFile(join(from, name), join(to, name));
    else await link(join(from, name), join(to, name));
  }
}

/** The segment of the log, of 16 MiB, that a place is in. */
export function segment(lsn: string, timeline: number): string {
  const [high = "", low = ""] = lsn.split("/");
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, "0");
  return hex(timeline) + hex(Number.parseInt(high, 16)) + hex(Number.parseInt(low, 16) >>> 24);
}
