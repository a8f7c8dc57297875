/** How far a long command is: one line on a terminal, now and then a line elsewhere. */
import type { Status } from "./command.ts";
import { grouped } from "./table.ts";

const BAR = 24;
/** Milliseconds between two lines: the eye needs no more, and a log far fewer. */
const ON_TERMINAL = 200;
const ELSEWHERE = 10_000;

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Shows lines on a terminal one over the other; elsewhere, one of them every ten seconds. */
export function statusOn(output: Output, now: () => number): Status {
  const pause = output.isTTY ? ON_TERMINAL : ELSEWHERE;
  let last = Number.NEGATIVE_INFINITY;
  let shown = false;
  const clear = () => {
    if (shown) output.write("\r\u001b[K");
    shown = false;
  };
  return {
    show(line) {
      if (now() - last < pause) return;
      last = now();
      if (!output.isTTY) return void output.write(`${line}\n`);
      output.write(`\r\u001b[K${line.slice(0, (output.columns ?? 80) - 1)}`);
      shown = true;
    },
    say(line) {
      clear();
      output.write(`${line}\n`);
    },
    clear,
  };
}

/** Counts the records of one step of one kind, and tells how many there are, how fast they come, and how far it is. */
export class Meter {
  readonly #label: string;
  readonly #total: number | undefined;
  readonly #now: () => number;
  readonly #began: number;
  #done: number;
  #since = 0;

  /** `total` where it is known; `done` of it before now. */
  constructor(label: string, now: () => number, total?: number, done = 0) {
    this.#label = label;
    this.#total = total;
    this.#now = now;
    this.#began = now();
    this.#done = done;
  }

  add(records: number): void {
    this.#done += records;
    this.#since += records;
  }

  toString(): string {
    const seconds = (this.#now() - this.#began) / 1000;
    const rate = seconds < 0.05 ? "" : `  ${grouped(Math.round(this.#since / seconds))}/s`;
    if (this.#total === undefined) return `${this.#label}  ${grouped(this.#done)} records${rate}`;
    // Records that were made meanwhile are beyond the total.
    const part = this.#total === 0 ? 1 : Math.min(1, this.#done / this.#total);
    const full = Math.round(part * BAR);
    const bar = `[${"#".repeat(full)}${".".repeat(BAR - full)}]`;
    const percent = `${Math.floor(part * 100)}%`.padStart(4);
    return `${this.#label}  ${bar} ${percent}  ${grouped(this.#done)} of ${grouped(this.#total)} records${rate}`;
  }
}
