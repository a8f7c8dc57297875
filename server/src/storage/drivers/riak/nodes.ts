/** The nodes of a Riak cluster: requests are shared among them, bounded in number and time, and tried elsewhere when one fails. */
import { StorageError } from "../../specs.ts";
import { type NodeAnswer, type NodeOptions, type NodeRequest, RiakNode } from "./node.ts";

export interface NodesOptions extends Omit<NodeOptions, "origin" | "connectTimeout"> {
  readonly origins: readonly string[];
  /** Requests that may wait for their turn; more are refused at once. */
  readonly queue: number;
  /** Milliseconds that a request may take, waiting for its turn and trying other nodes included. */
  readonly timeout: number;
}

/** Which request never arrived, so that any may be sent elsewhere. */
const UNREACHED = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export class RiakNodes {
  readonly #options: NodesOptions;
  readonly #nodes: readonly RiakNode[];
  readonly #waiting = new Set<() => void>();
  #running = 0;
  #turn = 0;

  /** Connects to nothing yet. */
  constructor(options: NodesOptions) {
    this.#options = options;
    const connectTimeout = this.#patience();
    this.#nodes = options.origins.map((origin) => new RiakNode({ ...options, origin, connectTimeout }));
  }

  /**
   * Sends what may be sent twice: Riak's answer to a request that came twice is one that its sender understands. Rejects
   * with a StorageError when no node answers, and for answers that nobody can use.
   */
  async send(request: NodeRequest): Promise<NodeAnswer> {
    const deadline = AbortSignal.timeout(this.#options.timeout);
    await this.#enter(deadline);
    try {
      return await this.#tried(request, deadline);
    } finally {
      this.#leave();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.close()));
  }

  async #tried(request: NodeRequest, deadline: AbortSignal): Promise<NodeAnswer> {
    const asked = new Set<RiakNode>();
    for (let tries = 1; ; tries++) {
      const node = this.#next(asked);
      asked.add(node);
      const hasOthers = asked.size < this.#nodes.length;
      try {
        const answer = await this.#asked(node, request, deadline);
        if (answer.status !== 503 || !hasOthers) return answer;
      } catch (error) {
        // Connections die while nobody uses them: an only node is asked once more.
        const again = hasOthers || (tries === 1 && isBroken(error));
        if (!again || deadline.aborted) throw this.#failure(node, error, deadline);
        if (!hasOthers) asked.clear();
      }
    }
  }

  async #asked(node: RiakNode, request: NodeRequest, deadline: AbortSignal): Promise<NodeAnswer> {
    const begun = performance.now();
    const signal = AbortSignal.any([deadline, AbortSignal.timeout(this.#patience())]);
    try {
      const answer = await node.send(request, signal);
      node.answered();
      return answer;
    } catch (error) {
      // One that was asked a moment before the deadline is not to blame.
      const isLate = signal.aborted && performance.now() - begun >= this.#patience() / 2;
      if (UNREACHED.has(codeOf(error)) || isLate) node.failed();
      throw error;
    }
  }

  /** Where there are other nodes, one that hangs must leave them some time. */
  #patience(): number {
    const { origins, timeout } = this.#options;
    return origins.length === 1 ? timeout : Math.ceil(timeout / 2);
  }

  /** The node with the least to do, in turn; one that is down only where no other is left. */
  #next(asked: ReadonlySet<RiakNode>): RiakNode {
    this.#turn++;
    const left = this.#nodes.filter((node) => !asked.has(node));
    const rank = (node: RiakNode) => (node.isDown ? Number.MAX_SAFE_INTEGER : node.load);
    const inTurn = left.map((_, index) => left[(index + this.#turn) % left.length] as RiakNode);
    return inTurn.reduce((best, node) => (rank(node) < rank(best) ? node : best));
  }

  #failure(node: RiakNode, error: unknown, deadline: AbortSignal): StorageError {
    if (error instanceof StorageError) return error;
    const { timeout } = this.#options;
    const late = deadline.aborted || (error instanceof Error && error.name === "TimeoutError");
    return new StorageError(`riak at ${node.origin}: ${late ? `no answer in ${timeout} ms` : words(error)}`, {
      cause: error,
    });
  }

  async #enter(deadline: AbortSignal): Promise<void> {
    const { connections, queue, timeout } = this.#options;
    if (this.#running < connections * this.#nodes.length) {
      this.#running++;
      return;
    }
    const where = `riak at ${this.#options.origins.join(", ")}`;
    if (this.#waiting.size >= queue)
      throw new StorageError(`${where}: ${queue} requests wait for a connection already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = () => {
      this.#waiting.delete(resolve);
      reject(new StorageError(`${where}: no connection was free in ${timeout} ms`));
    };
    this.#waiting.add(resolve);
    deadline.addEventListener("abort", late, { once: true });
    try {
      await promise;
    } finally {
      deadline.removeEventListener("abort", late);
    }
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

/** Whether the connection broke, as one does that the other end has closed meanwhile. */
function isBroken(error: unknown): boolean {
  return ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function words(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(words).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.message || codeOf(error) || error.name;
}
