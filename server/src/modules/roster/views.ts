/**
 * What each session of this node has been shown of its roster, by version. A push that follows on it goes out as it came; one
 * that comes late or early, or after another was lost, is made good from the store. So a client that holds a version has been
 * sent all that led to it, in order.
 */
import type { Session } from "../../module/api.ts";
import { StorageError } from "../../storage/specs.ts";
import { randomId } from "../../util/ids.ts";
import type { MaybePromise } from "../../util/maybe-promise.ts";
import { type Element, element } from "../../xml/element.ts";
import type { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { Roster } from "./book.ts";
import { itemElement, NO_ITEM } from "./item.ts";

interface View {
  version: string;
  /** Settles when what is being sent is out; pushes wait for it. */
  busy: Promise<void> | undefined;
}

export class RosterViews {
  readonly #read: (account: Jid) => Promise<Roster>;
  readonly #failed: (error: unknown) => void;
  readonly #views = new WeakMap<Session, View>();

  constructor(read: (account: Jid) => Promise<Roster>, failed: (error: unknown) => void) {
    this.#read = read;
    this.#failed = failed;
  }

  /**
   * Reads the roster for a session that asks for it with the version it has, if any. Undefined when the session is to hear
   * of changes alone, by pushes that follow once the answer is out; meanwhile other pushes wait.
   */
  async open(session: Session, version: string | undefined): Promise<Roster | undefined> {
    const view = this.#views.get(session) ?? { version: "", busy: undefined };
    this.#views.set(session, view);
    while (view.busy !== undefined) await view.busy;
    const { promise, resolve } = Promise.withResolvers<void>();
    view.busy = promise;
    let afterwards = () => {};
    try {
      const roster = await this.#read(session.jid);
      const changes = version === undefined ? undefined : roster.since(version);
      // RFC 6121 2.6.3: pushes where they are less than the whole.
      const whole = changes === undefined || (changes.size > 0 && changes.size * 2 > roster.items.size);
      if (whole) view.version = roster.version;
      else afterwards = () => sendChanges(session, view, roster, changes);
      return whole ? roster : undefined;
    } finally {
      // The answer goes out in this turn of the event loop, and the rest after it.
      setImmediate(() => {
        afterwards();
        view.busy = undefined;
        resolve();
      });
    }
  }

  /** The stanza that carries a push to this session now; undefined when there is none any more, or it goes later. */
  take(session: Session, push: Element): MaybePromise<Element | undefined> {
    const view = this.#views.get(session);
    if (view?.busy !== undefined) {
      // Whoever pushes does not wait for who reads.
      void view.busy.then(() => this.#takeLater(session, push));
      return undefined;
    }
    const query = push.child("query", NS.roster) as Element;
    const { ver = "", [FOLLOWS]: follows } = query.attrs;
    // It has never asked here, and its version is not known: without one the push claims nothing.
    if (view === undefined) return withQuery(push, query, undefined);
    if (view.version === ver) return undefined;
    if (view.version !== follows) return this.#catchUp(session, view, withQuery(push, query, undefined));
    view.version = ver;
    return withQuery(push, query, ver);
  }

  async #takeLater(session: Session, push: Element): Promise<void> {
    try {
      const carried = this.take(session, push);
      const stanza = carried instanceof Promise ? await carried : carried;
      if (stanza !== undefined) session.send(stanza);
    } catch (error) {
      this.#failed(error);
    }
  }

  async #catchUp(session: Session, view: View, push: Element): Promise<Element | undefined> {
    const { promise, resolve } = Promise.withResolvers<void>();
    view.busy = promise;
    try {
      const roster = await this.#read(session.jid);
      const changes = roster.since(view.version);
      // Too far behind: it hears of this one, and of all the others when it next asks for the roster.
      if (changes === undefined) return push;
      sendChanges(session, view, roster, changes);
      return undefined;
    } catch (error) {
      if (error instanceof StorageError) return push;
      throw error;
    } finally {
      view.busy = undefined;
      resolve();
    }
  }
}

/** On a push between nodes: the version that it follows on. */
const FOLLOWS = "follows";

/** RFC 6121 2.1.6: the push as it goes to the sessions' nodes. */
export function pushElement(item: Element, versions: { readonly from: string; readonly to: string }): Element {
  return iq(element("query", NS.roster, { ver: versions.to, [FOLLOWS]: versions.from }, item));
}

function sendChanges(session: Session, view: View, roster: Roster, changes: ReadonlyMap<string, string>): void {
  const account = session.jid.bare;
  for (const [contact, version] of changes) {
    const item = itemElement(contact, roster.items.get(contact) ?? NO_ITEM);
    const push = iq(element("query", NS.roster, { ver: version }, item));
    session.send(push.with({ from: account, to: session.jid.full }));
  }
  view.version = roster.version;
}

function iq(query: Element): Element {
  return element("iq", NS.client, { type: "set", id: `push-${randomId(6)}` }, query);
}

function withQuery(push: Element, query: Element, ver: string | undefined): Element {
  return push.withChildren([query.with({ [FOLLOWS]: undefined, ver })]);
}
