/**
 * The admin command in the service's container.
 *
 *   backup now                             takes a set, through the running service; exits 1 when a store failed
 *   backup list                            the sets, with their sizes
 *   backup newest                          the newest whole set's name
 *   backup manifest SET                    its manifest
 *   backup verify SET                      whether its files are what the manifest says
 *   backup unpack SET TARGET               PostgreSQL's data directory from the set, in /var/lib/postgresql/17
 *   backup read SET FILE                   a compressed file of the set, to standard output
 *   backup live                            counts of the stores as they are now
 *   backup drilled                         notes how a restore drill went, JSON on standard input
 */
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { bytesOf, fileFaults, readManifest, rowsOf, type Tables } from "./manifest.ts";
import { countMariadb } from "./mariadb.ts";
import { countOpenldap } from "./openldap.ts";
import { countPostgres } from "./postgres.ts";
import { controlSocket } from "./service.ts";
import { isWhole, listSets } from "./sets.ts";
import { readSettings, type Settings, type Store } from "./settings.ts";
import type { RunReport } from "./state.ts";
import { bytes, table } from "./table.ts";
import { readOut, unpackPostgres } from "./unpack.ts";

const settings = readSettings(process.env);
const folderOf = (set: string) => join(settings.folder, "sets", set);

const COMMANDS: Readonly<Record<string, (...args: string[]) => Promise<number | undefined>>> = {
  now: takeNow,
  list,
  async newest() {
    const set = (await listSets(settings.folder)).filter(isWhole).at(-1);
    if (set === undefined) throw new Error("there is no whole set yet; make backup takes one");
    console.log(set);
    return 0;
  },
  async manifest(set = "") {
    console.log(JSON.stringify(await readManifest(folderOf(set))));
    return 0;
  },
  async verify(set = "") {
    const faults = await fileFaults(folderOf(set), await readManifest(folderOf(set)));
    for (const fault of faults) console.log(fault);
    return faults.length === 0 ? 0 : 1;
  },
  async unpack(set = "", target = "set") {
    const part = (await readManifest(folderOf(set))).parts.postgres;
    if (part === undefined) throw new Error(`${set} has no PostgreSQL`);
    await unpackPostgres(settings.folder, set, part, target, "/var/lib/postgresql/17");
    return 0;
  },
  async read(set = "", file = "") {
    await readOut(join(folderOf(set), file));
    return 0;
  },
  async live() {
    console.log(JSON.stringify(await live(settings)));
    return 0;
  },
  async drilled() {
    await ask("/drill", await text(process.stdin));
    return 0;
  },
};

async function takeNow(): Promise<number> {
  const report = JSON.parse(await ask("/take", "")) as RunReport;
  const rows = Object.entries(report.stores).map(([store, each]) =>
    "error" in each
      ? [store, "-", "-", "-", `FAILED: ${each.error}`]
      : [
          store,
          bytes(each.bytes),
          String(each.rows),
          each.seconds.toFixed(1),
          each.exact ? "" : "written to meanwhile",
        ],
  );
  console.log(table(["store", "size", "rows", "seconds", ""], rows));
  const failed = rows.some(([, , , , note]) => note?.startsWith("FAILED"));
  console.log(`${report.set}${failed ? ".incomplete" : ""} in ${report.seconds.toFixed(1)} s`);
  for (const set of report.removed) console.log(`removed ${set}`);
  return failed ? 1 : 0;
}

async function list(): Promise<number> {
  const rows: string[][] = [];
  for (const set of await listSets(settings.folder)) {
    const { parts } = await readManifest(folderOf(set));
    const total = Object.values(parts).reduce((sum, part) => sum + bytesOf(part), 0);
    const stores = Object.entries(parts).map(([store, part]) => `${store} ${rowsOf(part.tables)}`);
    rows.push([set, bytes(total), stores.join(", ")]);
  }
  console.log(table(["set", "size", "rows"], rows));
  return 0;
}

/** Counts of each store; null for one that does not answer. */
async function live(of: Settings): Promise<Record<string, Tables | null>> {
  const count: Readonly<Record<Store, (of: Settings) => Promise<Tables>>> = {
    postgres: countPostgres,
    mariadb: countMariadb,
    openldap: countOpenldap,
  };
  const counted = of.stores.map(async (store) => [store, await count[store](of).catch(() => null)] as const);
  return Object.fromEntries(await Promise.all(counted));
}

/** What the running service answers; rejects with its words when it refuses. */
function ask(path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: controlSocket(settings), path, method: "POST" }, (response) => {
      text(response).then(
        (answer) => (response.statusCode === 200 ? resolve(answer) : reject(new Error(answer.trim()))),
        reject,
      );
    });
    asked.on("error", (error) => reject(new Error(`the backup service does not answer: ${error.message}`)));
    asked.end(body);
  });
}

const [name = "", ...args] = process.argv.slice(2);
const command = COMMANDS[name];
if (command === undefined) {
  console.error(`backup ${Object.keys(COMMANDS).join("|")}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await command(...args);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
