/** Writes accounts as XEP-0227 has them, a piece at a time. */
import { itemsOf } from "../../modules/roster/book.ts";
import type { AccountStore } from "../../storage/specs.ts";
import { type Element, element, escapeXml } from "../../xml/element.ts";
import { CHECKED_BEFORE } from "../../xml/limits.ts";
import { parseElement } from "../../xml/parser.ts";
import { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { SCRAM_HASHES, type ScramKeys } from "../../xmpp/sasl/scram-keys.ts";
import type { Place } from "../places.ts";
import { contactElements } from "./contacts.ts";
import { credentialsElement } from "./credentials.ts";
import { resultElement } from "./messages.ts";
import { PIE } from "./names.ts";
import { type Tables, tablesOf } from "./tables.ts";

export interface ExportOptions {
  /** For ejabberd, which takes base64 within base64 alone. */
  readonly twice: boolean;
}

export const FILE_START = `<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='${PIE.data}'>\n`;
export const FILE_END = "</server-data>\n";

const PAGE = 200;

export function hostStart(domain: string): string {
  return `<host jid='${escapeXml(domain)}'>\n`;
}
export const HOST_END = "</host>\n";

/** The text of one account, in pieces. */
export async function* userXml(place: Place, local: string, { twice }: ExportOptions): AsyncGenerator<string> {
  const account = new Jid(local, place.accounts.domain);
  const tables = tablesOf(place);
  yield `<user name='${escapeXml(local)}'>\n`;
  for (const keys of await keysOf(place.accountStores, account)) yield line(credentialsElement(keys, twice));
  const roster = await tables.roster?.list(account);
  if (roster !== undefined) for (const each of contactElements(account, itemsOf(roster))) yield line(each);
  const kept = [...((await tables.privateXml?.list(account)) ?? new Map<string, string>()).values()];
  if (kept.length > 0) yield line(element("query", NS.privateXml, {}, ...kept.map(parsed)));
  const vcard = await tables.vcards?.get(account);
  if (vcard !== undefined) yield line(vcard);
  yield* archiveXml(tables, account);
  yield "</user>\n";
}

async function* archiveXml({ messages }: Tables, account: Jid): AsyncGenerator<string> {
  if (messages === undefined) return;
  let after: string | undefined;
  for (;;) {
    const { items, complete } = await messages.page(account, { from: "oldest", max: PAGE, after });
    if (after === undefined && items.length > 0) yield `<archive xmlns='${PIE.archive}'>\n`;
    yield items.map((item) => `${resultElement(item).toXml(PIE.archive)}\n`).join("");
    after = items.at(-1)?.id ?? after;
    if (complete || items.length === 0) break;
  }
  if (after !== undefined) yield "</archive>\n";
}

/** Of the first store that has any. */
async function keysOf(stores: readonly AccountStore[], account: Jid): Promise<readonly ScramKeys[]> {
  for (const store of stores) {
    const keys = await Promise.all(SCRAM_HASHES.map((hash) => store.scram?.(account, hash)));
    const found = keys.filter((each) => each !== undefined);
    if (found.length > 0) return found;
  }
  return [];
}

function line(child: Element): string {
  return `${child.toXml(PIE.data)}\n`;
}

function parsed(text: string): Element {
  return parseElement(Buffer.from(text), CHECKED_BEFORE);
}
