/** One node of a Riak cluster: its connections, and whether it is worth asking. */
import { Pool } from "undici";

export interface NodeOptions {
  /** http:// or https://, host and port. */
  readonly origin: string;
  readonly ca: string | undefined;
  readonly authorization: string | undefined;
  readonly connections: number;
  /** Bytes of an answer's body. */
  readonly answerBytes: number;
  /** Milliseconds that connecting may take. */
  readonly connectTimeout: number;
}

export interface NodeRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
}

export interface NodeAnswer {
  readonly status: number;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  readonly text: string;
}

/** Milliseconds between the first two pings of a node that failed, and the longest pause between two. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

export class RiakNode {
  readonly origin: string;
  readonly #pool: Pool;
  readonly #authorization: string | undefined;
  readonly #pingTimeout: number;
  #running = 0;
  #pause = FIRST_PAUSE;
  #pinging: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ origin, ca, authorization, connections, answerBytes, connectTimeout }: NodeOptions) {
    this.origin = origin;
    this.#authorization = authorization;
    this.#pingTimeout = connectTimeout;
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      allowH2: false,
      maxResponseSize: answerBytes,
      connect: { timeout: connectTimeout, ...(ca !== undefined && { ca }) },
    });
  }

  /** Requests under way. */
  get load(): number {
    return this.#running;
  }

  /** Whether it has failed, and not answered a ping since. */
  get isDown(): boolean {
    return this.#pinging !== undefined;
  }

  async send({ method, path, headers, body }: NodeRequest, signal: AbortSignal): Promise<NodeAnswer> {
    this.#running++;
    try {
      const answer = await this.#pool.request({
        method,
        path,
        signal,
        headers: {
          ...headers,
          ...(this.#authorization !== undefined && { authorization: this.#authorization }),
        },
        ...(body !== undefined && { body }),
      });
      const text = await answer.body.text();
      return {
        status: answer.statusCode,
        header(name) {
          const value = answer.headers[name];
          return typeof value === "object" ? value.join(", ") : value;
        },
        text,
      };
    } finally {
      this.#running--;
    }
  }

  /** It failed: pings it from now on, until it answers. */
  failed(): void {
    if (this.#pinging !== undefined || this.#closed) return;
    this.#pinging = setTimeout(() => void this.#ping(), this.#pause).unref();
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  answered(): void {
    clearTimeout(this.#pinging);
    this.#pinging = undefined;
    this.#pause = FIRST_PAUSE;
  }

  async #ping(): Promise<void> {
    const alive = await this.send({ method: "GET", path: "/ping" }, AbortSignal.timeout(this.#pingTimeout)).then(
      () => true,
      () => false,
    );
    if (this.#closed || this.#pinging === undefined) return;
    this.#pinging = undefined;
    if (alive) this.answered();
    else this.failed();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#pinging);
    await this.#pool.destroy();
  }
}
