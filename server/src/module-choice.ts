/** Which modules each host type runs, and where each keeps what it keeps. */
import { accountObstacles, type Drivers, driverOf } from "./auth/stores.ts";
import { check } from "./config/check.ts";
import { ConfigError } from "./config/load.ts";
import { nearest } from "./config/nearest.ts";
import type { Config } from "./config/schema.ts";
import type { AnyModule } from "./module/api.ts";
import { type Choice, lacking, obstacles } from "./module/loader.ts";
import { MODULES } from "./modules/catalogue.ts";
import { type DriverOf, map, type StoreSpecs } from "./storage/specs.ts";

/** Each module with its checked configuration, by host type. Throws a ConfigError with all that is wrong. */
export function chooseModules(config: Config, drivers: Drivers): ReadonlyMap<string, readonly Choice[]> {
  const mistakes = [
    ...accountObstacles(config, drivers),
    ...unknownTables(config),
    ...unkeptTokens(config, drivers),
    ...unwanted(config),
  ];
  const chosen = new Map<string, readonly Choice[]>();
  for (const [type, hostType] of Object.entries(config.host_types)) {
    const keptBy = driverOf(hostType, drivers);
    const choices: Choice[] = [];
    for (const [name, table] of Object.entries(hostType.modules ?? unlessNamed(hostType.without, keptBy))) {
      const module = MODULES.get(name);
      if (module === undefined) {
        const there = [...MODULES.keys()];
        mistakes.push(`host_types.${type}.modules.${name}: there is no such module; ${remedy(name, there)}`);
        continue;
      }
      const checked = module.config && check(module.config, table, ["host_types", type, "modules", name]);
      if (checked?.ok === false) mistakes.push(...checked.mistakes);
      if (module.config === undefined && Object.keys(table).length > 0) {
        mistakes.push(`host_types.${type}.modules.${name}: this module has no settings; leave its table empty`);
      }
      choices.push({ module, config: checked?.ok ? checked.data : undefined, driverOf: keptBy });
    }
    mistakes.push(
      ...choices.flatMap((choice) => obstacles(choice, choices)).map((why) => `host_types.${type}: ${why}`),
    );
    chosen.set(type, choices);
  }
  mistakes.push(...disagreements(chosen));
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return chosen;
}

/** Host types that would clear each other's tables by settings of their own. */
function disagreements(chosen: ReadonlyMap<string, readonly Choice[]>): string[] {
  const all = [...chosen].flatMap(([type, choices]) =>
    choices.filter(({ config }) => config !== undefined).map((choice) => ({ type, ...choice })),
  );
  return all.flatMap(({ type, module, config, driverOf }, index) =>
    Object.values((module.stores ?? {}) as StoreSpecs).flatMap(({ table }) => {
      const other = all
        .slice(0, index)
        .find((each) => each.module === module && each.driverOf(table) === driverOf(table));
      return (module.alike ?? [])
        .filter((key) => other !== undefined && setting(config, key) !== setting(other.config, key))
        .map(
          (key) =>
            `host_types.${type}.modules.${module.name}.${key}: must be that of host_types.${other?.type}, which keeps ${table} ` +
            `in the same store; or name another store for it (stores.${table})`,
        );
    }),
  );
}

function setting(config: unknown, key: string): unknown {
  return (config as Readonly<Record<string, unknown>>)[key];
}

/** Every module, but for those that are not wanted, and those that are optional and have nowhere to keep their tables. */
function unlessNamed(without: readonly string[], keptBy: DriverOf): Record<string, Record<string, unknown>> {
  const runs = (module: AnyModule) =>
    !without.includes(module.name) && (module.optional !== true || lacking(module, keptBy).length === 0);
  return Object.fromEntries([...MODULES].filter(([, module]) => runs(module)).map(([name]) => [name, {}]));
}

function unwanted({ host_types }: Config): string[] {
  return Object.entries(host_types).flatMap(([type, { modules, without }]) => [
    ...without
      .filter((name) => !MODULES.has(name))
      .map((name) => `host_types.${type}.without: there is no module "${name}"; ${remedy(name, [...MODULES.keys()])}`),
    ...(modules !== undefined && without.length > 0
      ? [`host_types.${type}.without: modules says which run; take one of the two out`]
      : []),
  ]);
}

/** Where no store is named for them, one that cannot keep them makes no difference but that there are none. */
function unkeptTokens({ host_types }: Config, drivers: Drivers): string[] {
  return Object.entries(host_types).flatMap(([type, hostType]) => {
    const driver = driverOf(hostType, drivers)(TOKENS);
    if (!Object.hasOwn(hostType.stores, TOKENS) || map(TOKENS).open(driver) !== undefined) return [];
    return [`host_types.${type}.stores.${TOKENS}: the driver ${driver.name} cannot keep them; name another store`];
  });
}

const TOKENS = "fast_tokens";
/** Besides those of the modules, the tokens that clients are given. */
const TABLES: ReadonlySet<string> = new Set([
  TOKENS,
  ...[...MODULES.values()]
    .flatMap(({ stores }) => Object.values((stores ?? {}) as StoreSpecs))
    .map(({ table }) => table),
]);

function unknownTables({ host_types }: Config): string[] {
  return Object.entries(host_types).flatMap(([type, { stores }]) =>
    Object.keys(stores)
      .filter((table) => !TABLES.has(table))
      .map((table) => `host_types.${type}.stores.${table}: no module has such a table; ${remedy(table, [...TABLES])}`),
  );
}

function remedy(name: string, there: readonly string[]): string {
  const meant = nearest(name, there);
  return meant === undefined ? `there are ${there.join(", ")}` : `did you mean "${meant}"?`;
}
