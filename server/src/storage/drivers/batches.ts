import { StorageError } from "../specs.ts";
import { positive } from "./bounds.ts";
import { deadline } from "./deadline.ts";

/** How rows are gathered into batches, as an operator may set it. */
export interface BatchOptions {
  /** Rows of one batch, at most. Default 100. */
  readonly batchRows?: number | undefined;
  /** Bytes of one batch, beyond which it takes no more rows. Default 1 MiB. */
  readonly batchBytes?: number | undefined;
  /** Milliseconds that a row may wait for others. Default 5. */
  readonly batchWait?: number | undefined;
  /** Rows that may wait or be under way; more are refused at once. Default 10,000. */
  readonly batchQueue?: number | undefined;
  /** Their bytes. Default 64 MiB. */
  readonly batchQueueBytes?: number | undefined;
  /** Batches under way at a time. Default 4. */
  readonly batchWriters?: number | undefined;
  /** Runs once after so many milliseconds; the returned function calls it off. */
  readonly after?: ((milliseconds: number, run: () => void) => () => void) | undefined;
}

/** Writes rows as one step, and answers for each of them in their order; nothing where there is no answer but that it is done. */
export type Write<Row, Answer> = (rows: readonly Row[]) => Promise<readonly Answer[] | undefined>;

interface Waiting<Row, Answer> {
  readonly owner: string;
  readonly row: Row;
  readonly bytes: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** One batch is under way and the next fills up: the rows of one owner are all in the same lane, so they stay in order. */
interface Lane<Row, Answer> {
  rows: Waiting<Row, Answer>[];
  /** Bytes of the rows that wait. */
  bytes: number;
  writing: boolean;
  /** Whether the first row has waited long enough. */
  due: boolean;
  callOff: (() => void) | undefined;
}

/**
 * Writes many rows at a time: as many as a batch holds, or those that came within a few milliseconds. A row's promise
 * settles with its batch, which rejects as a whole when the database cannot be reached, and when nobody knows whether it
 * was committed. A row that the database refuses for what it is fails alone.
 */
export class Batches<Row, Answer> {
  readonly #write: Write<Row, Answer>;
  readonly #maxRows: number;
  readonly #maxBytes: number;
  readonly #wait: number;
  readonly #queueRows: number;
  readonly #queueBytes: number;
  readonly #after: (milliseconds: number, run: () => void) => () => void;
  readonly #lanes: Lane<Row, Answer>[];
  /** By owner: its lane, and how many of its rows are there. */
  readonly #owners = new Map<string, { readonly lane: Lane<Row, Answer>; rows: number }>();
  #rows = 0;
  #bytes = 0;
  #closed = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(write: Write<Row, Answer>, options: BatchOptions = {}) {
    this.#write = write;
    this.#maxRows = positive("batch_rows", options.batchRows, 100);
    this.#maxBytes = positive("batch_size", options.batchBytes, 1024 * 1024);
    this.#wait = positive("batch_wait", options.batchWait, 5);
    this.#queueRows = positive("batch_queue", options.batchQueue, 10_000);
    this.#queueBytes = positive("batch_queue_size", options.batchQueueBytes, 64 * 1024 * 1024);
    this.#after = options.after ?? after;
    this.#lanes = Array.from({ length: positive("batch_writers", options.batchWriters, 4) }, () => ({
      rows: [],
      bytes: 0,
      writing: false,
      due: false,
      callOff: undefined,
    }));
  }

  /** Settles when the row's batch is committed. Rows of one owner are committed in the order they were added in. */
  add(owner: string, row: Row, bytes: number): Promise<Answer> {
    if (this.#closed) return Promise.reject(new StorageError("the store is closed"));
    // One alone is always taken, so that none is too large for ever.
    if (this.#rows >= this.#queueRows || (this.#rows > 0 && this.#bytes + bytes > this.#queueBytes)) {
      return Promise.reject(new StorageError(`${this.#rows} rows wait to be written already, ${this.#bytes} bytes`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const lane = this.#laneOf(owner);
    lane.rows.push({ owner, row, bytes, resolve, reject });
    lane.bytes += bytes;
    this.#rows++;
    this.#bytes += bytes;
    this.#advance(lane);
    return promise;
  }

  /** Takes no more, writes what waits, and rejects what is not written within so many milliseconds. */
  async close(within: number): Promise<void> {
    this.#closed = true;
    if (this.#rows === 0) return;
    this.#idle ??= Promise.withResolvers();
    for (const lane of this.#lanes) this.#send(lane);
    const late = () => {
      for (const lane of this.#lanes) this.#settle(this.#take(lane, Number.POSITIVE_INFINITY), refusal);
    };
    const refusal = ({ reject }: Waiting<Row, Answer>) => reject(new StorageError("the store was closed meanwhile"));
    await deadline(this.#idle.promise, within, "the batches were not written in time", late).catch(() => {});
  }

  #laneOf(owner: string): Lane<Row, Answer> {
    const present = this.#owners.get(owner);
    if (present !== undefined) {
      present.rows++;
      return present.lane;
    }
    // One that has nothing under way, and of these the first: so that batches are few and full when there is little to do.
    const lane =
      this.#lanes.find(({ writing }) => !writing) ??
      this.#lanes.reduce((least, each) => (each.rows.length < least.rows.length ? each : least));
    this.#owners.set(owner, { lane, rows: 1 });
    return lane;
  }

  #advance(lane: Lane<Row, Answer>): void {
    if (lane.writing || lane.rows.length === 0) return;
    if (lane.due || this.#closed || lane.rows.length >= this.#maxRows || lane.bytes >= this.#maxBytes) {
      this.#send(lane);
    } else {
      lane.callOff ??= this.#after(this.#wait, () => {
        lane.callOff = undefined;
        lane.due = true;
        this.#advance(lane);
      });
    }
  }

  #send(lane: Lane<Row, Answer>): void {
    if (lane.writing || lane.rows.length === 0) return;
    lane.callOff?.();
    lane.callOff = undefined;
    lane.due = false;
    lane.writing = true;
    void this.#written(this.#take(lane, this.#maxRows)).then((settle) => {
      lane.writing = false;
      // Those that came meanwhile have waited for as long as the batch took. They go first: the database has something to
      // do while those who waited for this batch go on.
      lane.due = true;
      this.#advance(lane);
      if (lane.rows.length === 0) lane.due = false;
      settle();
    });
  }

  /** The first rows that make a batch; one that is larger than a batch goes alone. */
  #take(lane: Lane<Row, Answer>, most: number): Waiting<Row, Answer>[] {
    let count = 0;
    let bytes = 0;
    for (const row of lane.rows) {
      if (count >= most || (count > 0 && most !== Number.POSITIVE_INFINITY && bytes + row.bytes > this.#maxBytes))
        break;
      bytes += row.bytes;
      count++;
    }
    lane.bytes -= bytes;
    return lane.rows.splice(0, count);
  }

  /** Writes a batch; what it returns tells those who wait for it. */
  async #written(batch: readonly Waiting<Row, Answer>[]): Promise<() => void> {
    try {
      const answers = await this.#write(batch.map(({ row }) => row));
      return () => this.#settle(batch, ({ resolve }, index) => resolve(answers?.[index] as Answer));
    } catch (error) {
      // What lies outside the rows would fail each of them alike.
      if (batch.length === 1 || error instanceof StorageError) {
        return () => this.#settle(batch, ({ reject }) => reject(error));
      }
    }
    for (const row of batch) (await this.#written([row]))();
    return () => {};
  }

  #settle(batch: readonly Waiting<Row, Answer>[], settle: (row: Waiting<Row, Answer>, index: number) => void): void {
    for (const [index, row] of batch.entries()) {
      this.#rows--;
      this.#bytes -= row.bytes;
      const owner = this.#owners.get(row.owner);
      if (owner !== undefined && --owner.rows === 0) this.#owners.delete(row.owner);
      settle(row, index);
    }
    if (this.#rows === 0) this.#idle?.resolve();
  }
}

function after(milliseconds: number, run: () => void): () => void {
  const timer = setTimeout(run, milliseconds);
  return () => clearTimeout(timer);
}
