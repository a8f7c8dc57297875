import { isIP, connect as netConnect, type Socket } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { Client, type Entry, ResultCodeError, type SearchOptions } from "ldapts";
import { StorageError } from "../../specs.ts";
import { deadline } from "../deadline.ts";

/** How to reach a directory. */
export interface Directory {
  /** ldap://host:port or ldaps://host:port */
  readonly url: string;
  /** Encrypts an ldap:// connection before anything else is said (RFC 4511 4.14). */
  readonly startTls: boolean;
  /** PEM; else the system's authorities. */
  readonly ca: string | undefined;
  /** Milliseconds that connecting, with the bind, may take. */
  readonly connectTimeout: number;
  /** Milliseconds that each request after it may take. */
  readonly timeout: number;
}

/** What a connection knows of its server, beyond itself. */
export interface ServerState {
  /** Whether it is left in peace, so that its connections are not used any more. */
  readonly resting: boolean;
  /** A request was not answered in time, or the server said that it cannot answer now. */
  failed(error: StorageError): void;
}

/** The server answered, with a refusal: the connection is still good. */
export class LdapRefusal extends StorageError {
  readonly code: number;

  constructor(code: number, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }

  /** Whether another server may answer: this one is busy (51), or about to stop (52) (RFC 4511 A.1). */
  get isPassing(): boolean {
    return this.code === 51 || this.code === 52;
  }
}

/**
 * One connection that carries one request at a time: the library never settles the first of two concurrent binds. It
 * is used until it breaks and then replaced, since the library would reconnect silently, as nobody.
 */
export class LdapConnection {
  /** When it was made, by `performance.now()`. */
  readonly since = performance.now();
  readonly #client: Client;
  readonly #directory: Directory;
  readonly #server: ServerState;
  #socket: Socket | undefined;
  #opened = false;

  private constructor(directory: Directory, server: ServerState) {
    this.#directory = directory;
    this.#server = server;
    const { protocol, hostname } = new URL(directory.url);
    const keep = <S extends Socket>(socket: S): S => {
      this.#socket = socket;
      socket.setKeepAlive(true);
      return socket;
    };
    this.#client = new Client({
      url: directory.url,
      createConnection: ((port: number, host: string) => keep(netConnect(port, host))) as typeof netConnect,
      // Options of TLS, even empty ones, would make an ldap:// address encrypted from the start.
      ...(protocol === "ldaps:" && {
        tlsOptions: tlsOptions(directory, hostname),
        createSecureConnection: ((port: number, host: string, options: ConnectionOptions) =>
          keep(tlsConnect(port, host, options))) as typeof tlsConnect,
      }),
    });
  }

  /** Connects, encrypts if told to, and binds as the given entry; rejects with a StorageError. */
  static async open(directory: Directory, server: ServerState, dn: string, password: string): Promise<LdapConnection> {
    const connection = new LdapConnection(directory, server);
    try {
      await connection.#request(async (client) => {
        const { hostname, protocol } = new URL(directory.url);
        if (directory.startTls && protocol === "ldap:") await client.startTLS(tlsOptions(directory, hostname));
        await client.bind(dn, password);
      }, directory.connectTimeout);
      connection.#opened = true;
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  get usable(): boolean {
    return this.#client.isConnected && this.#socket?.writable === true && !this.#server.resting;
  }

  bind(dn: string, password: string): Promise<void> {
    return this.#request((client) => client.bind(dn, password));
  }

  async search(base: string, options: SearchOptions): Promise<readonly Entry[]> {
    const { searchEntries } = await this.#request((client) => client.search(base, options));
    return searchEntries;
  }

  /** Reads what may be long page by page (RFC 2696), each a request of its own, until `take` has had enough. */
  async searchPages(
    base: string,
    options: SearchOptions,
    pageSize: number,
    take: (entries: readonly Entry[]) => "more" | "enough",
  ): Promise<void> {
    const pages = this.#client.searchPaginated(base, { ...options, paged: { pageSize } });
    for (;;) {
      const page = await this.#request(() => pages.next());
      // The server forgets where it was with the next search on this connection (RFC 2696 3).
      if (page.done === true || take(page.value.searchEntries) === "enough") return;
    }
  }

  /** Hangs up without waiting for anything. */
  destroy(): void {
    this.#socket?.destroy();
  }

  async #request<R>(ask: (client: Client) => Promise<R>, timeout = this.#directory.timeout): Promise<R> {
    const { url } = this.#directory;
    try {
      return await deadline(ask(this.#client), timeout, `ldap at ${url}: no answer in ${timeout} ms`);
    } catch (error) {
      if (error instanceof ResultCodeError) {
        const refusal = new LdapRefusal(error.code, `ldap at ${url}: ${error.message}`, error);
        if (refusal.isPassing && this.#opened) this.#server.failed(refusal);
        throw refusal;
      }
      this.destroy();
      if (error instanceof StorageError && this.#opened) this.#server.failed(error);
      // The library tells a broken connection by plain errors; a mistake in its use shows as a TypeError.
      if (error instanceof StorageError || error instanceof TypeError) throw error;
      throw new StorageError(`ldap at ${url}: ${words(error)}`, { cause: error });
    }
  }
}

function tlsOptions({ ca }: Directory, hostname: string): ConnectionOptions {
  const host = hostname.replace(/^\[|\]$/g, "");
  return { host, ...(isIP(host) === 0 && { servername: host }), ...(ca !== undefined && { ca }) };
}

function words(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(words).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
}
