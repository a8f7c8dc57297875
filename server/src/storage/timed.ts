/** Every call of every store as a metric: how long it took, and whether it failed. */
import type { Counter, Histogram, Metrics } from "../observe/metrics.ts";
import { type Capability, type StorageDriver, StorageError } from "./specs.ts";

/** Seconds: from a file that is in memory to a database that is about to be given up. */
const BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What there is to call; a store may leave some of them out. */
const OPERATIONS: Readonly<Record<Capability, readonly string[]>> = {
  keyValue: ["get", "set", "remove"],
  map: ["get", "list", "set", "update", "updateTogether", "getEach", "remove", "clear"],
  archive: ["append", "page", "get", "count", "replace", "trim", "expire", "purge"],
  queue: ["push", "list", "remove", "size", "expire", "clear"],
  expiring: ["get", "set", "add", "take"],
  accounts: ["exists", "verify", "scram", "create", "setKeys", "addKeys", "remove", "count", "list"],
};

/** Those that change nothing; what else there is writes. */
const READS: ReadonlySet<string> = new Set([
  "get",
  "list",
  "getEach",
  "page",
  "count",
  "size",
  "exists",
  "verify",
  "scram",
]);

/** What came of a call: `failed` when it was the database's fault, and not one of the bounds that are kept before it. */
export type HearCall = (call: { readonly writes: boolean; readonly failed: boolean }) => void;

type Call = (...args: unknown[]) => Promise<unknown>;
type Opener = (...args: unknown[]) => Readonly<Record<string, unknown>> | undefined;

/**
 * The driver, with its calls counted under a store's name. A call costs two readings of the clock and one `then`:
 * about half a microsecond beside the call itself (`bench/storage-timing.ts`).
 */
export function timed(
  driver: StorageDriver,
  store: string,
  metrics: Metrics,
  hear: HearCall = () => {},
): StorageDriver {
  const seconds = metrics.histograms(
    "xmpp_storage_seconds",
    "How long calls of the stores took, those that failed included.",
    ["store", "capability", "operation"],
    BOUNDS,
  );
  const errors = metrics.counters(
    "xmpp_storage_errors_total",
    "Calls for which a store was out of reach, too slow, or unwilling.",
    ["store", "capability", "operation"],
  );
  const openers: Partial<Record<Capability, Opener>> = {};
  for (const [capability, operations] of Object.entries(OPERATIONS) as [Capability, readonly string[]][]) {
    const open = driver[capability] as Opener | undefined;
    if (open === undefined) continue;
    openers[capability] = (...args) => {
      const opened = open.apply(driver, args);
      if (opened === undefined) return undefined;
      const calls = operations.flatMap((operation) => {
        const call = opened[operation] as Call | undefined;
        if (call === undefined) return [];
        const labels = [store, capability, operation];
        const writes = !READS.has(operation);
        const told = { seconds: seconds(...labels), errors: errors(...labels), writes, hear };
        return [[operation, timedCall(call.bind(opened), told)] as const];
      });
      return { ...opened, ...Object.fromEntries(calls) };
    };
  }
  return {
    ...driver,
    migrate: () => driver.migrate(),
    healthy: () => driver.healthy(),
    close: () => driver.close(),
    ...openers,
  } as StorageDriver;
}

interface Told {
  readonly seconds: Histogram;
  readonly errors: Counter;
  /** Whether the calls change something. */
  readonly writes: boolean;
  readonly hear: HearCall;
}

function timedCall(call: Call, { seconds, errors, writes, hear }: Told): Call {
  return (...args) => {
    const startedAt = performance.now();
    const took = () => seconds.observe((performance.now() - startedAt) / 1000);
    return call(...args).then(
      (answer) => {
        took();
        hear({ writes, failed: false });
        return answer;
      },
      (error: unknown) => {
        took();
        // What the caller's own function throws inside an update is no fault of the store.
        if (error instanceof StorageError) {
          errors.inc();
          // A value that is too large, or a queue that is full, was refused before it came to the database: those have no cause.
          if (error.cause !== undefined) hear({ writes, failed: true });
        }
        throw error;
      },
    );
  };
}
