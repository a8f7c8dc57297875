import type { Counter, Metrics } from "../observe/metrics.ts";

const KINDS = ["message", "presence", "iq"] as const;

/** Counts the stanzas of client streams, by kind and direction. */
export class StanzaCounters {
  readonly #in = new Map<string, Counter>();
  readonly #out = new Map<string, Counter>();

  constructor(metrics: Metrics) {
    const received = metrics.counters("xmpp_stanzas_received_total", "Stanzas taken from clients.", ["kind"]);
    const sent = metrics.counters("xmpp_stanzas_sent_total", "Stanzas handed to clients.", ["kind"]);
    for (const kind of KINDS) {
      this.#in.set(kind, received(kind));
      this.#out.set(kind, sent(kind));
    }
  }

  /** False when it is no stanza at all. */
  received(name: string): boolean {
    const counter = this.#in.get(name);
    counter?.inc();
    return counter !== undefined;
  }

  sent(name: string): void {
    this.#out.get(name)?.inc();
  }
}
