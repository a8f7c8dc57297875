/** XEP-0313 as a client uses it: the whole archive, page by page, as far as it matches. */
import { type Element, xml } from "@xmpp/client";
import type { XmppClient } from "./xmpp.ts";

const MAM = "urn:xmpp:mam:2";
const RSM = "http://jabber.org/protocol/rsm";

export interface Archived {
  readonly id: string;
  readonly body: string;
  readonly message: Element;
}

/** What is in the archive of the client's account, oldest first; narrowed to one party, or to what came after an id. */
export async function archived(
  client: XmppClient,
  { party, after = "", max = 100 }: { readonly party?: string; readonly after?: string; readonly max?: number } = {},
): Promise<Archived[]> {
  const all: Archived[] = [];
  for (let last = after; ; ) {
    const form = [field("FORM_TYPE", MAM, "hidden"), ...(party === undefined ? [] : [field("with", party)])];
    const page = xml(
      "set",
      { xmlns: RSM },
      xml("max", {}, String(max)),
      ...(last === "" ? [] : [xml("after", {}, last)]),
    );
    const query = xml("query", { xmlns: MAM }, xml("x", { xmlns: "jabber:x:data", type: "submit" }, ...form), page);
    const fin = (await client.iq("set", query)).getChild("fin", MAM);
    // The results have come before the answer (XEP-0313 4).
    const results = client.inbox.takeAll((stanza) => stanza.getChild("result", MAM) !== undefined);
    all.push(...results.map((stanza) => read(stanza.getChild("result", MAM) as Element)));
    if (fin === undefined || fin.attrs.complete === "true" || results.length === 0) return all;
    last = fin.getChild("set", RSM)?.getChildText("last") ?? "";
  }
}

function field(name: string, value: string, type?: string): Element {
  return xml("field", { var: name, ...(type === undefined ? {} : { type }) }, xml("value", {}, value));
}

function read(result: Element): Archived {
  const message = result.getChild("forwarded", "urn:xmpp:forward:0")?.getChild("message", "jabber:client");
  if (message === undefined) throw new Error(`a result without a message: ${result.toString()}`);
  return { id: result.attrs.id ?? "", body: message.getChildText("body") ?? "", message };
}
