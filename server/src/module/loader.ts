/** Starts the modules of a host type, each after those it leans on, and can undo all that they registered. */
import type { Logger } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { DriverOf, StoreSpec, StoreSpecs } from "../storage/specs.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type {
  AccountDirectory,
  Addressee,
  AnyModule,
  Clock,
  Collections,
  Filters,
  IqHandler,
  ModuleContext,
  Notices,
  Provider,
  Router,
  SessionTable,
} from "./api.ts";
import { type HookTable, iqKey } from "./hook-table.ts";
import type { Stage, Verdict } from "./hooks.ts";

/** What the modules of one host type stand on. */
export interface Ground {
  readonly hostType: string;
  readonly hooks: HookTable;
  readonly sessions: SessionTable;
  readonly accounts: AccountDirectory;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Choice {
  readonly module: AnyModule;
  /** As the module's schema returned it. */
  readonly config: unknown;
  /** Where it keeps what it must not forget, by table. */
  readonly driverOf: DriverOf;
}

/** What stands in a module's way; empty when it can start. Asked before anything is opened. */
export function obstacles({ module, driverOf }: Choice, chosen: readonly Choice[]): string[] {
  const missing = (module.requires ?? []).filter(
    (needed: Provider<unknown>) => !chosen.some((choice) => choice.module.name === needed.name),
  );
  return [
    ...lacking(module, driverOf).map(
      ({ table, capability }) =>
        `module ${module.name} keeps ${table} in a store that the driver ${driverOf(table).name} does not have (${capability}); ` +
        `name another store for it (stores.${table}), or leave the module out of modules`,
    ),
    ...missing.map((needed: Provider<unknown>) => `module ${module.name} needs module ${needed.name}`),
  ];
}

/** What a module wants to keep where it cannot be kept. */
export function lacking({ stores }: AnyModule, driverOf: DriverOf): StoreSpec<unknown>[] {
  return Object.values((stores ?? {}) as StoreSpecs).filter((spec) => spec.open(driverOf(spec.table)) === undefined);
}

/** Starts them all; returns what stops them again, last first. */
export async function startModules(choices: readonly Choice[], ground: Ground): Promise<() => Promise<void>> {
  const apis = new Map<string, unknown>();
  const undo: (() => MaybePromise<void>)[] = [];

  async function start(choice: Choice): Promise<void> {
    const { module } = choice;
    if (apis.has(module.name)) return;
    for (const needed of module.requires ?? []) {
      const found = choices.find((other) => other.module.name === needed.name);
      if (found !== undefined) await start(found);
    }
    const context = contextOf(choice, ground, apis, undo);
    apis.set(module.name, await module.start(context));
  }

  for (const choice of choices) await start(choice);
  return async () => {
    for (const step of undo.reverse()) await step();
  };
}

function contextOf(
  { module, config, driverOf }: Choice,
  { hooks, log, ...ground }: Ground,
  apis: ReadonlyMap<string, unknown>,
  undo: (() => MaybePromise<void>)[],
): ModuleContext<unknown, StoreSpecs> {
  const specs: StoreSpecs = module.stores ?? {};

  function feature(variable: string, of?: Addressee): void {
    if (of === undefined) {
      feature(variable, "host");
      feature(variable, "account");
      return;
    }
    const features = hooks.features[of];
    features.set(variable, (features.get(variable) ?? 0) + 1);
    undo.push(() => {
      const left = (features.get(variable) ?? 1) - 1;
      if (left === 0) features.delete(variable);
      else features.set(variable, left);
    });
  }

  return {
    ...ground,
    config,
    log: log.with({ module: module.name }),
    stores: Object.fromEntries(Object.entries(specs).map(([key, spec]) => [key, spec.open(driverOf(spec.table))])),
    filter<P extends keyof Filters>(point: P, stage: Stage, run: (event: Filters[P]) => MaybePromise<Verdict>) {
      undo.push(hooks.filters[point].add(stage, run));
    },
    on<P extends keyof Notices>(point: P, run: (notice: Notices[P]) => MaybePromise<void>) {
      undo.push(hooks.notices[point].add(run));
    },
    collect<P extends keyof Collections>(point: P, run: (list: Collections[P]) => MaybePromise<void>) {
      undo.push(hooks.collections[point].add(run));
    },
    gather: (point, list) => hooks.collections[point].ask(list),
    iq(xmlns: string, name: string, handler: IqHandler) {
      const key = iqKey(xmlns, name);
      const other = hooks.iqs.get(key);
      if (other !== undefined)
        throw new Error(`two modules answer <${name} xmlns='${xmlns}'>, one of them ${module.name}`);
      hooks.iqs.set(key, handler);
      undo.push(() => void hooks.iqs.delete(key));
      feature(xmlns, handler.account === undefined ? "host" : undefined);
    },
    feature,
    streamFeature(advertise) {
      hooks.streamFeatures.add(advertise);
      undo.push(() => void hooks.streamFeatures.delete(advertise));
    },
    bindFeature(xmlns, apply) {
      if (hooks.bindFeatures.has(xmlns)) throw new Error(`two modules bind ${xmlns}, one of them ${module.name}`);
      hooks.bindFeatures.set(xmlns, apply);
      undo.push(() => void hooks.bindFeatures.delete(xmlns));
    },
    registrar(registrar) {
      if (hooks.registrar !== undefined) throw new Error(`two modules make accounts, one of them ${module.name}`);
      hooks.registrar = registrar;
      undo.push(() => {
        hooks.registrar = undefined;
      });
    },
    features: (of) => [...hooks.features[of].keys()].sort(),
    use<Api>(provider: Provider<Api>): Api {
      const needed: readonly Provider<unknown>[] = module.requires ?? [];
      if (!needed.includes(provider))
        throw new Error(`module ${module.name} uses ${provider.name} without requiring it`);
      return apis.get(provider.name) as Api;
    },
    onStop: (run) => void undo.push(run),
  };
}
