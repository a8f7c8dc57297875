/** PostgreSQL from a set: unpacked, the log replayed, counted. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tables } from "../../compose/backup/manifest.ts";
import { asTables } from "../../compose/backup/postgres.ts";
import { backupCommand, docker, image, inVolume, ready, type Site, start } from "./docker.ts";

const DATA = "/var/lib/postgresql/17";
const SUMS = join(import.meta.dirname, "../../compose/backup/postgres-sums.sql");
/** Replaying a day's log of a busy server takes minutes. */
const REPLAY_MS = 60 * 60_000;

export interface Restored {
  readonly tables: Tables;
  /** When the newest commit in it was made; undefined when that is not known. */
  readonly newest: Date | undefined;
}

/** Starts a server on the volume, which must be empty, recovered to the target; its container's name is the answer. */
export async function startPostgres(site: Site, volumeName: string, set: string, target: string): Promise<string> {
  const mount = ["-v", `${volumeName}:/var/lib/postgresql`];
  // Root in this one container, without a network: the backups are one user's, the data directory another's.
  const rights = ["--user", "0:0", "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"];
  await docker(backupCommand(site, ["unpack", set, target], [...mount, ...rights]));
  const container = await start(site, {
    name: "postgres",
    image: image(site, "postgres"),
    options: [
      ...mount,
      "--tmpfs",
      "/run/postgresql:mode=0700,uid=10011,gid=10011",
      "--tmpfs",
      "/tmp:mode=1777",
      "--shm-size",
      "64m",
      "--user",
      "10011:10011",
    ],
    entrypoint: "postgres",
    command: ["-D", DATA, "-c", `config_file=${DATA}/restore.conf`],
  });
  // Not accepting connections before the recovery is done: see restore.conf.
  await ready(
    container,
    ["psql", "-h", "/run/postgresql", "-U", "postgres", "-d", "meerkat", "-Atqc", "SELECT 1"],
    REPLAY_MS,
  );
  return container;
}

export async function countedPostgres(container: string): Promise<Restored> {
  const psql = (sql: string) =>
    docker(
      [
        "exec",
        "-i",
        container,
        "psql",
        "-X",
        "-q",
        "-At",
        "-F",
        "\t",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "/run/postgresql",
        "-U",
        "postgres",
        "-d",
        "meerkat",
      ],
      sql,
    );
  const lines = (await psql(readFileSync(SUMS, "utf8"))).split("\n").filter((line) => line !== "");
  const newest = (
    await psql(
      "SELECT to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"');",
    )
  ).trim();
  return {
    tables: asTables(lines.map((line) => line.split("\t"))),
    newest: newest === "" ? undefined : new Date(newest),
  };
}

/** Ends the recovered server in good order, and removes what was there for the recovery only. */
export async function keepPostgres(site: Site, container: string, volumeName: string): Promise<void> {
  await docker(["stop", "--signal", "SIGINT", "--time", "300", container]);
  const exit = (await docker(["inspect", "--format", "{{.State.ExitCode}}", container])).trim();
  if (exit !== "0") throw new Error(`the recovered PostgreSQL ended with ${exit}: docker logs ${container}`);
  await docker(["rm", container]);
  const leftovers = ["restored_wal", "restore.conf", "restore_hba.conf"].map((name) => `${DATA}/${name}`);
  await inVolume(image(site, "postgres"), volumeName, "/var/lib/postgresql", ["rm", "-rf", ...leftovers]);
}
