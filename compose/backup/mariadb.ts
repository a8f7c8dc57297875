/** MariaDB: a dump of one snapshot. Counted before and after, so that it is known whether anybody wrote meanwhile. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run, runInto } from "./child.ts";
import { differences, type Tables } from "./manifest.ts";
import { asTables } from "./postgres.ts";
import type { Settings } from "./settings.ts";
import type { Taken, Taking } from "./taking.ts";

const SUMS = join(import.meta.dirname, "mariadb-sums.sql");
const DATABASE = "meerkat";

export async function takeMariadb({ settings, folder, signal }: Taking): Promise<Taken> {
  const version = (await mariadb(settings, "SELECT VERSION()")).trim();
  const tables = await countMariadb(settings);
  const at = new Date().toISOString();
  // Nothing here has triggers or routines. Binary columns are written in hexadecimal, so no character set can touch them.
  const options = ["--single-transaction", "--quick", "--skip-triggers", "--hex-blob", "--skip-lock-tables"];
  await runInto(join(folder, "meerkat.sql.zst"), "mariadb-dump", [optionFile(settings), ...options, DATABASE], {
    signal,
  });
  const later = await countMariadb(settings);
  const exact = differences({ tables }, later).length === 0;
  return { version, at, exact, tables, later: exact ? undefined : later };
}

/** Counts of the database as it is now. */
export async function countMariadb(settings: Settings): Promise<Tables> {
  const statements = await mariadb(settings, await readFile(SUMS, "utf8"));
  if (statements.trim() === "") return {};
  const begin = "SET time_zone = '+00:00'; START TRANSACTION WITH CONSISTENT SNAPSHOT;\n";
  const lines = (await mariadb(settings, begin + statements)).trim().split("\n");
  return asTables(lines.map((line) => line.split("\t")));
}

async function mariadb(settings: Settings, input: string): Promise<string> {
  const options = [optionFile(settings), "--batch", "--raw", "--skip-column-names", DATABASE];
  return (await run("mariadb", options, { input })).stdout;
}

function optionFile({ runFolder }: Settings): string {
  return `--defaults-file=${join(runFolder, "my.cnf")}`;
}
