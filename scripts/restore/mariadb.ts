/** MariaDB from a set: a server of its own image, and the dump read into it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tables } from "../../compose/backup/manifest.ts";
import { asTables } from "../../compose/backup/postgres.ts";
import { docker, image, loadInto, ready, type Site, start } from "./docker.ts";

const SUMS = join(import.meta.dirname, "../../compose/backup/mariadb-sums.sql");
/** What the image's entrypoint and configuration ask for, and where it is kept. */
const SECRETS: Readonly<Record<string, string>> = {
  mariadb_password: "mariadb_password",
  mariadb_root_password: "mariadb_root_password",
  mariadb_backup_password: "mariadb_backup_password",
  mysqld_exporter_password: "mysqld_exporter_password",
  mariadb_tls_cert: "tls/mariadb.pem",
  mariadb_tls_key: "tls/mariadb.key",
};
const CLIENT = ["--socket=/run/mysqld/mysqld.sock", "--user=root"];

export async function startMariadb(site: Site, volumeName: string): Promise<string> {
  const secrets = Object.entries(SECRETS).flatMap(([name, file]) => [
    "-v",
    `${site.secrets}/${file}:/run/secrets/${name}:ro`,
  ]);
  const mounts = [
    "-v",
    `${volumeName}:/var/lib/mysql`,
    "--tmpfs",
    "/run/mysqld:mode=0700,uid=10016,gid=10016",
    "--tmpfs",
    "/tmp:mode=1777",
  ];
  const container = await start(site, {
    name: "mariadb",
    image: image(site, "mariadb"),
    options: [...mounts, ...secrets],
  });
  await ready(container, ["mariadb-admin", ...CLIENT, "--silent", "ping"], 120_000);
  return container;
}

/** Reads the set's dump into a server, whose database is empty or is emptied by it. */
export async function loadMariadb(site: Site, container: string, set: string): Promise<void> {
  await loadInto(site, set, "mariadb/meerkat.sql.zst", [container, "mariadb", ...CLIENT, "meerkat"]);
}

export async function countedMariadb(container: string): Promise<Tables> {
  const mariadb = (sql: string) =>
    docker(["exec", "-i", container, "mariadb", ...CLIENT, "--batch", "--raw", "--skip-column-names", "meerkat"], sql);
  const statements = await mariadb(readFileSync(SUMS, "utf8"));
  if (statements.trim() === "") return {};
  const lines = (await mariadb(`SET time_zone = '+00:00';\n${statements}`)).trim().split("\n");
  return asTables(lines.map((line) => line.split("\t")));
}

/** Ends the server in good order. */
export async function keepMariadb(container: string): Promise<void> {
  await docker(["stop", "--time", "120", container]);
  await docker(["rm", container]);
}
