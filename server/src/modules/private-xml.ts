/** XEP-0049: what clients keep on the server for themselves, such as bookmarks: one element for each name and namespace. */
import { z } from "zod";
import { size } from "../config/values.ts";
import { defineModule, type IqRequest } from "../module/api.ts";
import { map } from "../storage/specs.ts";
import { type Element, element } from "../xml/element.ts";
import { CHECKED_BEFORE } from "../xml/limits.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

const config = z.strictObject({
  /** Elements of one account. */
  max_items: z.int().min(1).max(10_000).default(100),
  /** Bytes of one element, in UTF-8. */
  max_item_size: size("64KiB", { min: "1KiB", max: "1MiB" }),
});

export const privateXml = defineModule({
  name: "private-xml",
  implements: [{ xep: 49, version: "1.2" }],
  config,
  stores: { items: map<string>("private_xml") },

  start({ config: limits, stores, iq, on }) {
    async function get({ from, to, payload }: IqRequest): Promise<Element> {
      const [wanted, ...more] = ownElements(from.bare === to.bare, payload);
      if (wanted === undefined || more.length > 0) throw new StanzaError("not-acceptable", "one element at a time");
      const kept = await stores.items.get(to, keyOf(wanted));
      const found =
        kept === undefined ? element(wanted.name, wanted.xmlns) : parseElement(Buffer.from(kept), CHECKED_BEFORE);
      return element("query", NS.privateXml, {}, found);
    }

    async function set({ from, to, payload }: IqRequest): Promise<undefined> {
      const given = new Map(ownElements(from.bare === to.bare, payload).map((each) => [keyOf(each), each.toXml()]));
      for (const text of given.values()) {
        if (Buffer.byteLength(text) <= limits.max_item_size) continue;
        throw new StanzaError("not-acceptable", `an element has at most ${limits.max_item_size} bytes`);
      }
      const present = await stores.items.list(to);
      if (new Set([...present.keys(), ...given.keys()]).size > limits.max_items) {
        throw new StanzaError("resource-constraint", `no more than ${limits.max_items} elements`);
      }
      for (const [key, text] of given) await stores.items.set(to, key, text);
    }

    iq(NS.privateXml, "query", { account: { get, set } });
    on("accountRemoved", ({ account }) => stores.items.clear(account));
  },
});

/** The elements of a request, each of a namespace of its own. Throws what the sender is to hear. */
function ownElements(isOwn: boolean, payload: Element): Element[] {
  if (!isOwn) throw new StanzaError("forbidden");
  const given = payload.elements();
  if (given.length === 0) throw new StanzaError("not-acceptable", "there is no element");
  if (given.some(({ xmlns }) => xmlns === "" || xmlns === NS.privateXml)) {
    throw new StanzaError("not-acceptable", "an element has a namespace of its own");
  }
  return given;
}

/** No space is in a name. */
function keyOf({ name, xmlns }: Element): string {
  return `${name} ${xmlns}`;
}
