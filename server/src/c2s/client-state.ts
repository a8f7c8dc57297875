/** XEP-0352: what can wait while nobody looks at the client. */
import type { Element } from "../xml/element.ts";
import { NS } from "../xmpp/namespaces.ts";
import { messageType, presenceType } from "../xmpp/stanza.ts";

/** Stanzas held for a client that is not looking, in the order in which they will be sent. */
export class HeldStanzas<T extends { readonly stanza: Element }> {
  readonly #limit: number;
  /** Of those that say the same of the same, only the newest is kept. */
  readonly #held = new Map<string | symbol, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether it holds the stanza; else all that is held has to go first, and then the stanza. */
  hold(item: T): boolean {
    const subject = subjectOf(item.stanza);
    if (subject === undefined) return false;
    this.#held.delete(subject);
    if (this.#held.size >= this.#limit) return false;
    this.#held.set(subject, item);
    return true;
  }

  release(): T[] {
    const all = [...this.#held.values()];
    this.#held.clear();
    return all;
  }
}

/** What an unimportant stanza is about, as a key; undefined for one that the user should see at once. */
function subjectOf(stanza: Element): string | symbol | undefined {
  const from = stanza.attrs.from ?? "";
  if (stanza.name === "presence") return isNews(stanza) ? `presence ${from}` : undefined;
  if (stanza.name !== "message" || messageType(stanza) === "error") return undefined;
  let about: string | symbol | undefined;
  for (const child of stanza.elements()) {
    if (PASSING.has(child.xmlns)) continue;
    if (child.xmlns === NS.chatStates) about ??= `state ${from}`;
    else if (child.xmlns === NS.pubsubEvent) about = `event ${from} ${eventSubject(child)}`;
    else if (QUIET.has(child.xmlns)) about = Symbol(child.xmlns);
    else return undefined;
  }
  return about;
}

/** A node has items that say different things, such as bookmarks; what becomes of one is no news of another. */
function eventSubject(event: Element): string {
  const [change] = event.elements();
  const items = change?.elements().map(({ attrs }) => attrs.id ?? "") ?? [];
  return JSON.stringify([change?.attrs.node ?? "", ...items]);
}

/** Someone's being there or not; a request to subscribe, an error, or word of the client's own place in a room is more. */
function isNews(stanza: Element): boolean {
  const type = presenceType(stanza);
  if (type !== "available" && type !== "unavailable") return false;
  return !stanza.elements().some((child) => child.xmlns === MUC_USER && child.child("status") !== undefined);
}

const MUC_USER = "http://jabber.org/protocol/muc#user";
/** Say how to treat a message, and nothing by themselves. */
const PASSING: ReadonlySet<string> = new Set(["urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:delay"]);
/** Receipts and displayed markers: each says something of its own, none is for the user's eyes. */
const QUIET: ReadonlySet<string> = new Set(["urn:xmpp:receipts", "urn:xmpp:chat-markers:0"]);
