import { StorageError } from "../../specs.ts";
import { deadline } from "../deadline.ts";
import { type LdapConnection, LdapRefusal } from "./connection.ts";

export interface PoolBounds {
  /** Connections, and with them requests under way. */
  readonly max: number;
  /** Requests that may wait for a connection; more are refused at once. */
  readonly queue: number;
  /** Milliseconds a request waits for a connection. */
  readonly timeout: number;
  /** Milliseconds after which an unused connection is replaced rather than used. */
  readonly idleTimeout: number;
  /** Milliseconds after which any connection is replaced. */
  readonly lifetime: number;
  /** Whether there is another server to ask when one does not answer. */
  readonly elsewhere: boolean;
}

interface Waiter {
  readonly go: () => void;
}

/** Connections lent to one request at a time. */
export class LdapPool {
  readonly #name: string;
  readonly #open: () => Promise<LdapConnection>;
  readonly #bounds: PoolBounds;
  readonly #idle: { readonly connection: LdapConnection; readonly since: number }[] = [];
  readonly #waiting = new Set<Waiter>();
  readonly #lent = new Set<LdapConnection>();
  #taken = 0;
  #closed = false;

  constructor(name: string, open: () => Promise<LdapConnection>, bounds: PoolBounds) {
    this.#name = name;
    this.#open = open;
    this.#bounds = bounds;
  }

  /** Lends a connection to one request, which may run twice when its first connection turns out to be dead. */
  async use<R>(request: (connection: LdapConnection) => Promise<R>): Promise<R> {
    await this.#enter();
    try {
      const connection = this.#keptConnection() ?? (await this.#open());
      try {
        return await this.#lend(connection, request);
      } catch (error) {
        if (!isWorthAnother(error, connection, this.#bounds.elsewhere)) throw error;
      }
      return await this.#lend(await this.#open(), request);
    } finally {
      this.#leave();
    }
  }

  close(): void {
    this.#closed = true;
    for (const { connection } of this.#idle) connection.destroy();
    for (const connection of this.#lent) connection.destroy();
    this.#idle.length = 0;
  }

  async #lend<R>(connection: LdapConnection, request: (connection: LdapConnection) => Promise<R>): Promise<R> {
    this.#lent.add(connection);
    try {
      return await request(connection);
    } finally {
      this.#lent.delete(connection);
      if (this.#closed || !connection.usable) connection.destroy();
      else this.#idle.push({ connection, since: performance.now() });
    }
  }

  #keptConnection(): LdapConnection | undefined {
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      const now = performance.now();
      const { idleTimeout, lifetime } = this.#bounds;
      const fresh = now - kept.since < idleTimeout && now - kept.connection.since < lifetime;
      if (fresh && kept.connection.usable) return kept.connection;
      kept.connection.destroy();
    }
    return undefined;
  }

  async #enter(): Promise<void> {
    if (this.#closed) throw new StorageError(`${this.#name}: closed`);
    if (this.#taken < this.#bounds.max) {
      this.#taken++;
      return;
    }
    const { queue, timeout } = this.#bounds;
    if (this.#waiting.size >= queue) throw new StorageError(`${this.#name}: ${queue} requests wait already`);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = { go: resolve };
    this.#waiting.add(waiter);
    await deadline(promise, timeout, `${this.#name}: no connection was free in ${timeout} ms`, () =>
      this.#waiting.delete(waiter),
    );
  }

  /** Hands the place to the request that has waited longest, or gives it up. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken--;
      return;
    }
    this.#waiting.delete(next);
    next.go();
  }
}

/**
 * The server may have hung up while nobody looked, or be gone without a word. One that was too slow is asked no second time,
 * but another one is: so a request takes twice its time-out at most.
 */
function isWorthAnother(error: unknown, connection: LdapConnection, elsewhere: boolean): boolean {
  if (!(error instanceof StorageError)) return false;
  if (error instanceof LdapRefusal) return error.isPassing;
  return !connection.usable && (error.cause !== undefined || elsewhere);
}
