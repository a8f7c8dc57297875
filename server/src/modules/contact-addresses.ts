/** XEP-0157: whom to turn to about the server, told by service discovery. */
import { z } from "zod";
import { defineModule } from "../module/api.ts";
import { formElement } from "../xmpp/forms.ts";
import { NS } from "../xmpp/namespaces.ts";
import { disco } from "./disco.ts";

const addresses = z
  .array(
    z.string().refine(isUri, { error: 'must be a URI such as "mailto:abuse@example.org" or "xmpp:abuse@example.org"' }),
  )
  .max(20)
  .default([]);

/** What each address is for; what has none is not told. */
const config = z.strictObject({
  abuse: addresses,
  admin: addresses,
  feedback: addresses,
  sales: addresses,
  security: addresses,
  status: addresses,
  support: addresses,
});

export const contactAddresses = defineModule({
  name: "contact-addresses",
  implements: [{ xep: 157, version: "1.1.1" }],
  config,
  requires: [disco],

  start({ config: contacts, use }) {
    const fields = Object.entries(contacts)
      .filter(([, uris]) => uris.length > 0)
      .map(([purpose, values]) => ({ name: `${purpose}-addresses`, type: "list-multi", values }) as const);
    if (fields.length > 0) use(disco).describe("host", formElement("result", { formType: NS.serverInfo, fields }));
  },
});

function isUri(text: string): boolean {
  return text.length <= 1000 && !/\s/.test(text) && URL.canParse(text);
}
