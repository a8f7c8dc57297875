/**
 * RFC 6121 4.3: what is answered to those who ask for an account's presence. Only its own node knows what a session shows, so
 * the question goes on to the session, and the answer comes from there.
 */
import type { Envelope, Router, Session, SessionTable } from "../../module/api.ts";
import { seal } from "../../module/envelope.ts";
import { swallow, type Verdict } from "../../module/hooks.ts";
import type { MapStore } from "../../storage/specs.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { type Element, element } from "../../xml/element.ts";
import type { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { delayed } from "../../xmpp/stanza.ts";
import type { RosterApi } from "../roster.ts";
import type { DirectedPresence } from "./directed.ts";
import { announcement, farewell } from "./words.ts";

/** What the asker may learn: all that is shown; only whether the session is there; that only if it was shown directly. */
type Extent = "whole" | "mere" | "directed";

/** On a question between nodes: its extent. */
const EXTENT = "urn:meerkat:probe";

export interface ProbeParts {
  readonly router: Router;
  readonly sessions: SessionTable;
  readonly contacts: RosterApi;
  readonly directed: DirectedPresence;
  /** When an account was last seen to leave, in seconds since 1970. */
  readonly lastSeen: MapStore<number>;
  serves(domain: string): boolean;
}

/** The one key of `lastSeen`. */
export const LEFT = "left";

export class Probes {
  readonly #parts: ProbeParts;
  /** Of whom a session has heard since it came online, as long as it is being told of its contacts. */
  readonly #gathering = new WeakMap<Session, Set<string>>();

  constructor(parts: ProbeParts) {
    this.#parts = parts;
  }

  /** RFC 6121 4.3.2: somebody asks an account, or one of its sessions. */
  async answer({ stanza, from, to }: Envelope): Promise<Verdict> {
    const { router, sessions, contacts } = this.#parts;
    const { id } = stanza.attrs;
    const account = to.toBare();
    // RFC 6120 10: a server is there for everyone.
    if (to.local === "") {
      await router.route(seal(element("presence", NS.client), account, from));
      return swallow;
    }
    const sees = await contacts.seesPresence(from, account);
    if (to.isBare && !sees) {
      await this.#deny(account, from, id);
      return swallow;
    }
    const entries = await sessions.locate(account);
    if (!to.isBare) {
      const entry = entries.find(({ jid }) => jid.resource === to.resource);
      if (entry !== undefined) await this.ask(entry.jid, from, sees ? "mere" : "directed", id);
      else if (sees) await router.route(seal(farewell(id), to, from));
      else await this.#deny(account, from, id);
      return swallow;
    }
    const online = entries.filter(({ priority }) => priority !== undefined);
    if (online.length === 0) await this.#tellAway(account, from, await this.#parts.lastSeen.get(account, LEFT), id);
    for (const { jid } of online) await this.ask(jid, from, "whole");
    return swallow;
  }

  /** Has a session, on whatever node, tell the asker. */
  ask(session: Jid, asker: Jid, extent: Extent, id?: string): MaybePromise<void> {
    return this.#parts.router.route(seal(question(extent, id), asker, session));
  }

  /** Whether a probe is the server's own question to a session; what others send never is. */
  isQuestion({ stanza, origin }: Envelope): boolean {
    return origin.kind === "server" && extentOf(stanza) !== undefined;
  }

  /** A session that is being told of its contacts has heard from one of them. */
  heard(session: Session, from: Jid): void {
    this.#gathering.get(session)?.add(from.bare);
  }

  /** The question has come to the session. */
  reply({ stanza, from }: Envelope, session: Session): MaybePromise<Verdict> {
    const { router, directed } = this.#parts;
    const extent = extentOf(stanza);
    if (extent === "whole") {
      // One that has gone meanwhile has said so.
      if (session.presence === undefined) return swallow;
      return then(router.route(seal(session.presence, session.jid, from)), () => swallow);
    }
    const { id } = stanza.attrs;
    // RFC 6121 4.6.6: to whom it showed itself directly, it is there, whatever it shows to others.
    const isThere = extent === "mere" ? session.available : directed.has(session, from);
    if (extent === "directed" && !isThere) return then(this.#deny(session.jid.toBare(), from, id), () => swallow);
    const answer = isThere ? element("presence", NS.client) : farewell(id);
    return then(router.route(seal(answer, session.jid, from)), () => swallow);
  }

  /** RFC 6121 4.3.1, for a session that has come online: whatever there is to know of these contacts. */
  async gather(session: Session, seen: readonly Jid[]): Promise<void> {
    const { router, contacts, serves } = this.#parts;
    const account = session.jid.toBare();
    const here = seen.filter(({ local, domain }) => local !== "" && serves(domain));
    const elsewhere = seen.filter((contact) => !here.includes(contact));
    const shown = await contacts.shownTo(account, here);
    await Promise.all([
      ...elsewhere.map((contact) => {
        // From the account, as another server must read it (4.3); what answers here answers the session alone.
        const probe = element("presence", NS.client, { type: "probe", from: account.full, to: contact.full });
        return router.route({ ...seal(probe, session.jid, contact), stanza: probe });
      }),
      ...here.filter(({ bare }) => !shown.has(bare)).map((contact) => this.#deny(contact, account, undefined)),
      this.#gatherHere(
        session,
        here.filter(({ bare }) => shown.has(bare)),
      ),
    ]);
  }

  /** Whoever is there tells by itself; whoever is not is told of, unless word of it has come meanwhile. */
  async #gatherHere(session: Session, contacts: readonly Jid[]): Promise<void> {
    const { router, sessions } = this.#parts;
    const heard = new Set<string>();
    this.#gathering.set(session, heard);
    try {
      await router.fanOut(question("whole"), session.jid, contacts);
      const since = await this.#parts.lastSeen.getEach(contacts, LEFT);
      const located = await sessions.locateEach(contacts);
      for (const contact of contacts) {
        const isThere = located.get(contact.bare)?.some(({ priority }) => priority !== undefined) ?? false;
        if (!isThere && !heard.has(contact.bare)) await this.#tellAway(contact, session.jid, since.get(contact.bare));
      }
    } finally {
      this.#gathering.delete(session);
    }
  }

  /** RFC 6121 4.3.2, rule 3: nobody is there, and since when. */
  #tellAway(account: Jid, asker: Jid, left: number | undefined, id?: string): MaybePromise<void> {
    const word = farewell(id);
    const dated = left === undefined ? word : delayed(word, account.domain, new Date(left * 1000));
    return this.#parts.router.route(seal(dated, account, asker));
  }

  #deny(account: Jid, asker: Jid, id: string | undefined): MaybePromise<void> {
    return this.#parts.router.route(seal(announcement("unsubscribed", id), account, asker.toBare()));
  }
}

function question(extent: Extent, id?: string): Element {
  const attrs: Record<string, string> = { type: "probe" };
  if (id !== undefined) attrs.id = id;
  return element("presence", NS.client, attrs, element(extent, EXTENT));
}

function extentOf(stanza: Element): Extent | undefined {
  return stanza.elements().find(({ xmlns }) => xmlns === EXTENT)?.name as Extent | undefined;
}
