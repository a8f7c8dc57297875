import { type CopyState, copyAll, countAll, type Job, type StateStore, tallyBoth } from "../storage/copy/copy.ts";
import { STATE_TABLE } from "../storage/copy/reader.ts";
import { capabilityOf } from "../storage/copy/tally.ts";
import { type Capability, type Contents, json, type StorageDriver, StorageError } from "../storage/specs.ts";
import { Jid } from "../xmpp/jid.ts";
import { type Status, Unfinished, UsageError } from "./command.ts";
import { comparison } from "./comparison.ts";
import { Meters } from "./copy-meters.ts";
import { columns, grouped } from "./table.ts";

/** What the copy is done with; tests have their own. */
export interface Surroundings {
  readonly signal: AbortSignal;
  readonly status: Status;
  /** Milliseconds since 1970. */
  now(): number;
  /** Rejects when the signal is given. */
  wait(ms: number): Promise<void>;
}

export interface Side {
  readonly name: string;
  readonly driver: StorageDriver;
  readonly contents: Contents;
}

/** One copy, from the first look at the source to the table at the end. */
export class StoreCopy {
  readonly #source: Side;
  readonly #target: Side;
  readonly #identity: string;
  readonly #capabilities: readonly Capability[];
  readonly #status: Status;
  readonly #job: Job;
  readonly #meters: Meters;

  constructor(
    source: Side,
    target: Side,
    identity: string,
    capabilities: readonly Capability[],
    patience: number,
    { signal, status, now, wait }: Surroundings,
  ) {
    this.#source = source;
    this.#target = target;
    this.#identity = identity;
    this.#capabilities = capabilities;
    this.#status = status;
    this.#meters = new Meters(status, now);
    this.#job = {
      capabilities,
      patience,
      signal,
      now,
      wait,
      waiting: (reason, ms) => status.say(`${reason}; tried again in ${ms / 1000} s`),
      progress: (step, capability, records) => this.#meters.add(step, capability, records),
    };
  }

  /** Says what a copy would do. */
  async rehearse(): Promise<void> {
    const [source, target] = [this.#source, this.#target];
    await source.driver.migrate();
    const counts = await countAll(source.contents, this.#job);
    const present = await this.#countTarget();
    this.#status.clear();
    const lacking = this.#lacking(counts);
    const rows = Object.entries(counts).map(([table, count]) => {
      const what = lacking.includes(capabilityOf(table)) ? `${target.name} cannot keep it` : "would be copied";
      return [table, grouped(count), present === undefined ? "-" : grouped(present[table] ?? 0), what];
    });
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    for (const line of columns(["table", `in ${source.name}`, `in ${target.name}`, ""], rows)) this.#status.say(line);
    this.#status.say(`${grouped(all)} records in ${source.name}; nothing was written`);
    if (present === undefined) this.#status.say(`${target.name} has no tables yet: they would be made`);
    this.#refuseLacking(counts);
  }

  async run(restart: boolean): Promise<void> {
    const [source, target] = [this.#source, this.#target];
    await source.driver.migrate();
    await target.driver.migrate();
    const states = stateStore(target.driver);
    const present = restart ? undefined : await states.load();
    const state = present !== undefined && this.#continues(present) ? present : await this.#begin();
    this.#meters.expect(state);
    if (state === present) {
      this.#status.say(`goes on behind the ${copiedSoFar(state)} records that are copied already`);
    }
    let reached = state;
    const kept: StateStore = {
      load: states.load,
      async save(next) {
        await states.save(next);
        reached = next;
      },
    };
    try {
      reached = await copyAll(source.contents, target.contents, state, kept, this.#held());
      await this.#verify(reached, states);
    } catch (error) {
      if (error instanceof Unfinished) throw error;
      const where = `${copiedSoFar(reached)} records are copied; the same command goes on from there`;
      if (this.#job.signal.aborted) throw new Unfinished(`interrupted: ${where}`);
      this.#status.say(where);
      throw error;
    }
  }

  /** Whether an earlier copy was of the same things. */
  #continues({ source, capabilities }: CopyState): boolean {
    return source === this.#identity && capabilities.join() === this.#capabilities.join();
  }

  /** The job without what the target cannot keep, of which there was none when it began. */
  #held(): Job {
    const holds = (capability: Capability) => this.#target.contents.holds.includes(capability);
    return { ...this.#job, capabilities: this.#capabilities.filter(holds) };
  }

  async #begin(): Promise<CopyState> {
    const totals = await countAll(this.#source.contents, this.#job);
    this.#refuseLacking(totals);
    return { source: this.#identity, capabilities: this.#capabilities, places: {}, copied: {}, totals };
  }

  async #verify({ copied }: CopyState, states: ReturnType<typeof stateStore>): Promise<void> {
    const both = await tallyBoth(this.#source.contents, this.#target.contents, this.#held());
    this.#status.clear();
    const { lines, faults } = comparison(this.#source.name, this.#target.name, both, copied);
    for (const line of lines) this.#status.say(line);
    // The next copy is to look at everything again.
    await states.forget();
    if (faults.length > 0) throw new Unfinished(faults.join("\n"));
    this.#status.say(`${this.#target.name} holds what ${this.#source.name} holds`);
  }

  /** What is in the target; undefined where it has no tables yet. */
  async #countTarget(): Promise<Record<string, number> | undefined> {
    try {
      return await countAll(this.#target.contents, { ...this.#held(), progress: () => {} });
    } catch (error) {
      if (this.#job.signal.aborted || error instanceof StorageError) throw error;
      return undefined;
    }
  }

  #lacking(counts: Readonly<Record<string, number>>): Capability[] {
    const needed = new Set(Object.keys(counts).map(capabilityOf));
    return [...needed].filter((capability) => !this.#target.contents.holds.includes(capability));
  }

  #refuseLacking(counts: Readonly<Record<string, number>>): void {
    const lacking = this.#lacking(counts);
    if (lacking.length === 0) return;
    const tables = Object.entries(counts)
      .filter(([table]) => lacking.includes(capabilityOf(table)))
      .map(([table, count]) => `${table} (${grouped(count)})`);
    const rest = this.#capabilities.filter((each) => !lacking.includes(each));
    throw new UsageError(
      `${this.#target.name} (${this.#target.driver.name}) cannot keep ${tables.join(", ")}; nothing was written. ` +
        `Copy those elsewhere, and the rest with --only ${rest.join(",")}`,
    );
  }
}

function copiedSoFar({ copied }: CopyState): string {
  return grouped(Object.values(copied).reduce((sum, { count }) => sum + count, 0));
}

/** The state of the one copy that a target may be in, in the target itself. */
function stateStore(target: StorageDriver): StateStore & { forget(): Promise<void> } {
  const store = target.keyValue?.(STATE_TABLE, json<CopyState>());
  const owner = new Jid("", "copy");
  return {
    load: async () => store?.get(owner),
    save: async (state) => store?.set(owner, state),
    forget: async () => store?.remove(owner),
  };
}
