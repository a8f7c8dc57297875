/** XEP-0092: which software this is, as far as the operator lets it be known. */
import { readFileSync } from "node:fs";
import { release, type } from "node:os";
import { z } from "zod";
import { flag } from "../config/values.ts";
import { defineModule } from "../module/api.ts";
import { element } from "../xml/element.ts";
import { NS } from "../xmpp/namespaces.ts";

const config = z.strictObject({
  name: z.string().min(1).max(200).default("Meerkat"),
  /** Whether its version is told; where not, it is empty, since the element has to be there. */
  show_version: flag(true),
  /** Whether the operating system is told, with its version. */
  show_os: flag(false),
});

const PACKAGE = new URL("../../package.json", import.meta.url);

export const version = defineModule({
  name: "version",
  implements: [{ xep: 92, version: "1.1" }],
  config,

  start({ config: shown, iq }) {
    const own = (JSON.parse(readFileSync(PACKAGE, "utf8")) as { readonly version: string }).version;
    const answer = element(
      "query",
      NS.version,
      {},
      element("name", NS.version, {}, shown.name),
      element("version", NS.version, {}, shown.show_version ? own : ""),
      shown.show_os ? element("os", NS.version, {}, `${type()} ${release()}`) : "",
    );
    iq(NS.version, "query", { host: { get: () => answer } });
  },
});
