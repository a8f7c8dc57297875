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
  /** Milliseconds that connecting, and each request after it, may take. */
  readonly timeout: number;
}

/** The server answered, with a refusal: the connection is still good. */
export class LdapRefusal extends StorageError {
  readonly code: number;

  constructor(code: number, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * One connection that carries one request at a time: the library never settles the first of two concurrent binds. It
 * is used until it breaks and then replaced, since the library would reconnect silently, as nobody.
 */
export class LdapConnection {
  readonly #client: Client;
  readonly #directory: Directory;
  #socket: Socket | undefined;

  private constructor(directory: Directory) {
    this.#directory = directory;
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
  static async open(directory: Directory, dn: string, password: string): Promise<LdapConnection> {
    const connection = new LdapConnection(directory);
    try {
      await connection.#request(async (client) => {
        const { hostname, protocol } = new URL(directory.url);
        if (directory.startTls && protocol === "ldap:") await client.startTLS(tlsOptions(directory, hostname));
        await client.bind(dn, password);
      });
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  get usable(): boolean {
    return this.#client.isConnected && this.#socket?.writable === true;
  }

  bind(dn: string, password: string): Promise<void> {
    return this.#request((client) => client.bind(dn, password));
  }

  async search(base: string, options: SearchOptions): Promise<readonly Entry[]> {
    const { searchEntries } = await this.#request((client) => client.search(base, options));
    return searchEntries;
  }

  /** Hangs up without waiting for anything. */
  destroy(): void {
    this.#socket?.destroy();
  }

  async #request<R>(ask: (client: Client) => Promise<R>): Promise<R> {
    const { url, timeout } = this.#directory;
    try {
      return await deadline(ask(this.#client), timeout, `ldap at ${url}: no answer in ${timeout} ms`);
    } catch (error) {
      if (error instanceof ResultCodeError)
        throw new LdapRefusal(error.code, `ldap at ${url}: ${error.message}`, error);
      this.destroy();
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
