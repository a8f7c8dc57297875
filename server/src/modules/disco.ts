/** XEP-0030: what the server, its accounts and what belongs to them can do; other modules say more about them (XEP-0128). */
import { z } from "zod";
import { type Addressee, defineModule, type IqMethods, type IqRequest } from "../module/api.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { roster } from "./roster.ts";

const config = z.strictObject({
  /** The name that clients show for the server. */
  name: z.string().max(200).default("Meerkat"),
});

/** Someone asks about a node of a host or an account. */
export interface NodeRequest {
  readonly node: string;
  readonly from: Jid;
  readonly to: Jid;
}

/** Answers for nodes: the children of the answer, or undefined for a node that it does not know. */
export interface NodeServer {
  info?(request: NodeRequest): MaybePromise<readonly Element[] | undefined>;
  items?(request: NodeRequest): MaybePromise<readonly Element[] | undefined>;
}

export interface DiscoApi {
  /** Says more about every host, or every account: an identity, or a form (XEP-0128). To be called while modules start. */
  describe(of: Addressee, child: Element): void;
  /** Serves nodes of hosts, or of accounts; who may not see the account's presence is not even asked about. */
  serve(of: Addressee, server: NodeServer): void;
  /** What a host tells everyone about itself. */
  host(): Element;
}

export const disco = defineModule({
  name: "disco",
  implements: [
    { xep: 30, version: "2.5.0" },
    { xep: 128, version: "1.0.1" },
  ],
  config,
  requires: [roster],

  start({ config: { name }, sessions, gather, iq, features, use }): DiscoApi {
    const { seesPresence } = use(roster);
    const described: Record<Addressee, Element[]> = {
      host: [inEnglish(element("identity", NS.discoInfo, { category: "server", type: "im", name }))],
      account: [element("identity", NS.discoInfo, { category: "account", type: "registered" })],
    };
    const servers: Record<Addressee, NodeServer[]> = { host: [], account: [] };

    function info(of: Addressee): Element {
      const known = features(of).map((variable) => element("feature", NS.discoInfo, { var: variable }));
      const identities = described[of].filter((child) => child.name === "identity");
      const forms = described[of].filter((child) => child.name !== "identity");
      return element("query", NS.discoInfo, {}, ...identities, ...known, ...forms);
    }

    async function node(of: Addressee, kind: keyof NodeServer, { from, to, payload }: IqRequest): Promise<Element> {
      const asked = payload.attrs.node ?? "";
      for (const server of servers[of]) {
        const children = await server[kind]?.({ node: asked, from, to });
        // XEP-0030 3.2 and 4.2: the answer names the node again.
        if (children !== undefined) return element("query", payload.xmlns, { node: asked }, ...children);
      }
      throw new StanzaError("item-not-found");
    }

    async function items(of: Addressee, { from, to }: IqRequest): Promise<Element> {
      const found: Element[] = [];
      if (of === "account") {
        const online = (await sessions.locate(to)).filter(({ priority }) => priority !== undefined);
        found.push(...online.map(({ jid }) => element("item", NS.discoItems, { jid: jid.full })));
      }
      await gather("discoItems", { add: (item) => found.push(item), to, from });
      return element("query", NS.discoItems, {}, ...found);
    }

    function answers(of: Addressee, kind: keyof NodeServer): IqMethods {
      return {
        async get(request) {
          const { from, to, payload } = request;
          // XEP-0030 8: whether an account exists is told to those alone who may see its presence.
          if (of === "account" && !(await seesPresence(from, to))) throw new StanzaError("service-unavailable");
          if (payload.attrs.node !== undefined) return node(of, kind, request);
          return kind === "info" ? info(of) : items(of, request);
        },
      };
    }

    iq(NS.discoInfo, "query", { host: answers("host", "info"), account: answers("account", "info") });
    iq(NS.discoItems, "query", { host: answers("host", "items"), account: answers("account", "items") });

    return {
      describe: (of, child) => void described[of].push(child.name === "identity" ? inEnglish(child) : child),
      serve: (of, server) => void servers[of].push(server),
      host: () => info("host"),
    };
  },
});

/** An identity without a language has that of whatever stream it is read on, and no certain hash (XEP-0390 4.1). */
function inEnglish(identity: Element): Element {
  return identity.with({ "xml:lang": identity.attrs["xml:lang"] ?? "en" });
}
