/** XEP-0199: whether the server, or an account's server, is there. */
import { defineModule } from "../module/api.ts";
import { NS } from "../xmpp/namespaces.ts";

export const ping = defineModule({
  name: "ping",
  implements: [{ xep: 199, version: "2.0.1" }],

  start({ iq }) {
    const pong = () => undefined;
    iq(NS.ping, "ping", { host: { get: pong }, account: { get: pong } });
  },
});
