/**
 * `make restore`: puts a set into the volumes of the datacenter, which must not be running. What was in them is moved aside, never
 * removed. PostgreSQL goes to TIME, or as far as its log goes; the other stores to what the set has.
 */
import { type Manifest, rowsOf, type Tables } from "../compose/backup/manifest.ts";
import { readSettings } from "../compose/backup/settings.ts";
import { moment } from "../compose/backup/unpack.ts";
import { backupCommand, docker, image, inVolume, siteOf, sweep } from "./restore/docker.ts";
import { countedMariadb, keepMariadb, loadMariadb, startMariadb } from "./restore/mariadb.ts";
import { countedOpenldap, keepOpenldap, startOpenldap } from "./restore/openldap.ts";
import { countedPostgres, keepPostgres, startPostgres } from "./restore/postgres.ts";
import { volumesOf } from "./restore/volumes.ts";

const site = siteOf(process.env);
const { base } = readSettings({}).ldap;
const set = process.env.SET ?? "";
const target = process.env.TIME || "latest";
const say = (text: string) => console.log(`restore    ${text}`);
const stamp = new Date()
  .toISOString()
  .replace(/\.\d+Z$/, "Z")
  .replaceAll(":", "-");

/** Moves PostgreSQL's data into a folder of their volume: they may be large. */
async function moveAside(volumeName: string): Promise<void> {
  const at = "/var/lib/postgresql";
  const keep = `${at}/before-restore-${stamp}`;
  const move = `if [ -e ${at}/17 ]; then mkdir -m 0700 ${keep} && mv ${at}/17 ${keep}/; fi`;
  await inVolume(image(site, "postgres"), volumeName, at, ["sh", "-c", move]);
}

/** Moves what is in a volume into one of its own: the others' entrypoints clear a volume that they find half made. */
async function copyAside(store: string, volumeName: string, at: string): Promise<void> {
  const aside = `${volumeName}-before-restore-${stamp}`;
  await docker(["volume", "create", aside]);
  const copy = `cp -a /from/. ${at}/ && find /from -mindepth 1 -delete`;
  await inVolume(image(site, store), aside, at, ["sh", "-c", copy], ["-v", `${volumeName}:/from`]);
}

const RESTORES: Readonly<Record<string, (volumes: readonly string[]) => Promise<Tables>>> = {
  // The first server gets the data, the second copies them when it finds nothing, and etcd must know nothing of either.
  async postgres([first = "", ...others]) {
    for (const each of [first, ...others]) await moveAside(each);
    for (const each of await volumesOf(site, "etcd")) await docker(["volume", "rm", "--force", each]);
    const container = await startPostgres(site, first, set, target);
    const { tables, newest } = await countedPostgres(container);
    await keepPostgres(site, container, first);
    say(`postgres is as of its commit of ${newest?.toISOString() ?? "an unknown time"}`);
    return tables;
  },
  async mariadb([volumeName = ""]) {
    await copyAside("mariadb", volumeName, "/var/lib/mysql");
    const container = await startMariadb(site, volumeName);
    await loadMariadb(site, container, set);
    const tables = await countedMariadb(container);
    await keepMariadb(container);
    return tables;
  },
  async openldap([first = "", ...others]) {
    for (const each of [first, ...others]) await copyAside("openldap", each, "/var/lib/ldap");
    const container = await startOpenldap(site, set, base, first);
    const tables = await countedOpenldap(container, base);
    await keepOpenldap(container);
    return tables;
  },
};

async function restore(): Promise<void> {
  if (target !== "latest" && target !== "set") moment(target);
  const { parts } = JSON.parse(await docker(backupCommand(site, ["manifest", set]))) as Manifest;
  const stores = Object.keys(parts).filter((store) => !process.env.ONLY || process.env.ONLY === store);
  if (stores.length === 0) throw new Error(`${set} has ${Object.keys(parts).join(", ")}, not ${process.env.ONLY}`);
  await docker(backupCommand(site, ["verify", set]));
  say(`the files of ${set} are as its manifest says`);
  for (const store of stores) {
    const volumes = await volumesOf(site, store);
    if (volumes.length === 0) throw new Error(`nothing in the compose files is ${store}`);
    const tables = await RESTORES[store]?.(volumes);
    if (tables === undefined) throw new Error(`nothing here restores ${store}`);
    say(
      `${store}: ${rowsOf(tables)} rows in ${volumes[0]}; what was there is kept under the name before-restore-${stamp}`,
    );
  }
}

sweep(site);
try {
  await restore();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  sweep(site);
}
