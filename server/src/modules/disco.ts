/** XEP-0030: what the server, its accounts and what belongs to them can do. */
import { z } from "zod";
import { defineModule } from "../module/api.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";
import { roster } from "./roster.ts";

const config = z.strictObject({
  /** The name that clients show for the server. */
  name: z.string().max(200).default("Meerkat"),
});

export const disco = defineModule({
  name: "disco",
  implements: [{ xep: 30, version: "2.5.0" }],
  config,
  requires: [roster],

  start({ config: { name }, sessions, gather, iq, features, use }) {
    const { seesPresence } = use(roster);

    iq(NS.discoInfo, "query", {
      host: {
        get: ({ payload }) =>
          info(payload, element("identity", NS.discoInfo, { category: "server", type: "im", name })),
      },
      account: {
        // XEP-0030 8: whether an account exists is told to those alone who may see its presence.
        async get({ from, to, payload }) {
          if (!(await seesPresence(from, to))) throw new StanzaError("service-unavailable");
          return info(payload, element("identity", NS.discoInfo, { category: "account", type: "registered" }));
        },
      },
    });

    iq(NS.discoItems, "query", {
      host: {
        async get({ from, to, payload }) {
          refuseNode(payload);
          const items: Element[] = [];
          await gather("discoItems", { add: (item) => items.push(item), to, from });
          return element("query", NS.discoItems, {}, ...items);
        },
      },
      account: {
        async get({ from, to, payload }) {
          if (!(await seesPresence(from, to))) throw new StanzaError("service-unavailable");
          refuseNode(payload);
          const online = (await sessions.locate(to)).filter(({ priority }) => priority !== undefined);
          const items = online.map(({ jid }) => element("item", NS.discoItems, { jid: jid.full }));
          return element("query", NS.discoItems, {}, ...items);
        },
      },
    });

    function info(payload: Element, identity: Element): Element {
      refuseNode(payload);
      const known = features("host").map((variable) => element("feature", NS.discoInfo, { var: variable }));
      return element("query", NS.discoInfo, {}, identity, ...known);
    }
  },
});

/** No nodes are served here, and an unknown one is an error (XEP-0030 7). */
function refuseNode({ attrs }: Element): void {
  if (attrs.node !== undefined) throw new StanzaError("item-not-found");
}
