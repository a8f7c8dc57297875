/** XEP-0012: how long ago an account was last online, and how long its server has been up. */
import { defineModule } from "../module/api.ts";
import { keyValue } from "../storage/specs.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { presenceType } from "../xmpp/stanza.ts";
import { roster } from "./roster.ts";

/** When an account was last online, and what it said as it left. */
interface LastSeen {
  /** Seconds since 1970. */
  readonly at: number;
  readonly status: string;
}

/** Characters of a status that are kept. */
const LONGEST_STATUS = 1024;

export const lastActivity = defineModule({
  name: "last-activity",
  implements: [{ xep: 12, version: "2.0" }],
  stores: { lastSeen: keyValue<LastSeen>("last_seen") },
  requires: [roster],

  start({ stores, sessions, accounts, clock, log, filter, on, iq, use }) {
    const { seesPresence } = use(roster);
    const startedAt = clock.seconds();

    /** Of several sessions the one that leaves last has the last word. */
    async function left(jid: Jid, status = ""): Promise<void> {
      // A session may outlive its account by a moment, and whoever has the name next must find nothing.
      if (!(await accounts.exists(jid))) return;
      const kept = Array.from(status).slice(0, LONGEST_STATUS).join("");
      await stores.lastSeen.set(jid, { at: clock.seconds(), status: kept });
    }

    // Before the presence module, which lets no broadcast pass. The stanza does not wait for the store.
    filter("userSend", "rewrite", ({ stanza, origin }) => {
      if (stanza.name !== "presence" || stanza.attrs.to !== undefined || origin.kind !== "client") return;
      if (presenceType(stanza) !== "unavailable" || !origin.session.available) return;
      const { jid } = origin.session;
      left(jid, stanza.childText("status")).catch((error: unknown) => {
        log.warn("last_seen.not_kept", { account: jid.bare, error });
      });
    });
    on("sessionClosed", ({ session, lastPresence }) => {
      if (lastPresence !== undefined) return left(session.jid);
    });
    on("sessionLost", ({ jid, available }) => {
      if (available) return left(jid);
    });
    on("accountRemoved", ({ account }) => stores.lastSeen.remove(account));

    // XEP-0012 4: a client is asked by those alone who may see its presence.
    filter("localDelivery", "guard", ({ stanza, from, to }) => {
      if (stanza.name !== "iq" || stanza.attrs.type !== "get" || to.isBare || to.local === "") return;
      if (stanza.child("query", NS.last) === undefined) return;
      return seesPresence(from, to).then((mayAsk) => (mayAsk ? undefined : new StanzaError("forbidden")));
    });

    iq(NS.last, "query", {
      host: { get: () => answer(clock.seconds() - startedAt) },
      account: {
        async get({ from, to }) {
          // Asking is as telling as presence itself.
          if (!(await seesPresence(from, to))) throw new StanzaError("forbidden");
          if (await sessions.online(to)) return answer(0);
          const seen = await stores.lastSeen.get(to);
          if (seen === undefined) throw new StanzaError("service-unavailable");
          return answer(Math.max(0, clock.seconds() - seen.at), seen.status);
        },
      },
    });
  },
});

function answer(seconds: number, status = ""): Element {
  return element("query", NS.last, { seconds: String(seconds) }, status);
}
