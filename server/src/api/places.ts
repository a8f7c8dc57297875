/** The domains of the configuration, with the stores that their accounts and modules keep things in. */
import type { Accounts } from "../auth/accounts.ts";
import { closeDrivers, driverOf, openAccounts, openDrivers } from "../auth/stores.ts";
import type { Config, HostTypeConfig } from "../config/schema.ts";
import { MODULES } from "../modules/catalogue.ts";
import { silentLog } from "../observe/log.ts";
import type { AccountStore, DriverOf, StorageDriver } from "../storage/specs.ts";
import { UsageError } from "./command.ts";

/** One domain's accounts, its stores ready for use. */
export interface Place {
  readonly accounts: Accounts;
  /** Where its accounts are looked for, in this order. */
  readonly accountStores: readonly AccountStore[];
  /** Where the modules of the domain keep their data. */
  readonly keptBy: DriverOf;
  /** Whether the domain has a module. */
  runs(module: string): boolean;
  /** Whether all of its stores answer. */
  healthy(): Promise<boolean>;
}

export interface Places {
  /** Only the stores that the domain needs have to be up. Rejects with a UsageError for one that is not served here. */
  place(domain: string): Promise<Place>;
  readonly domains: readonly string[];
  close(): Promise<void>;
}

export async function openPlaces(config: Config): Promise<Places> {
  const drivers = await openDrivers(config, silentLog);
  const accounts = openAccounts(config, drivers);
  const ready = new Set<StorageDriver>();
  const places = new Map<string, Place>();

  async function place(domain: string): Promise<Place> {
    const known = places.get(domain);
    if (known !== undefined) return known;
    const found = accounts.get(domain);
    const type = config.host_types[config.hosts.find((host) => host.domain === domain)?.type ?? ""];
    if (found === undefined || type === undefined) {
      throw new UsageError(`"${domain}" is not served here; there are ${[...accounts.keys()].join(", ")}`);
    }
    const needed = driversOf(type);
    for (const driver of needed) {
      if (ready.has(driver)) continue;
      await driver.migrate();
      ready.add(driver);
    }
    const made: Place = {
      accounts: found,
      accountStores: type.accounts.flatMap((name) => drivers.get(name)?.accounts?.() ?? []),
      keptBy: driverOf(type, drivers),
      runs: (module) =>
        type.modules === undefined
          ? MODULES.has(module) && !type.without.includes(module)
          : Object.hasOwn(type.modules, module),
      healthy: async () => (await Promise.all(needed.map((driver) => driver.healthy()))).every(Boolean),
    };
    places.set(domain, made);
    return made;
  }

  function driversOf({ accounts, storage, stores }: HostTypeConfig): StorageDriver[] {
    const names = new Set([...accounts, storage, ...Object.values(stores)]);
    return [...names].map((name) => drivers.get(name) as StorageDriver);
  }

  return { place, domains: [...accounts.keys()], close: () => closeDrivers(drivers) };
}
