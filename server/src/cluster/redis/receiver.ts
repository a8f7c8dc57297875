/** Takes frames apart, drops what has been seen, and counts what is missing. */
import { decodeFrame } from "./frame.ts";

export interface ReceiverCounters {
  received: number;
  receivedBytes: number;
  /** Messages that came twice, or after a later one. */
  duplicates: number;
  /** Messages that never came. */
  missing: number;
  malformed: number;
}

export class Receiver {
  readonly #dispatch: (channel: string, message: string, fromNode: string) => void;
  readonly #maxSenders: number;
  readonly #senders = new Map<string, { readonly link: string; last: number }>();
  readonly counters: ReceiverCounters = { received: 0, receivedBytes: 0, duplicates: 0, missing: 0, malformed: 0 };

  /** Of at most `maxSenders` nodes the numbering is remembered; beyond it the one heard from longest ago is forgotten. */
  constructor(maxSenders: number, dispatch: (channel: string, message: string, fromNode: string) => void) {
    this.#maxSenders = maxSenders;
    this.#dispatch = dispatch;
  }

  get senders(): number {
    return this.#senders.size;
  }

  take(text: string): void {
    const frame = decodeFrame(text);
    if (frame === undefined) {
      this.counters.malformed++;
      return;
    }
    this.counters.receivedBytes += text.length;

    const known = this.#senders.get(frame.node);
    const sender = known?.link === frame.link ? known : { link: frame.link, last: frame.first - 1 };
    this.#senders.delete(frame.node);
    this.#senders.set(frame.node, sender);
    if (this.#senders.size > this.#maxSenders) this.#forgetOldest();

    if (frame.first > sender.last + 1) this.counters.missing += frame.first - sender.last - 1;
    let number = frame.first;
    for (const { channel, message } of frame.messages) {
      if (number > sender.last) {
        sender.last = number;
        this.counters.received++;
        this.#dispatch(channel, message, frame.node);
      } else this.counters.duplicates++;
      number++;
    }
  }

  #forgetOldest(): void {
    for (const node of this.#senders.keys()) {
      this.#senders.delete(node);
      return;
    }
  }
}
