import { StorageError } from "../../specs.ts";
import { deadline } from "../deadline.ts";
import type { MysqlConnection } from "./connection.ts";

export interface PoolBounds {
  /** Connections, and with them requests under way. */
  readonly max: number;
  /** Requests that may wait for a connection; more are refused at once. */
  readonly queue: number;
  /** Milliseconds a request waits for a connection, waiting in the queue included. */
  readonly timeout: number;
  /** Milliseconds after which an unused connection is closed. */
  readonly idleTimeout: number;
}

/** Connections, each lent to one request at a time; the one used last is lent first, so that the others may go. */
export class MysqlPool {
  readonly #where: string;
  readonly #open: (timeout: number) => Promise<MysqlConnection>;
  readonly #bounds: PoolBounds;
  readonly #warn: (message: string) => void;
  readonly #idle = new Map<MysqlConnection, NodeJS.Timeout>();
  readonly #lent = new Set<MysqlConnection>();
  /** Each is told whether it has the place of another, or the pool is closed. */
  readonly #waiting = new Set<(granted: boolean) => void>();
  /** Connections that are being closed. */
  readonly #ending = new Set<Promise<void>>();
  #taken = 0;
  #closed = false;
  /** Called when the last request under way is over. */
  #drained = () => {};

  constructor(
    where: string,
    open: (timeout: number) => Promise<MysqlConnection>,
    bounds: PoolBounds,
    warn: (message: string) => void,
  ) {
    this.#where = where;
    this.#open = open;
    this.#bounds = bounds;
    this.#warn = warn;
  }

  async use<R>(request: (connection: MysqlConnection) => Promise<R>): Promise<R> {
    const asked = performance.now();
    await this.#enter();
    try {
      const left = Math.max(1, Math.ceil(this.#bounds.timeout - (performance.now() - asked)));
      const connection = this.#kept() ?? (await this.#open(left));
      this.#lent.add(connection);
      try {
        return await request(connection);
      } finally {
        this.#lent.delete(connection);
        this.#keep(connection);
      }
    } finally {
      this.#leave();
    }
  }

  /** Lets requests under way end, for so many milliseconds; those that wait are let in no more. */
  async close(timeout: number): Promise<void> {
    this.#closed = true;
    for (const answer of this.#waiting) answer(false);
    this.#waiting.clear();
    for (const connection of [...this.#idle.keys()]) this.#part(connection);
    if (this.#taken > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#drained = resolve;
      await deadline(promise, timeout, `${this.#where}: did not close`, () => {
        for (const connection of this.#lent) connection.destroy();
      });
    }
    await Promise.all(this.#ending);
  }

  #kept(): MysqlConnection | undefined {
    const connection = [...this.#idle.keys()].at(-1);
    if (connection !== undefined) this.#forget(connection);
    return connection;
  }

  #keep(connection: MysqlConnection): void {
    if (!connection.usable) return;
    if (this.#closed) {
      this.#end(connection);
      return;
    }
    connection.onLost = (why) => {
      this.#forget(connection);
      this.#warn(`${this.#where}: ${why}`);
    };
    const timer = setTimeout(() => this.#part(connection), this.#bounds.idleTimeout);
    this.#idle.set(connection, timer.unref());
  }

  #part(connection: MysqlConnection): void {
    this.#forget(connection);
    this.#end(connection);
  }

  #end(connection: MysqlConnection): void {
    const ending = connection.end().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #forget(connection: MysqlConnection): void {
    clearTimeout(this.#idle.get(connection));
    this.#idle.delete(connection);
    connection.onLost = () => {};
  }

  async #enter(): Promise<void> {
    const { max, queue, timeout } = this.#bounds;
    if (this.#closed) throw new StorageError(`${this.#where}: closed`);
    if (this.#taken < max) {
      this.#taken++;
      return;
    }
    if (this.#waiting.size >= queue) {
      throw new StorageError(`${this.#where}: ${queue} requests wait for a connection already`);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.add(resolve);
    const late = `${this.#where}: no connection was free in ${timeout} ms`;
    if (!(await deadline(promise, timeout, late, () => this.#waiting.delete(resolve)))) {
      throw new StorageError(`${this.#where}: closed`);
    }
  }

  /** Hands the place to the request that has waited longest, or gives it up. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      this.#waiting.delete(next);
      next(true);
      return;
    }
    this.#taken--;
    if (this.#taken === 0) this.#drained();
  }
}
