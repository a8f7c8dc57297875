import { archiveId } from "../../archive-id.ts";
import { StorageError } from "../../specs.ts";
import { forEach } from "./ground.ts";

/** One value on its way into a queue. */
interface Push {
  readonly value: string;
  readonly limit: number;
  readonly resolve: (answer: "stored" | "full") => void;
  readonly reject: (error: unknown) => void;
}

export interface QueueAccess {
  /** How many items wait, counted up to a limit. */
  size(limit: number): Promise<number>;
  put(id: string, value: string): Promise<unknown>;
}

/** Pushes that share one count of their queue, at most. */
const TOGETHER = 100;

/**
 * Counts a queue once for all that is pushed to it meanwhile, so that its limit is kept among the pushes of this process,
 * however many there are. Those of other processes may come in between.
 */
export class Pushes {
  readonly #lines = new Map<string, Push[]>();
  readonly #max: number;
  #waiting = 0;

  /** So many may wait. */
  constructor(max: number) {
    this.#max = max;
  }

  add(queue: string, access: QueueAccess, value: string, limit: number): Promise<"stored" | "full"> {
    if (this.#waiting >= this.#max) throw new StorageError(`riak: ${this.#max} items wait to be queued already`);
    const { promise, resolve, reject } = Promise.withResolvers<"stored" | "full">();
    const push: Push = { value, limit, resolve, reject };
    this.#waiting++;
    const line = this.#lines.get(queue);
    if (line !== undefined) line.push(push);
    else {
      const begun = [push];
      this.#lines.set(queue, begun);
      void this.#drain(queue, begun, access);
    }
    return promise;
  }

  async #drain(queue: string, line: Push[], access: QueueAccess): Promise<void> {
    while (line.length > 0) {
      const some = line.splice(0, TOGETHER);
      try {
        await this.#write(some, access);
      } catch (error) {
        // Whoever waits behind would wait for the same in vain.
        for (const { reject } of [...some, ...line.splice(0)]) {
          this.#waiting--;
          reject(error);
        }
      }
    }
    this.#lines.delete(queue);
  }

  /** Rejects when nothing was written. */
  async #write(some: readonly Push[], access: QueueAccess): Promise<void> {
    let size = await access.size(Math.max(...some.map(({ limit }) => limit)));
    const taken = some.map((push) => ({ push, id: size < push.limit && ++size > 0 ? archiveId() : undefined }));
    await forEach(taken, async ({ push: { value, resolve, reject }, id }) => {
      try {
        if (id !== undefined) await access.put(id, value);
        resolve(id === undefined ? "full" : "stored");
      } catch (error) {
        reject(error);
      } finally {
        this.#waiting--;
      }
    });
  }
}
