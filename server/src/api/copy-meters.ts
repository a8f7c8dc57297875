/** The progress of a copy, step by step and capability by capability. */
import type { CopyState } from "../storage/copy/copy.ts";
import { capabilityOf } from "../storage/copy/tally.ts";
import type { Capability } from "../storage/specs.ts";
import type { Status } from "./command.ts";
import { Meter } from "./progress.ts";

type Counts = ReadonlyMap<Capability, number>;

const WIDEST = "comparing keyValue".length;

export class Meters {
  readonly #status: Status;
  readonly #now: () => number;
  #meter: Meter | undefined;
  #label = "";
  #totals: Counts = new Map();
  #before: Counts = new Map();

  constructor(status: Status, now: () => number) {
    this.#status = status;
    this.#now = now;
  }

  /** What a copy that is at this state has before it, and behind it. */
  expect({ totals, copied }: CopyState): void {
    this.#totals = byCapability(Object.entries(totals));
    this.#before = byCapability(Object.entries(copied).map(([table, { count }]) => [table, count]));
  }

  add(step: "counting" | "copying" | "comparing", capability: Capability, records: number): void {
    const label = `${step} ${capability}`;
    if (label !== this.#label || this.#meter === undefined) {
      this.#label = label;
      const total = step === "counting" ? undefined : (this.#totals.get(capability) ?? 0);
      const done = step === "copying" ? (this.#before.get(capability) ?? 0) : 0;
      this.#meter = new Meter(label.padEnd(WIDEST), this.#now, total, done);
    }
    this.#meter.add(records);
    this.#status.show(this.#meter.toString());
  }
}

function byCapability(counts: readonly (readonly [table: string, count: number])[]): Counts {
  const sums = new Map<Capability, number>();
  for (const [table, count] of counts) {
    const capability = capabilityOf(table);
    sums.set(capability, (sums.get(capability) ?? 0) + count);
  }
  return sums;
}
