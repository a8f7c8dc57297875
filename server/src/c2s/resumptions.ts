import { Lru } from "../util/lru.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { ClientSession } from "./session.ts";

/** The sessions of this node that can be resumed, by the id that XEP-0198 gives them, and what became of the last ones. */
export class Resumptions {
  readonly #sessions = new Map<string, ClientSession>();
  readonly #ended: Lru<string, { readonly account: string; readonly h: number }>;

  constructor(remembered: number) {
    this.#ended = new Lru(remembered);
  }

  add(id: string, session: ClientSession): void {
    this.#sessions.set(id, session);
  }

  remove(id: string, session: ClientSession, h: number): void {
    if (this.#sessions.get(id) !== session) return;
    this.#sessions.delete(id);
    this.#ended.set(id, { account: session.jid.bare, h });
  }

  /** Only the account whose session it is finds it. */
  find(id: string, account: Jid): ClientSession | undefined {
    const session = this.#sessions.get(id);
    return session?.jid.bare === account.bare ? session : undefined;
  }

  /** How much was handled of a session that has ended (XEP-0198 5). */
  lastCount(id: string, account: Jid): number | undefined {
    const ended = this.#ended.get(id);
    return ended?.account === account.bare ? ended.h : undefined;
  }

  /** Sessions that wait for their client. */
  get waiting(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.isWaiting) count++;
    return count;
  }
}
