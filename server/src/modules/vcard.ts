/** XEP-0054: what people say of themselves: name, picture, address. */
import { z } from "zod";
import { size } from "../config/values.ts";
import { defineModule, type IqRequest } from "../module/api.ts";
import { type Codec, keyValue, ReadOnlyError } from "../storage/specs.ts";
import { type Element, element } from "../xml/element.ts";
import { CHECKED_BEFORE } from "../xml/limits.ts";
import { parseElement } from "../xml/parser.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

const config = z.strictObject({
  /** Bytes of an account's vCard, in UTF-8. */
  max_size: size("128KiB", { min: "1KiB", max: "1MiB" }),
  /** The server's own: its name, what it is for, and a page about it. */
  host_name: z.string().min(1).max(256).default("Meerkat"),
  host_description: z.string().max(1024).default(""),
  host_url: z.string().max(1024).default(""),
});

/** As it is kept, whoever keeps it: XML. */
const xml: Codec<Element> = {
  encode: (vcard) => vcard.toXml(),
  decode: (stored) => parseElement(Buffer.from(stored), CHECKED_BEFORE),
};

export const vcard = defineModule({
  name: "vcard",
  implements: [{ xep: 54, version: "1.3" }],
  config,
  // At a login each contact's client asks for it; a new picture may be half a minute late on another node.
  stores: { vcards: keyValue("vcards", xml, { freshFor: 30_000 }) },

  start({ config: { max_size, ...host }, stores, iq }) {
    const hostCard = element(
      "vCard",
      NS.vcard,
      {},
      element("FN", NS.vcard, {}, host.host_name),
      ...[element("URL", NS.vcard, {}, host.host_url), element("DESC", NS.vcard, {}, host.host_description)].filter(
        (each) => each.text() !== "",
      ),
    );

    async function get({ from, to }: IqRequest): Promise<Element> {
      const kept = await stores.vcards.get(to.toBare());
      if (kept !== undefined) return kept;
      // Whether there is an account is not told to others.
      throw new StanzaError(from.bare === to.bare ? "item-not-found" : "service-unavailable");
    }

    async function set({ from, to, payload }: IqRequest): Promise<undefined> {
      if (from.bare !== to.bare) throw new StanzaError("forbidden", "a vCard is changed by its owner");
      if (Buffer.byteLength(payload.toXml()) > max_size) {
        throw new StanzaError("not-acceptable", `a vCard has at most ${max_size} bytes`);
      }
      try {
        await stores.vcards.set(to.toBare(), payload);
      } catch (error) {
        if (!(error instanceof ReadOnlyError)) throw error;
        throw new StanzaError("not-allowed", "it is changed in the company's directory");
      }
    }

    iq(NS.vcard, "vCard", { host: { get: () => hostCard }, account: { get, set } });
  },
});
