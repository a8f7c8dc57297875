/**
 * RFC 6121 4.6: whom a session showed itself to of its own accord, and so owes a good-bye. Each list is with its session and,
 * behind the stanza's back, in the store, so that another node can say what a dead one no longer can.
 */
import type { Session } from "../../module/api.ts";
import type { Logger } from "../../observe/log.ts";
import type { MapStore } from "../../storage/specs.ts";
import { type Jid, parseJid } from "../../xmpp/jid.ts";

/** As it is kept, under the session's id. */
export interface KeptDirected {
  readonly resource: string;
  readonly to: readonly string[];
}

interface List {
  /** By full address, the oldest first. */
  readonly out: Map<string, Jid>;
  /** Settles when the store knows of the list as it is. */
  saving: Promise<void> | undefined;
  changed: boolean;
}

export class DirectedPresence {
  readonly #store: MapStore<KeptDirected> | undefined;
  readonly #max: number;
  readonly #log: Logger;
  readonly #lists = new WeakMap<Session, List>();

  /** Without a store, what a dead node's sessions had out is forgotten. */
  constructor(store: MapStore<KeptDirected> | undefined, max: number, log: Logger) {
    this.#store = store;
    this.#max = max;
    this.#log = log;
  }

  has(session: Session, entity: Jid): boolean {
    return this.#lists.get(session)?.out.has(entity.full) ?? false;
  }

  /** True when it is the session's first; beyond the limit the oldest is forgotten. */
  add(session: Session, to: Jid): boolean {
    let list = this.#lists.get(session);
    const first = list === undefined;
    if (list === undefined) {
      list = { out: new Map(), saving: undefined, changed: false };
      this.#lists.set(session, list);
    }
    const known = list.out.delete(to.full);
    list.out.set(to.full, to);
    if (list.out.size > this.#max) list.out.delete(list.out.keys().next().value as string);
    if (!known) this.#save(session, list);
    return first;
  }

  remove(session: Session, entity: Jid): void {
    const list = this.#lists.get(session);
    if (list?.out.delete(entity.full)) this.#save(session, list);
  }

  /** Forgets the list, which is returned. */
  take(session: Session): Jid[] {
    const list = this.#lists.get(session);
    if (list === undefined || list.out.size === 0) return [];
    const all = [...list.out.values()];
    list.out.clear();
    this.#save(session, list);
    return all;
  }

  /**
   * The lists of an account's sessions that are no more, by resource; each is forgotten as it is returned. `living` are the
   * sessions there are; with a resource, only its list is taken.
   */
  async takeLost(
    account: Jid,
    living: readonly { readonly jid: Jid; readonly id: string }[],
    only?: string,
  ): Promise<ReadonlyMap<string, readonly Jid[]>> {
    const lost = new Map<string, Jid[]>();
    if (this.#store === undefined) return lost;
    try {
      const kept = await this.#store.list(account);
      for (const [id, { resource, to }] of kept) {
        if (living.some((entry) => entry.id === id) || (only !== undefined && resource !== only)) continue;
        await this.#store.remove(account, id);
        // What has the address now has told these itself, or will say good-bye to them in its time.
        const heir = living.find(({ jid }) => jid.resource === resource);
        const told = new Set(heir === undefined ? [] : kept.get(heir.id)?.to);
        const left = to.filter((each) => !told.has(each)).map(parseJid);
        const before = lost.get(resource) ?? [];
        lost.set(resource, [...before, ...left.filter((each) => each !== undefined)]);
      }
    } catch (error) {
      this.#log.warn("directed_presence.not_settled", { jid: account.bare, error });
    }
    return lost;
  }

  /** One writing at a time; what changes meanwhile is written after it, all at once. */
  #save(session: Session, list: List): void {
    if (this.#store === undefined) return;
    list.changed = true;
    list.saving ??= this.#write(this.#store, session, list);
  }

  async #write(store: MapStore<KeptDirected>, { jid, id }: Session, list: List): Promise<void> {
    try {
      while (list.changed) {
        list.changed = false;
        if (list.out.size === 0) await store.remove(jid, id);
        else await store.set(jid, id, { resource: jid.resource, to: [...list.out.keys()] });
      }
    } catch (error) {
      // The next change tries again; only the death of this node before it would leave someone without a good-bye.
      this.#log.warn("directed_presence.not_kept", { jid: jid.full, error });
    } finally {
      list.saving = undefined;
    }
  }
}
