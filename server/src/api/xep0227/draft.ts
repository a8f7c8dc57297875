/** One account as a file tells of it, until it is whole. */
import { NO_ITEM, type RosterItem } from "../../modules/roster/item.ts";
import type { Element } from "../../xml/element.ts";
import type { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { ScramHash, ScramKeys } from "../../xmpp/sasl/scram-keys.ts";
import { asking, readContact, readRequest } from "./contacts.ts";
import { PieError, readCredentials } from "./credentials.ts";
import { PIE } from "./names.ts";

const VCARD = "vcard-temp";
/** Contacts of one account, elements of its private storage, and bytes of those: more are no account of a person's. */
const MAX_CONTACTS = 100_000;
const MAX_PRIVATE = 10_000;
const MAX_PRIVATE_BYTES = 67_108_864;
/** What is said of one account; of the rest only how much there is. */
const MAX_REMARKS = 100;

export class Draft {
  readonly account: Jid;
  readonly password: string | undefined;
  readonly keys = new Map<ScramHash, ScramKeys>();
  readonly contacts = new Map<string, RosterItem>();
  readonly privateXml = new Map<string, string>();
  vcard: Element | undefined;
  /** Names of what nobody here understands. */
  readonly foreign = new Set<string>();
  readonly #requests = new Map<string, string>();
  readonly #remarks: string[] = [];
  #unsaid = 0;
  #privateBytes = 0;

  constructor(account: Jid, password: string | undefined) {
    this.account = account;
    this.password = password;
  }

  /** What was left out of the account, and why. */
  get remarks(): readonly string[] {
    return this.#unsaid === 0 ? this.#remarks : [...this.#remarks, `and ${this.#unsaid} more of the kind`];
  }

  remark(text: string): void {
    if (this.#remarks.length < MAX_REMARKS) this.#remarks.push(text);
    else this.#unsaid++;
  }

  /** Takes one child of the user. Throws a PieError where the account cannot be what the file says. */
  take(child: Element): void {
    const { name, xmlns } = child;
    if (name === "scram-credentials" && xmlns === PIE.scram) this.#takeCredentials(child);
    else if (name === "query" && xmlns === NS.roster) this.#takeRoster(child);
    else if (name === "query" && xmlns === NS.privateXml) this.#takePrivate(child);
    else if (name === "vCard" && xmlns === VCARD) this.vcard = child;
    // COMPAT(Prosody, 13.0): it writes requests in the namespace of the file.
    else if (name === "presence" && (xmlns === NS.client || xmlns === PIE.data)) this.#takeRequest(child);
    else this.foreign.add(`<${name}/> of "${xmlns}"`);
  }

  /** The roster with the requests in it. */
  roster(): ReadonlyMap<string, RosterItem> {
    const items = new Map(this.contacts);
    for (const [contact, request] of this.#requests) items.set(contact, asking(items.get(contact) ?? NO_ITEM, request));
    return items;
  }

  #takeCredentials(child: Element): void {
    const keys = readCredentials(child);
    if (keys === undefined) this.foreign.add(`credentials of ${child.attrs.mechanism ?? "no mechanism"}`);
    else this.keys.set(keys.hash, keys);
  }

  #takeRoster(query: Element): void {
    for (const item of query.elements()) {
      this.#orRemark(() => {
        const [contact, read] = readContact(item);
        if (contact.bare !== this.account.bare) this.contacts.set(contact.bare, read);
      });
    }
    this.#checkContacts();
  }

  #takeRequest(presence: Element): void {
    if (presence.attrs.type !== "subscribe") return;
    this.#orRemark(() => {
      const [contact, request] = readRequest(this.account, presence);
      this.#requests.set(contact.bare, request);
    });
    this.#checkContacts();
  }

  #takePrivate(query: Element): void {
    for (const each of query.elements()) {
      const text = each.toXml();
      this.#privateBytes += text.length;
      this.privateXml.set(`${each.name} ${each.xmlns}`, text);
    }
    if (this.privateXml.size > MAX_PRIVATE || this.#privateBytes > MAX_PRIVATE_BYTES) {
      throw new PieError("there is too much private data");
    }
  }

  #checkContacts(): void {
    if (this.contacts.size + this.#requests.size > MAX_CONTACTS) throw new PieError("there are too many contacts");
  }

  #orRemark(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof PieError)) throw error;
      this.remark(error.message);
    }
  }
}
