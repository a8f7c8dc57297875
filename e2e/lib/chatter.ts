/** A client that writes one message after the other and knows of each whether the server has taken it over (XEP-0198). */
import { RawClient } from "./raw.ts";
import type { Account, Site } from "./topology.ts";

const SM = "urn:xmpp:sm:3";

export class Chatter implements AsyncDisposable {
  /** Texts that the server has acknowledged, and refused with an error, each in the order they were sent in. */
  readonly acknowledged: string[] = [];
  readonly refused: string[] = [];
  /** Milliseconds of the longest time from one acknowledged message to the next. */
  longestGap = 0;
  readonly #client: RawClient;
  readonly #name: string;
  #sent = 0;
  #received = 0;
  #last = performance.now();

  private constructor(client: RawClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  static async open(site: Site, account: Account): Promise<Chatter> {
    const client = await RawClient.online(site, account);
    client.send(`<enable xmlns='${SM}'/>`);
    await client.until(/<enabled[^>]*>/);
    return new Chatter(client, account.local);
  }

  /** Sends a message and waits for its acknowledgement; true when it was not refused. */
  async say(to: string, withinMs = 30_000): Promise<boolean> {
    const text = `${this.#name} ${++this.#sent}`;
    this.#client.send(
      `<message to='${to}' type='chat' id='${this.#sent}'><body>${text}</body></message><r xmlns='${SM}'/>`,
    );
    // What came of the message was sent before its acknowledgement.
    const before = await this.#client.until(new RegExp(`<a [^>]*h=['"]${this.#sent}['"][^>]*/>`), withinMs);
    const stanzas = [...before.matchAll(/<(?:message|iq|presence)\b[^>]*>/g)].map(([tag]) => tag);
    this.#received += stanzas.length;
    if (/<r\b/.test(before)) this.#client.send(`<a xmlns='${SM}' h='${this.#received}'/>`);
    if (stanzas.some((tag) => /type=['"]error['"]/.test(tag))) {
      this.refused.push(text);
      return false;
    }
    this.acknowledged.push(text);
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.#last);
    this.#last = now;
    return true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#client[Symbol.asyncDispose]();
  }
}
