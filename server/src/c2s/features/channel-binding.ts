import type { StreamFeature } from "../../stream/feature.ts";
import { element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";
import type { Login } from "../login.ts";

/** XEP-0440: what the mechanisms that are offered, in either SASL profile, can be bound to. */
export function channelBinding(login: Login): StreamFeature<ClientNegotiation> {
  return {
    xmlns: NS.channelBinding,
    needs: ["secure"],
    until: ["authenticated"],
    takes: () => false,
    advertise(stream) {
      const { bindings } = login.facts(stream).offered;
      // There must be one, and a mechanism to go with it (XEP-0440 3, rule 5).
      if (bindings.length === 0) return undefined;
      const types = bindings.map((type) => element("channel-binding", NS.channelBinding, { type }));
      return element("sasl-channel-binding", NS.channelBinding, {}, ...types);
    },
    negotiate: () => undefined,
  };
}
