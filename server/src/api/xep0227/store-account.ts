/** What an account of a file brings, into the stores of the modules. */
import { RosterBook } from "../../modules/roster/book.ts";
import { isEmpty } from "../../modules/roster/item.ts";
import { ReadOnlyError } from "../../storage/specs.ts";
import { parseJid } from "../../xmpp/jid.ts";
import type { Draft } from "./draft.ts";
import type { Tables } from "./tables.ts";

export interface Brought {
  readonly remarks: readonly string[];
}

/** Requests of a store under way at once. */
const AT_ONCE = 32;

/** Into an account that is not there yet, and has nothing. */
export async function putInto(draft: Draft, tables: Tables): Promise<Brought> {
  const { account, privateXml, vcard } = draft;
  const roster = draft.roster();
  // Without the roster's ledger, which the first who reads it makes.
  await each(roster, async ([contact, item]) => tables.roster?.set(account, contact, item));
  await each(privateXml, async ([key, text]) => tables.privateXml?.set(account, key, text));
  const remarks = lacking(draft, tables);
  if (vcard !== undefined && tables.vcards !== undefined) {
    await unlessReadOnly(async () => tables.vcards?.set(account, vcard), remarks);
  }
  return { remarks };
}

/** Into one that is there, where it has nothing of the same name. */
export async function addTo(draft: Draft, tables: Tables): Promise<Brought> {
  const { account, privateXml, vcard } = draft;
  const roster = draft.roster();
  if (tables.roster !== undefined) {
    const unlimited = Number.MAX_SAFE_INTEGER;
    const limits = { max_items: unlimited, max_size: unlimited, max_requests: unlimited, max_changes: 50 };
    const book = new RosterBook(tables.roster, limits);
    for (const [contact, item] of roster) {
      const jid = parseJid(contact);
      if (jid !== undefined) await book.change(account, jid, (present) => (isEmpty(present) ? item : present));
    }
  }
  await each(privateXml, async ([key, text]) => tables.privateXml?.update(account, key, (present) => present ?? text));
  const remarks = lacking(draft, tables);
  if (vcard !== undefined && tables.vcards !== undefined && (await tables.vcards.get(account)) === undefined) {
    await unlessReadOnly(async () => tables.vcards?.set(account, vcard), remarks);
  }
  return { remarks };
}

function lacking({ contacts, privateXml, vcard }: Draft, tables: Tables): string[] {
  const remarks: string[] = [];
  if (contacts.size > 0 && tables.roster === undefined)
    remarks.push("no roster is kept here: the contacts are left out");
  if (privateXml.size > 0 && tables.privateXml === undefined)
    remarks.push("no private data is kept here: it is left out");
  if (vcard !== undefined && tables.vcards === undefined) remarks.push("no vCards are kept here: it is left out");
  return remarks;
}

async function unlessReadOnly(write: () => Promise<void>, remarks: string[]): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof ReadOnlyError)) throw error;
    remarks.push("vCards are kept elsewhere, and cannot be written here: it is left out");
  }
}

async function each<T>(items: Iterable<T>, run: (item: T) => Promise<unknown>): Promise<void> {
  let batch: Promise<unknown>[] = [];
  for (const item of items) {
    batch.push(run(item));
    if (batch.length < AT_ONCE) continue;
    await Promise.all(batch);
    batch = [];
  }
  await Promise.all(batch);
}
