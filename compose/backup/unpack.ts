/** Lays a set's part out where a database server will find it. */
import { spawn } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { lastWords, run } from "./child.ts";
import type { Part } from "./manifest.ts";

/** "set": to the place that the manifest's counts are of; "latest": as far as the log goes; else a moment, ISO 8601. */
export type Target = string;

/** Where in the data directory the log to replay waits. */
const WAL = "restored_wal";

/**
 * Makes PostgreSQL's data directory from a base backup, with the log and a configuration to recover by, all of it the owner's of
 * the folder above. The server that starts on it replays the log, ends the recovery and takes its own user by the socket only.
 */
export async function unpackPostgres(
  backups: string,
  set: string,
  part: Part,
  target: Target,
  into: string,
): Promise<void> {
  const { log } = part;
  if (log === undefined) throw new Error(`${set} does not say where in the log it is`);
  if ((await readdir(into).catch(() => [])).length > 0) throw new Error(`${into} is not empty`);
  await mkdir(into, { recursive: true, mode: 0o700 });
  await untar(join(backups, "sets", set, "postgres/base.tar.zst"), into);
  const wal = join(into, WAL);
  await mkdir(wal);
  await mkdir(join(into, "pg_wal"), { recursive: true, mode: 0o700 });
  if (target !== "set") await copyLog(join(backups, "wal", log.chain), wal, log.first);
  // The set's own last: where the receiver's folder is damaged, the set still has what it promises.
  await copyLog(join(backups, "sets", set, "postgres/wal"), wal, log.first);
  await writeFile(join(into, "restore.conf"), recoveryConfiguration(into, log, target));
  await writeFile(join(into, "restore_hba.conf"), "local all all peer\n");
  await writeFile(join(into, "recovery.signal"), "");
  const owner = await stat(dirname(into));
  await run("chown", ["-R", `${owner.uid}:${owner.gid}`, into]);
}

async function untar(archive: string, into: string): Promise<void> {
  const child = spawn("tar", ["-x", "--no-same-owner", "-C", into], { stdio: ["pipe", "inherit", "pipe"] });
  const words = lastWords(child);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  await pipeline(createReadStream(archive), createZstdDecompress(), child.stdin);
  if ((await ended) !== 0) throw new Error(`tar could not unpack ${archive}: ${words()}`);
}

/** The segment that was still being written has `.partial` at the end of its name, and no recovery looks for such a one. */
async function copyLog(from: string, to: string, first: string): Promise<void> {
  const names = (await readdir(from).catch(() => [] as string[])).sort();
  for (const name of names) {
    const segment = name.replace(/\.partial$/, "");
    if (!name.endsWith(".history") && name.slice(8, 24) < first.slice(8, 24)) continue;
    // On a whole segment beside its own beginning, the whole one counts, which sorts first.
    const whole = name !== segment && (names.includes(segment) || existsSync(join(to, segment)));
    if (!whole) await copyFile(join(from, name), join(to, segment));
  }
}

export function recoveryConfiguration(into: string, log: NonNullable<Part["log"]>, target: Target): string {
  const lines = [
    `restore_command = 'cp ${into}/${WAL}/%f "%p"'`,
    "recovery_target_action = 'promote'",
    // Takes nobody before it is done, and so need not be as large as the server it comes from.
    "hot_standby = off",
    "listen_addresses = ''",
    "unix_socket_directories = '/run/postgresql'",
    `hba_file = '${into}/restore_hba.conf'`,
    "max_connections = 20",
    "shared_buffers = '64MB'",
    "max_wal_size = '1GB'",
    "log_destination = 'stderr'",
    "logging_collector = off",
    "archive_mode = off",
    "ssl = off",
  ];
  if (target === "set")
    lines.push(
      // Up to the first record that begins there or later, on the history that the set was taken on.
      `recovery_target_lsn = '${log.lsn}'`,
      "recovery_target_inclusive = off",
      `recovery_target_timeline = '${log.timeline}'`,
    );
  else {
    lines.push("recovery_target_timeline = 'latest'");
    if (target !== "latest") lines.push(`recovery_target_time = '${moment(target)}'`);
  }
  return `${lines.join("\n")}\n`;
}

/** A moment with its offset, so that no server's time zone has a say. */
export function moment(text: string): string {
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`;
  const at = new Date(zoned.replace(" ", "T"));
  if (Number.isNaN(at.getTime())) throw new Error(`"${text}" is no time such as 2026-01-31T12:00:00Z`);
  return at.toISOString().replace("T", " ").replace("Z", "+00");
}

/** A compressed file of a set, to standard output. */
export async function readOut(file: string): Promise<void> {
  await pipeline(createReadStream(file), createZstdDecompress(), process.stdout);
}
