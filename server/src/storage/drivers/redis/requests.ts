import { Cluster, type Redis } from "ioredis";
import { realClock } from "../../../cluster/clock.ts";
import { Topology } from "../../../cluster/redis/topology.ts";
import { StorageError } from "../../specs.ts";
import { deadline } from "../deadline.ts";
import { type Client, type ConnectionOptions, openClient, type Script, script } from "./client.ts";
import { lost, translated, untouched } from "./errors.ts";

export interface RequestOptions extends ConnectionOptions {
  /** Requests without an answer; more are refused. */
  readonly queue: number;
  /** Milliseconds for a request, with all that is tried again. */
  readonly timeout: number;
}

/**
 * Whether a request may be sent again when the connection was lost under it: "again" where that makes no difference to
 * doing it once, "once" where it does. What Redis certainly did not do is tried again in either case.
 */
export type Repeat = "again" | "once";

const PAUSE_MS = 50;

/** All requests to one Redis: each with a deadline, a bounded number at a time, and failing with words. */
export class Requests {
  readonly client: Client;
  /** How Redis is called in messages. */
  readonly where: string;
  readonly #options: RequestOptions;
  readonly #topology: Topology | undefined;
  /** When each request without an answer was made; the oldest first. */
  readonly #waiting = new Set<{ readonly sentAt: number }>();
  #closed = false;
  /** What went wrong with a connection last, since one worked. */
  #problem = "";
  failures = 0;

  constructor(options: RequestOptions) {
    this.#options = options;
    this.where = `Redis at ${options.nodes.join(", ")}`;
    this.client = openClient(options, options.timeout, ({ message }) => {
      if (message !== "Connection is closed." || this.#problem === "") this.#problem = message;
    });
    const { client } = this;
    if (client instanceof Cluster) {
      this.#topology = new Topology({
        clock: realClock,
        commands: this,
        refresh: () => {
          if (client.status === "ready") client.refreshSlotsCache();
        },
      });
      this.#topology.start();
    }
  }

  /** Milliseconds that the oldest request without an answer has waited. */
  waitingFor(): number {
    for (const { sentAt } of this.#waiting) return performance.now() - sentAt;
    return 0;
  }

  script(name: Script, key: string, args: readonly (string | number)[], repeat: Repeat): Promise<unknown> {
    return this.run((client) => script(client, name, key, args), repeat);
  }

  async run<T>(send: (client: Client) => Promise<T>, repeat: Repeat): Promise<T> {
    const { queue, timeout } = this.#options;
    if (this.#closed) throw new StorageError(`${this.where}: the store is closed`);
    if (this.#waiting.size >= queue) {
      throw new StorageError(`${this.where}: ${queue} requests are waiting already`);
    }
    const waiting = { sentAt: performance.now() };
    this.#waiting.add(waiting);
    // It counts until ioredis lets go of it, which may be after the deadline.
    const answer = this.#attempts(send, repeat, waiting.sentAt + timeout).finally(() => this.#waiting.delete(waiting));
    try {
      return await deadline(answer, timeout, `${this.where}: no answer within ${timeout} ms`);
    } catch (error) {
      this.failures++;
      throw error;
    }
  }

  /** A client for each node that may be written to, for what goes through all that there is. */
  async masters(): Promise<readonly Redis[]> {
    // They are known once something was asked.
    await this.run((client) => client.ping(), "again");
    return this.client instanceof Cluster ? this.client.nodes("master") : [this.client];
  }

  close(): void {
    this.#closed = true;
    this.#topology?.stop();
    this.client.disconnect();
  }

  async #attempts<T>(send: (client: Client) => Promise<T>, repeat: Repeat, until: number): Promise<T> {
    for (;;) {
      try {
        const answer = await send(this.client);
        this.#problem = "";
        return answer;
      } catch (error) {
        const retryable = untouched(error) || (repeat === "again" && lost(error));
        if (!retryable || this.#closed || performance.now() + PAUSE_MS >= until) {
          throw translated(error, this.where, this.#problem);
        }
        this.failures++;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
