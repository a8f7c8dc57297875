import type { StreamFeature } from "../../stream/feature.ts";
import { randomId } from "../../util/ids.ts";
import { type Element, element } from "../../xml/element.ts";
import { StanzaError, StreamError } from "../../xmpp/errors.ts";
import { type Jid, makeJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { errorReply } from "../../xmpp/stanza.ts";
import type { ClientNegotiation } from "../client-stream.ts";

/** RFC 6120 7: the client names a resource, or is given one, and has a session from then on. At most `refusals` are refused. */
export function bind({ refusals }: { readonly refusals: number }): StreamFeature<ClientNegotiation> {
  const refused = new WeakMap<ClientNegotiation, number>();

  /** RFC 6120 7.6.2.2, 7.7.2: the client may try again with another resource; 7.7.3: so many times. */
  function refuse(iq: Element, error: StanzaError, stream: ClientNegotiation): undefined {
    const count = (refused.get(stream) ?? 0) + 1;
    refused.set(stream, count);
    stream.send(errorReply(iq, error, undefined, stream.account?.bare ?? "").with({ to: undefined }));
    if (count >= refusals) throw new StreamError("policy-violation", "too many refused resources");
  }

  return {
    xmlns: NS.bind,
    needs: ["authenticated"],
    until: ["bound"],
    takes: (iq) => iq.name === "iq" && iq.xmlns === NS.client && iq.child("bind", NS.bind) !== undefined,
    advertise: () => element("bind", NS.bind),

    async negotiate(iq, stream) {
      try {
        const jid = boundJid(iq, stream);
        await stream.bind(jid);
        const payload = element("bind", NS.bind, {}, element("jid", NS.bind, {}, jid.full));
        stream.send(element("iq", NS.client, { type: "result", id: iq.attrs.id ?? "" }, payload));
        return { gained: ["bound"], restart: false };
      } catch (error) {
        if (!(error instanceof StanzaError)) throw error;
        return refuse(iq, error, stream);
      }
    },
  };
}

function boundJid(iq: Element, stream: ClientNegotiation): Jid {
  const { id, type } = iq.attrs;
  if (type !== "set" || id === undefined) throw new StanzaError("bad-request");
  const wanted = iq.child("bind", NS.bind)?.childText("resource") ?? "";
  const account = stream.account as Jid;
  // RFC 6120 7.6.1: without a wish the server makes one that nobody can guess.
  const jid = makeJid(account.local, account.domain, wanted === "" ? randomId(12) : wanted);
  if (jid === undefined) throw new StanzaError("bad-request", "the resource is not valid");
  return jid;
}

/** RFC 3921's session request: offered for clients that still ask, and an empty step (RFC 6121 1.4). */
export const legacySession: StreamFeature<ClientNegotiation> = {
  xmlns: NS.session,
  needs: ["authenticated"],
  until: ["bound"],
  takes: () => false,
  advertise: () => element("session", NS.session, {}, element("optional", NS.session)),
  negotiate: () => undefined,
};
