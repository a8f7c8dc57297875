/** Who hears what comes over the bus: one handler a channel. */
import type { ClusterLog } from "./cluster.ts";

type Heard = (message: string, fromNode: string) => void;

export class Handlers {
  readonly #log: ClusterLog;
  readonly #byChannel = new Map<string, Heard>();
  /** Messages for a channel without a handler. */
  unclaimed = 0;
  /** Handlers that threw. */
  failed = 0;

  constructor(log: ClusterLog) {
    this.#log = log;
  }

  add(channel: string, heard: Heard): void {
    if (this.#byChannel.has(channel)) throw new Error(`channel ${channel} already has a handler`);
    this.#byChannel.set(channel, heard);
  }

  /** Never throws: what a handler throws is logged, and the next message still comes. */
  dispatch(channel: string, message: string, fromNode: string): void {
    const heard = this.#byChannel.get(channel);
    if (heard === undefined) {
      this.unclaimed++;
      return;
    }
    try {
      heard(message, fromNode);
    } catch (error) {
      this.failed++;
      this.#log("cluster.handler.failed", { channel, fromNode, error });
    }
  }
}
