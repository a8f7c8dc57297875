/** Requests to a service over HTTP: bounded in time, number and size, and none for a while once it has failed often. */
import { Agent, request } from "undici";

export interface HttpServiceOptions {
  /** What paths are added to; ends in a slash where there are any. */
  readonly url: string;
  /** The Authorization header of every request. */
  readonly authorization?: string | undefined;
  /** PEM of the authority that signed the service's certificate; else the system's authorities. */
  readonly ca?: string | undefined;
  /** Milliseconds that a request may take, waiting for its turn included. */
  readonly timeout: number;
  /** Requests under way at a time. */
  readonly connections: number;
  /** Requests that may wait for their turn; more are refused at once. */
  readonly queue: number;
  /** Bytes of an answer's body. */
  readonly answerBytes: number;
  /** When to stop asking a service that fails, and for how long. */
  readonly breaker?: BreakerOptions | undefined;
}

export interface BreakerOptions {
  /** So many failures in a row, and nothing is asked for a while. */
  readonly failures: number;
  /** Milliseconds of the first pause; each one after it is twice as long, up to `longest`. */
  readonly first: number;
  readonly longest: number;
  /** Milliseconds from any fixed point. */
  readonly now?: () => number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** The service was not reached, was too slow, failed (5xx), said too much, or was not asked at all. */
export class HttpServiceError extends Error {
  override readonly name = "HttpServiceError";
}

/** What a peer that hangs up while nobody looks breaks a request with. */
const HUNG_UP = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);

export class HttpService {
  readonly #options: HttpServiceOptions;
  readonly #agent: Agent;
  readonly #breaker: Breaker | undefined;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** Connects to nothing yet. */
  constructor(options: HttpServiceOptions) {
    this.#options = options;
    this.#breaker = options.breaker && new Breaker(options.breaker);
    this.#agent = new Agent({
      connections: options.connections,
      pipelining: 1,
      allowH2: false,
      maxResponseSize: options.answerBytes,
      connect: { ...(options.ca !== undefined && { ca: options.ca }) },
    });
  }

  /** A question, which may be asked twice when its first connection turns out to be dead. */
  ask(method: "GET" | "POST", path: string, form?: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return this.#inTurn((signal) => this.#send(method, path, form, signal, true));
  }

  /** A request to change something, which is sent once. */
  tell(path: string, form: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return this.#inTurn((signal) => this.#send("POST", path, form, signal, false));
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #inTurn(send: (signal: AbortSignal) => Promise<HttpAnswer>): Promise<HttpAnswer> {
    this.#breaker?.enter();
    const signal = AbortSignal.timeout(this.#options.timeout);
    let outcome: "well" | "failed" | "unknown" = "unknown";
    try {
      await this.#turn(signal);
      try {
        outcome = "failed";
        const answer = await send(signal);
        outcome = "well";
        return answer;
      } finally {
        this.#leave();
      }
    } finally {
      this.#breaker?.settle(outcome);
    }
  }

  async #send(
    method: "GET" | "POST",
    path: string,
    form: Readonly<Record<string, string>> | undefined,
    signal: AbortSignal,
    twice: boolean,
  ): Promise<HttpAnswer> {
    const { url, authorization, timeout } = this.#options;
    try {
      const { statusCode, body } = await request(`${url}${path}`, {
        dispatcher: this.#agent,
        method,
        signal,
        headers: {
          ...(authorization !== undefined && { authorization }),
          ...(form !== undefined && { "content-type": "application/x-www-form-urlencoded" }),
        },
        ...(form !== undefined && { body: new URLSearchParams(form).toString() }),
      });
      const text = await body.text();
      if (statusCode >= 500) throw new HttpServiceError(`answered ${statusCode}`);
      return { status: statusCode, text };
    } catch (error) {
      if (error instanceof HttpServiceError) throw error;
      if (signal.aborted) throw new HttpServiceError(`no answer in ${timeout} ms`, { cause: error });
      if (twice && HUNG_UP.has(codeOf(error))) return this.#send(method, path, form, signal, false);
      throw new HttpServiceError(words(error), { cause: error });
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { connections, queue, timeout } = this.#options;
    if (this.#running < connections) {
      this.#running++;
      return;
    }
    if (this.#waiting.size >= queue) throw new HttpServiceError(`${queue} requests wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = () => {
      this.#waiting.delete(resolve);
      reject(new HttpServiceError(`its turn did not come in ${timeout} ms`));
    };
    this.#waiting.add(resolve);
    signal.addEventListener("abort", late, { once: true });
    await promise;
    signal.removeEventListener("abort", late);
  }

  /** Hands the turn to the request that has waited longest, or gives it up. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/** Lets nothing through for a while after some failures in a row, then one request at a time until one succeeds. */
class Breaker {
  readonly #options: BreakerOptions;
  readonly #now: () => number;
  #failures = 0;
  #pause: number;
  #until = Number.NEGATIVE_INFINITY;
  #trying = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#pause = options.first;
  }

  enter(): void {
    if (this.#failures < this.#options.failures) return;
    if (this.#trying || this.#now() < this.#until) {
      throw new HttpServiceError(`not asked: it has failed ${this.#failures} times in a row`);
    }
    this.#trying = true;
  }

  settle(outcome: "well" | "failed" | "unknown"): void {
    this.#trying = false;
    if (outcome === "unknown") return;
    if (outcome === "well") {
      this.#failures = 0;
      this.#pause = this.#options.first;
      return;
    }
    this.#failures++;
    // Those that were under way together fail together, which is one reason to pause and not many.
    if (this.#failures < this.#options.failures || this.#now() < this.#until) return;
    this.#until = this.#now() + this.#pause;
    this.#pause = Math.min(this.#pause * 2, this.#options.longest);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function words(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(words).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.message || codeOf(error) || error.name;
}
