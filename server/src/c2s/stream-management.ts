/** XEP-0198: what the client sent and was handled, and what was sent to it and is not acknowledged. Knows no sockets and no clock. */
import type { Envelope } from "../module/api.ts";
import { type Element, element } from "../xml/element.ts";
import { type StanzaCondition, StreamError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

/** A stanza that the client may not have. */
export interface Unacked {
  readonly stanza: Element;
  /** Set when nobody else got it, so that it has to go elsewhere should the client never take it. */
  readonly envelope: Envelope | undefined;
  /** When it was first sent, milliseconds since 1970. */
  readonly at: number;
  /** Length of its text. */
  readonly size: number;
}

/** Counters are modulo 2^32 (XEP-0198 4). */
const MODULUS = 2 ** 32;

export class StreamManagement {
  /** What the client asks for to resume; "" when it did not want to. */
  readonly id: string;
  /** How long it may stay away, milliseconds. */
  readonly resumeForMs: number;
  #received = 0;
  #acked = 0;
  /** The same, never wrapped. */
  #ackedInAll = 0;
  #bytes = 0;
  readonly #queue: Unacked[] = [];

  constructor(id: string, resumeForMs: number) {
    this.id = id;
    this.resumeForMs = resumeForMs;
  }

  get resumable(): boolean {
    return this.id !== "";
  }

  /** Stanzas of the client that were handled: the server has them, or has passed them on. */
  get h(): number {
    return this.#received;
  }

  /** In the order in which they were sent. */
  get unacked(): readonly Unacked[] {
    return this.#queue;
  }

  /** Length of the text of all that is unacknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  handled(): void {
    this.#received = (this.#received + 1) % MODULUS;
  }

  sent(one: Unacked): void {
    this.#queue.push(one);
    this.#bytes += one.size;
  }

  /**
   * The client says how many stanzas it has, of all that were sent. False for fewer than it had said before, which says
   * nothing. Throws a StreamError for more than were sent.
   */
  acknowledge(h: number): boolean {
    const fresh = (h - this.#acked + MODULUS) % MODULUS;
    const behind = (this.#acked - h + MODULUS) % MODULUS;
    if (fresh > this.#queue.length) {
      if (behind <= this.#ackedInAll) return false;
      const sent = (this.#acked + this.#queue.length) % MODULUS;
      const detail = element("handled-count-too-high", NS.streamManagement, { h: `${h}`, "send-count": `${sent}` });
      throw new StreamError("undefined-condition", `${h} stanzas acknowledged, but only ${sent} sent`, detail);
    }
    this.#acked = h;
    this.#ackedInAll += fresh;
    for (const { size } of this.#queue.splice(0, fresh)) this.#bytes -= size;
    return true;
  }

  /** Takes all that is unacknowledged away. */
  drain(): Unacked[] {
    this.#bytes = 0;
    return this.#queue.splice(0);
  }
}

/** The `h` of an element: a whole number below 2^32. Undefined if it is not. */
export function readCount(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const count = Number(text);
  return count < MODULUS ? count : undefined;
}

/** XEP-0198 6: `h` is told for a session that is known to have ended. */
export function smFailed(condition: StanzaCondition, h?: number): Element {
  const attrs: Record<string, string> = h === undefined ? {} : { h: `${h}` };
  return element("failed", NS.streamManagement, attrs, element(condition, NS.stanzaErrors));
}

/** XML Schema's boolean (XEP-0198 3). */
export function isTrue(text: string | undefined): boolean {
  return text === "true" || text === "1";
}
