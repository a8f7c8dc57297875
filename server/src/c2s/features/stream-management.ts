import type { StreamFeature } from "../../stream/feature.ts";
import { then } from "../../util/maybe-promise.ts";
import { element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";
import { smFailed } from "../stream-management.ts";

/** XEP-0198 5: instead of binding a resource, the client takes up a session that it had. Enabling comes after binding. */
export const streamManagement: StreamFeature<ClientNegotiation> = {
  xmlns: NS.streamManagement,
  needs: ["authenticated"],
  until: [],
  takes: ({ name, xmlns }) => xmlns === NS.streamManagement && (name === "resume" || name === "enable"),
  // COMPAT(xmpp.js, 0.14): one that has enabled it with its login (XEP-0386), and is told of it then, does so again.
  advertise: (stream) => (stream.session?.isManaged ? undefined : element("sm", NS.streamManagement)),

  negotiate(request, stream) {
    if (request.name === "enable") {
      stream.send(smFailed("unexpected-request"));
      return undefined;
    }
    return then(stream.resume(request), ({ answer, isResumed }) => {
      stream.send(answer);
      return isResumed ? { gained: ["bound"], restart: false } : undefined;
    });
  },
};
