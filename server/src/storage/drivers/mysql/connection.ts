import { connect, type Socket } from "node:net";
import type { CompiledQuery } from "kysely";
import { type Connection, createConnection, type ResultSetHeader, type SslOptions, type TypeCast } from "mysql2";
import { StorageError } from "../../specs.ts";
import { deadline } from "../deadline.ts";
import type { Touched } from "../sql/database.ts";
import { breaksConnection, translated } from "./errors.ts";

export interface Server {
  /** For errors: what and where it is, without a secret. */
  readonly where: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** One object for all connections: they share what is made of it, and resume each other's TLS sessions. */
  readonly ssl?: SslOptions | undefined;
  /** Statements that a connection keeps prepared in the server. */
  readonly prepared: number;
  /** What every connection begins with. */
  readonly session: readonly string[];
}

/** How much longer than the server's own limit an answer is waited for, before the server counts as lost. */
export const GRACE = 1000;

/** One connection, for one query at a time. */
export class MysqlConnection {
  /** Called once when the connection ends that nobody was using and nobody ended. */
  onLost: (why: string) => void = () => {};
  readonly #where: string;
  readonly #connection: Connection;
  readonly #socket: Socket;
  readonly #statementTimeout: number;
  #usable = true;
  /** Lets the query under way fail: mysql2 forgets it when the connection is ended from here. */
  #reject: (error: unknown) => void = () => {};

  private constructor(server: Server, statementTimeout: number) {
    this.#where = server.where;
    this.#statementTimeout = statementTimeout;
    this.#socket = socketTo(server);
    this.#connection = createConnection({
      host: server.host,
      port: server.port,
      user: server.username,
      password: server.password,
      database: server.database,
      ...(server.ssl && { ssl: server.ssl }),
      stream: () => this.#socket,
      // The whole of opening is bounded by its caller.
      connectTimeout: 0,
      charset: "UTF8MB4_BIN",
      // An upsert must count what it changed, not what it found. Nobody asks this process for its files.
      flags: ["-FOUND_ROWS", "-LOCAL_FILES"],
      connectAttributes: { program_name: "meerkat" },
      maxPreparedStatements: server.prepared,
      typeCast: textOfBytes,
    });
    this.#connection.on("error", (error) => this.#end(error.message));
    this.#socket.on("close", () => this.#end("the server closed the connection"));
  }

  /** Connects, logs in and sets the session up, all within so many milliseconds. Rejects with a StorageError. */
  static async open(server: Server, statementTimeout: number, timeout: number): Promise<MysqlConnection> {
    const connection = new MysqlConnection(server, statementTimeout);
    const ready = async () => {
      for (const statement of server.session) await connection.#send(statement, []);
    };
    try {
      await deadline(ready(), timeout, `${server.where}: no connection in ${timeout} ms`);
      return connection;
    } catch (error) {
      connection.destroy();
      throw translated(error, server.where);
    }
  }

  get usable(): boolean {
    return this.#usable;
  }

  /** The rows of a query, or one row of `Touched` for a change. */
  async execute({ sql, parameters }: CompiledQuery, timeout?: number): Promise<readonly unknown[]> {
    const patience = (timeout ?? this.#statementTimeout) + GRACE;
    try {
      return await deadline(this.#send(sql, parameters), patience, `${this.#where}: no answer in ${patience} ms`, () =>
        this.destroy(),
      );
    } catch (error) {
      const reason = translated(error, this.#where);
      if (breaksConnection(reason)) this.destroy();
      throw reason;
    }
  }

  /** Says good-bye, at which the server closes the connection; one that does not is left within moments. Settles when it is closed. */
  end(): Promise<void> {
    if (!this.#usable) return Promise.resolve();
    this.#usable = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.once("close", () => resolve());
    this.#connection.end();
    this.#socket.setTimeout(GRACE, () => this.#socket.destroy());
    return promise;
  }

  destroy(why = "the connection was given up"): void {
    this.#usable = false;
    this.#connection.destroy();
    this.#socket.destroy();
    this.#reject(new StorageError(`${this.#where}: ${why}`));
  }

  #send(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      const done = (error: Error | null, answer: unknown) => {
        if (error) reject(error);
        else resolve(Array.isArray(answer) ? answer : [{ touched: touched(answer as ResultSetHeader) }]);
      };
      // Not every statement may be prepared, such as the one that begins a transaction.
      if (parameters.length === 0) this.#connection.query(sql, done);
      else this.#connection.execute(sql, parameters.map(sent) as never[], done);
    });
  }

  #end(why: string): void {
    if (!this.#usable) return;
    this.destroy(why);
    this.onLost(why);
  }
}

function socketTo({ host, port }: Server): Socket {
  const socket = connect({ host, port, keepAlive: true, noDelay: true });
  // Where TLS is put on a socket, Node checks the certificate for this name; of an address it would not know it, and
  // check for "localhost".
  (socket as Socket & { _host?: string })._host = host;
  return socket;
}

/** Keys are kept as bytes, so that they are compared as such, and are text here. */
const textOfBytes: TypeCast = (field, next) =>
  field.type === "VAR_STRING" ? (field.buffer()?.toString("utf8") ?? null) : next();

/** Bytes go as such only in Node's own clothes. */
function sent(parameter: unknown): unknown {
  return parameter instanceof Uint8Array ? Buffer.from(parameter) : parameter;
}

/** An update counts the rows it changed, and says in words alone how many it found. */
function touched({ affectedRows, info }: ResultSetHeader): Touched["touched"] {
  const found = /^Rows matched: (\d+)/.exec(info ?? "")?.[1];
  return found === undefined ? affectedRows : Number(found);
}
