/** `meerkatctl storage copy`: moves all that one store of the configuration holds into another, and proves that it is there. */
import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "../auth/stores.ts";
import type { Config, StorageConfig } from "../config/schema.ts";
import { silentLog } from "../observe/log.ts";
import type { Capability } from "../storage/specs.ts";
import { type Group, type Options, Unfinished, UsageError } from "./command.ts";
import { statusOn } from "./progress.ts";
import { type Side, StoreCopy, type Surroundings } from "./store-copy.ts";

export const STORAGE_USAGE = `usage: meerkatctl storage copy --from NAME --to NAME [OPTION …]

  Copies all records of one store into another, over what is there under the same names, then reads
  both and compares counts and checksums. NAME is a store of the configuration: [storage.NAME].
  The target's tables are made or upgraded first. What was interrupted goes on where it was when the
  same command is given again. Nodes that write to the source are to be stopped before.

  --dry-run        counts what would be copied, and says what stands in its way; writes nothing
  --only LIST      these capabilities alone, with commas: accounts, keyValue, map, archive, queue, expiring
  --restart        begins anew, whatever an earlier copy has done
  --patience TIME  seconds that a store is tried again when it does not answer; default 120

The server's configuration is the file named by MEERKAT_CONFIG.
`;

const DEFAULT_PATIENCE = 120;
const LONGEST_PATIENCE = 86_400;

export const storageGroup: Group = {
  usage: STORAGE_USAGE,
  options: {
    from: { type: "string" },
    to: { type: "string" },
    "dry-run": { type: "boolean" },
    only: { type: "string" },
    restart: { type: "boolean" },
    patience: { type: "string" },
  },
  run(words, options, config, interruptible) {
    const signal = interruptible();
    return storageCommand(words, options, config, {
      signal,
      status: statusOn(process.stdout, () => performance.now()),
      now: Date.now,
      wait: (ms) => sleep(ms, undefined, { signal }),
    });
  },
};

export async function storageCommand(
  words: readonly string[],
  options: Options,
  config: Config,
  surroundings: Surroundings,
): Promise<void> {
  if (words[0] !== "copy" || words.length > 1) throw new UsageError(STORAGE_USAGE);
  const { from, to } = options;
  if (typeof from !== "string" || typeof to !== "string") throw new UsageError(STORAGE_USAGE);
  const [fromStore, toStore] = [storeNamed(config, from), storeNamed(config, to)];
  if (from === to || placeOf(fromStore) === placeOf(toStore)) {
    throw new UsageError(`--from ${from} and --to ${to} are one and the same store`);
  }
  const patience = patienceOf(options.patience);
  const source = await openSide(config, from);
  let target: Side | undefined;
  try {
    target = await openSide(config, to);
    const capabilities = chosen(options.only, source);
    const copy = new StoreCopy(source, target, `${from}, ${placeOf(fromStore)}`, capabilities, patience, surroundings);
    if (options["dry-run"] === true) await copy.rehearse();
    else await copy.run(options.restart === true);
    const [largest, taken] = [valueSize(fromStore), valueSize(toStore)];
    if (options["dry-run"] === true && largest > taken) {
      surroundings.status.say(
        `storage.${to}.value_size is smaller than storage.${from}.value_size: a value of more than ${taken} bytes would stop the copy`,
      );
    }
  } catch (error) {
    if (error instanceof Unfinished || !surroundings.signal.aborted) throw error;
    throw new Unfinished("interrupted: nothing was written");
  } finally {
    surroundings.status.clear();
    await source.driver.close();
    await target?.driver.close();
  }
}

function storeNamed(config: Config, name: string): StorageConfig {
  const store = config.storage[name];
  if (store !== undefined) return store;
  throw new UsageError(`there is no store "${name}"; there are ${Object.keys(config.storage).join(", ")}`);
}

async function openSide(config: Config, name: string): Promise<Side> {
  const driver = await openStore(config, name, silentLog);
  const { contents } = driver;
  if (contents !== undefined && driver.name !== "memory") return { name, driver, contents };
  await driver.close();
  throw new UsageError(`the store "${name}" (${driver.name}) keeps nothing that can be copied`);
}

/** Where a store's data is, told from its configuration without its secrets: two names may mean one place. */
function placeOf(store: StorageConfig): string {
  const told = ["driver", "path", "host", "port", "database", "url", "urls", "nodes", "prefix", "db"];
  return JSON.stringify(Object.entries(store).filter(([key]) => told.includes(key)));
}

function valueSize(store: StorageConfig): number {
  return "value_size" in store ? store.value_size : Number.POSITIVE_INFINITY;
}

function chosen(only: Options[string], source: Side): readonly Capability[] {
  if (only === undefined) return source.contents.holds;
  const names = String(only)
    .split(",")
    .map((name) => name.trim());
  const wanted = source.contents.holds.filter((capability) => names.includes(capability));
  const unknown = names.find((name) => !wanted.includes(name as Capability));
  if (unknown === undefined) return wanted;
  throw new UsageError(`${source.name} has no "${unknown}"; --only takes of ${source.contents.holds.join(", ")}`);
}

function patienceOf(text: Options[string]): number {
  const seconds = text === undefined ? DEFAULT_PATIENCE : Number(text);
  if (seconds >= 0 && seconds <= LONGEST_PATIENCE) return seconds * 1000;
  throw new UsageError(`--patience takes 0 to ${LONGEST_PATIENCE} seconds`);
}
