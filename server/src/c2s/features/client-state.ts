import type { StreamFeature } from "../../stream/feature.ts";
import { element } from "../../xml/element.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";

/** XEP-0352: only made known; the session takes the client's word for its state. */
export const clientState: StreamFeature<ClientNegotiation> = {
  xmlns: NS.clientState,
  needs: ["authenticated"],
  // Also told to a client that binds with its login (XEP-0386).
  until: [],
  takes: () => false,
  advertise: () => element("csi", NS.clientState),
  negotiate: () => undefined,
};
