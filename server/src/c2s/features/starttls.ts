import type { StreamFeature } from "../../stream/feature.ts";
import { element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";

/** RFC 6120 5: TLS on the connection that is already there. `required` keeps everything else from being offered first. */
export function startTls({ required }: { readonly required: boolean }): StreamFeature<ClientNegotiation> {
  return {
    xmlns: NS.tls,
    needs: [],
    until: ["secure", "authenticated"],
    takes: ({ name, xmlns }) => name === "starttls" && xmlns === NS.tls,
    advertise: () =>
      required ? element("starttls", NS.tls, {}, element("required", NS.tls)) : element("starttls", NS.tls),
    negotiate(_element, stream) {
      stream.send(element("proceed", NS.tls));
      stream.transport.startTls();
      return { gained: ["secure"], restart: true };
    },
  };
}
