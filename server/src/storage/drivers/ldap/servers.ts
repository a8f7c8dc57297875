/** The servers that have one and the same directory: which of them is asked, and which is left in peace for a while. */
import { StorageError } from "../../specs.ts";
import { type Directory, LdapConnection, type ServerState } from "./connection.ts";

export interface ServerBounds {
  /** The first that answers, in the order they were named, or each in its turn. */
  readonly order: "named" | "turns";
  /** Milliseconds for which a server that failed is not asked; each failure after it doubles them, up to `longestPause`. */
  readonly pause: number;
  readonly longestPause: number;
  readonly warn: (message: string) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

export class Servers {
  readonly #servers: readonly Server[];
  readonly #bounds: ServerBounds;
  #turn = 0;

  constructor(directories: readonly Directory[], bounds: ServerBounds) {
    this.#bounds = bounds;
    const alone = directories.length === 1;
    this.#servers = directories.map(
      (directory) => new Server(directory, { ...bounds, ...(alone && { warn: () => {} }) }),
    );
  }

  /** A connection to the first that lets one in: those that rest come last, so that they are asked only in need. */
  async open(dn: string, password: string): Promise<LdapConnection> {
    const failures: StorageError[] = [];
    for (const server of this.#inOrder()) {
      try {
        return await server.open(dn, password);
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        failures.push(error);
      }
    }
    const [first] = failures as [StorageError];
    if (failures.length === 1) throw first;
    throw new StorageError(failures.map(({ message }) => message).join("; "), { cause: first.cause });
  }

  #inOrder(): readonly Server[] {
    const from = this.#bounds.order === "turns" ? this.#turn++ % this.#servers.length : 0;
    const turned = [...this.#servers.slice(from), ...this.#servers.slice(0, from)];
    return [
      ...turned.filter(({ resting }) => !resting),
      ...turned.filter(({ resting }) => resting).sort((a, b) => a.restsUntil - b.restsUntil),
    ];
  }
}

class Server implements ServerState {
  readonly #directory: Directory;
  readonly #bounds: ServerBounds;
  readonly #now: () => number;
  #failures = 0;
  restsUntil = Number.NEGATIVE_INFINITY;

  constructor(directory: Directory, bounds: ServerBounds) {
    this.#directory = directory;
    this.#bounds = bounds;
    this.#now = bounds.now ?? (() => performance.now());
  }

  get resting(): boolean {
    return this.#now() < this.restsUntil;
  }

  async open(dn: string, password: string): Promise<LdapConnection> {
    const known = this.#failures;
    // While one request tries whether it is back, the others need not.
    if (known > 0) this.#rest();
    try {
      const connection = await LdapConnection.open(this.#directory, this, dn, password);
      if (this.#failures > 0) this.#bounds.warn(`ldap at ${this.#directory.url}: is back`);
      this.#failures = 0;
      this.restsUntil = Number.NEGATIVE_INFINITY;
      return connection;
    } catch (error) {
      // Many that were tried at once failed once.
      if (error instanceof StorageError && this.#failures === known) this.#count(error);
      throw error;
    }
  }

  failed(error: StorageError): void {
    if (!this.resting) this.#count(error);
  }

  #count(error: StorageError): void {
    this.#failures++;
    this.#rest();
    if (this.#failures === 1) this.#bounds.warn(`${error.message}; the others are asked meanwhile`);
  }

  #rest(): void {
    const { pause, longestPause } = this.#bounds;
    this.restsUntil = this.#now() + Math.min(pause * 2 ** Math.min(this.#failures - 1, 30), longestPause);
  }
}
