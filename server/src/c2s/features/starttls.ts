import type { StreamFeature } from "../../stream/feature.ts";
import { type Element, element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";

const takes = ({ name, xmlns }: Element) => name === "starttls" && xmlns === NS.tls;
/** RFC 6120 5.4.2.2. */
const refusal = element("failure", NS.tls);

/** For streams that have TLS already, or never will: what asks for it is refused in the words for that. */
export const noStartTls: StreamFeature<ClientNegotiation> = {
  xmlns: NS.tls,
  needs: ["secure"],
  until: ["secure"],
  takes,
  advertise: () => element("starttls", NS.tls),
  negotiate: () => undefined,
  refusal,
};

/** RFC 6120 5: TLS on the connection that is already there. `required` keeps everything else from being offered first. */
export function startTls({ required }: { readonly required: boolean }): StreamFeature<ClientNegotiation> {
  return {
    xmlns: NS.tls,
    needs: [],
    until: ["secure", "authenticated"],
    takes,
    refusal,
    advertise: () =>
      required ? element("starttls", NS.tls, {}, element("required", NS.tls)) : element("starttls", NS.tls),
    negotiate(_element, stream) {
      stream.send(element("proceed", NS.tls));
      // RFC 6120 5.4.3.1: the certificate of the domain that the client has named, if it does not name another by TLS.
      stream.transport.startTls(stream.host.domain);
      return { gained: ["secure"], restart: true };
    },
  };
}
