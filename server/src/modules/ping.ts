/** XEP-0199: whether the server is there. */
import { defineModule } from "../module/api.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

export const ping = defineModule({
  name: "ping",
  implements: [{ xep: 199, version: "2.0.1" }],

  start({ iq }) {
    iq(NS.ping, "ping", {
      host: { get: () => undefined },
      account: {
        // RFC 6121 8.5.1: an account that does not exist answers service-unavailable, and strangers see no difference.
        get({ from, to }) {
          if (from.bare !== to.bare) throw new StanzaError("service-unavailable");
          return undefined;
        },
      },
    });
  },
});
