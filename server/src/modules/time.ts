/** XEP-0202: what time it is at the server. */
import { defineModule } from "../module/api.ts";
import { element } from "../xml/element.ts";
import { NS } from "../xmpp/namespaces.ts";

export const time = defineModule({
  name: "time",
  implements: [{ xep: 202, version: "2.0" }],

  start({ clock, iq }) {
    iq(NS.time, "time", {
      host: {
        get() {
          // In UTC: where the server stands is nobody's business.
          const utc = new Date(clock.seconds() * 1000).toISOString().replace(/\.\d+/, "");
          return element("time", NS.time, {}, element("tzo", NS.time, {}, "+00:00"), element("utc", NS.time, {}, utc));
        },
      },
    });
  },
});
