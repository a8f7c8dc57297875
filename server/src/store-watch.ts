/** How the stores are: asked now and then, told to readiness, the log and the metrics. */
import type { Drivers } from "./auth/stores.ts";
import type { Config } from "./config/schema.ts";
import type { Clock } from "./module/api.ts";
import type { Health } from "./observe/health.ts";
import type { Logger } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";

/** Milliseconds from one look at a store that is well to the next, and from the first to the second at one that is not. */
const LOOK_EVERY = 5000;
const LOOK_AGAIN = 250;
/** A store that refused what it was to keep counts as refusing for so long: one that is full may still take what is small. */
const REFUSING_FOR = 10_000;

export interface StoreWatch {
  /** What came of a request: one that failed is a reason to look at the store at once. */
  note(store: string, request: { readonly writes: boolean; readonly failed: boolean }): void;
  stop(): void;
}

interface Watched {
  up: boolean;
  /** Milliseconds until the next look. */
  wait: number;
  /** When it went away, and when it last refused to keep something; milliseconds since 1970, 0 for never. */
  lostAt: number;
  refusedAt: number;
  /** When it was last looked at. */
  lookedAt: number;
  looking: boolean;
  callOff: () => void;
}

/**
 * The node is ready while the domains of one host type at least can be served: a directory that is down must not shut out
 * those who have nothing to do with it. A store that is there but keeps nothing, for its disk is full, is told of, and the
 * node goes on: who is logged in can be, and what is refused is refused to each sender.
 */
export function watchStores(
  { host_types }: Config,
  drivers: Drivers,
  { health, metrics, log, clock }: { health: Health; metrics: Metrics; log: Logger; clock: Clock },
): StoreWatch {
  const stores = new Map<string, Watched>();
  for (const name of drivers.keys()) {
    stores.set(name, {
      up: true,
      wait: LOOK_EVERY,
      lostAt: 0,
      refusedAt: 0,
      lookedAt: 0,
      looking: false,
      callOff: () => {},
    });
  }
  let stopped = false;

  function told(name: string, store: Watched, up: boolean): void {
    if (up) {
      if (!store.up) log.info("storage.back", { store: name, ms: clock.milliseconds() - store.lostAt });
      store.wait = LOOK_EVERY;
    } else {
      if (store.up) {
        store.lostAt = clock.milliseconds();
        log.warn("storage.lost", { store: name });
      }
      // Soon at first, for most of what fails is back at once, and then ever less often.
      store.wait = store.up ? LOOK_AGAIN : Math.min(store.wait * 2, LOOK_EVERY);
    }
    store.up = up;
  }

  async function look(name: string, store: Watched): Promise<void> {
    store.callOff();
    store.looking = true;
    store.lookedAt = clock.milliseconds();
    const up = (await drivers.get(name)?.healthy()) === true;
    store.looking = false;
    if (stopped) return;
    told(name, store, up);
    store.callOff = clock.after(store.wait, () => void look(name, store));
  }
  for (const [name, store] of stores) void look(name, store);

  const isUp = (name: string) => stores.get(name)?.up === true;
  const isRefusing = ({ refusedAt }: Watched) => refusedAt > 0 && clock.milliseconds() - refusedAt < REFUSING_FOR;
  health.add("storage", () =>
    Object.values(host_types).some(
      ({ storage, accounts }) => isUp(storage) && (accounts.length === 0 || accounts.some(isUp)),
    ),
  );
  for (const [name, store] of stores) {
    health.note(`storage.${name}`, () => store.up);
    health.note(`storage.${name} to write to`, () => !store.up || !isRefusing(store));
  }
  const each = (value: (store: Watched) => boolean) =>
    new Map([...stores].map(([name, store]) => [name, value(store) ? 1 : 0]));
  metrics.gauges("xmpp_storage_up", "Whether the store answered last.", "store", () => each(({ up }) => up));
  metrics.gauges("xmpp_storage_refusing", "Whether the store refuses to keep things.", "store", () => each(isRefusing));

  return {
    note(name, { writes, failed }) {
      const store = stores.get(name);
      if (store === undefined) return;
      if (failed && store.up && !store.looking && clock.milliseconds() - store.lookedAt >= LOOK_AGAIN) {
        void look(name, store);
      }
      if (!writes || !failed) return;
      if (!isRefusing(store)) log.warn("storage.refused", { store: name });
      store.refusedAt = clock.milliseconds();
    },
    stop() {
      stopped = true;
      for (const { callOff } of stores.values()) callOff();
    },
  };
}
