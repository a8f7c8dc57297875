import type { Registrar, Visitor } from "../../module/api.ts";
import { StorageError } from "../../storage/specs.ts";
import type { Fact, StreamFeature } from "../../stream/feature.ts";
import { type Element, element } from "../../xml/element.ts";
import { StanzaError, UnquotedError } from "../../xmpp/errors.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { errorReply } from "../../xmpp/stanza.ts";
import type { ClientNegotiation } from "../client-stream.ts";

/** XEP-0077: a client without an account makes one, before it logs in. */
export function register(registrar: Registrar, needs: readonly Fact[]): StreamFeature<ClientNegotiation> {
  return {
    xmlns: NS.registerFeature,
    needs,
    until: ["authenticated"],
    takes: (iq) => iq.name === "iq" && iq.xmlns === NS.client && iq.child("query", NS.register) !== undefined,
    advertise: () => element("register", NS.registerFeature),

    async negotiate(iq, stream) {
      const domain = stream.host.domain;
      try {
        const payload = await answer(registrar, iq, visitorOf(stream));
        const attrs = { type: "result", id: iq.attrs.id ?? "", from: domain };
        stream.send(element("iq", NS.client, attrs, payload ?? ""));
      } catch (error) {
        stream.send(errorReply(iq, refusal(error), domain, "").with({ to: undefined }));
      }
      return undefined;
    },
  };
}

export function visitorOf({ transport, facts, host }: ClientNegotiation): Visitor {
  return { address: transport.address, secure: facts.has("secure"), domain: host.domain };
}

async function answer(registrar: Registrar, iq: Element, visitor: Visitor): Promise<Element | undefined> {
  const { id, type, to = visitor.domain } = iq.attrs;
  const [query, ...more] = iq.elements();
  const isRequest = id !== undefined && (type === "get" || type === "set");
  if (!isRequest || query === undefined || more.length > 0) throw new StanzaError("bad-request");
  if (to !== visitor.domain) throw new StanzaError("not-allowed", "this stream is for another domain");
  return registrar.answer(type, query, visitor);
}

/** What was sent is not repeated: it may hold a password. */
function refusal(error: unknown): UnquotedError {
  if (error instanceof StorageError) return new UnquotedError("resource-constraint", "try again later");
  if (!(error instanceof StanzaError)) throw error;
  return new UnquotedError(error.condition, error.text, error.type, error.detail);
}
