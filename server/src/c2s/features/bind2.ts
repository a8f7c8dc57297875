import { createHash } from "node:crypto";
import type { Logger } from "../../observe/log.ts";
import type { Host } from "../../router/hosts.ts";
import { randomId } from "../../util/ids.ts";
import { type Element, element } from "../../xml/element.ts";
import { StanzaError } from "../../xmpp/errors.ts";
import { type Jid, makeJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ClientNegotiation } from "../client-stream.ts";

/** XEP-0386 3.1: what a client may ask for within its request. */
export function bind2Offer({ type }: Host): Element {
  const inline = [NS.streamManagement, NS.clientState, ...type.hooks.bindFeatures.keys()].sort();
  const features = inline.map((name) => element("feature", NS.bind2, { var: name }));
  return element("bind", NS.bind2, {}, element("inline", NS.bind2, {}, ...features));
}

/**
 * XEP-0386 3.2: binds a resource, does for the new session what the client asked for, and returns `<bound/>`. What the
 * session is sent meanwhile waits, so that all of it comes first. Rejects with a StanzaError when there can be no session.
 */
export async function bind2(
  request: Element,
  userAgent: string | undefined,
  stream: ClientNegotiation,
  log: Logger,
): Promise<Element> {
  const account = stream.account as Jid;
  await stream.bind(resourceFor(account, request.childText("tag"), userAgent));
  const results: Element[] = [];
  for (const wish of request.elements()) {
    try {
      const result = await grant(wish, stream);
      if (result !== undefined) results.push(result);
    } catch (error) {
      // The session is there, without this.
      log.error("hook.failed", { point: "bindFeature", xmlns: wish.xmlns, error });
    }
  }
  return element("bound", NS.bind2, {}, ...results);
}

async function grant(wish: Element, stream: ClientNegotiation): Promise<Element | undefined> {
  const { session } = stream;
  if (session === undefined) return undefined;
  if (wish.xmlns === NS.streamManagement && wish.name === "enable") return stream.enable(wish);
  if (wish.xmlns === NS.clientState) {
    if (wish.name === "inactive") session.clientInactive();
    return undefined;
  }
  return stream.host.type.hooks.bindFeatures.get(wish.xmlns)?.(session, wish);
}

/**
 * XEP-0386 3.2.1: the tag, and an identifier of the server's. A client that says which one it is gets the same each time,
 * so that its new session takes the place of one that it left behind; the id, random itself, cannot be told from it.
 */
function resourceFor(account: Jid, tag: string, userAgent: string | undefined): Jid {
  const identifier = userAgent === undefined ? randomId(12) : stableId(account, userAgent);
  const jid =
    (tag === "" ? undefined : makeJid(account.local, account.domain, `${tag}/${identifier}`)) ??
    makeJid(account.local, account.domain, identifier);
  if (jid === undefined) throw new StanzaError("bad-request", "the resource is not valid");
  return jid;
}

function stableId({ bare }: Jid, userAgent: string): string {
  return createHash("sha256").update(`resource\0${bare}\0${userAgent}`).digest("base64url").slice(0, 16);
}
