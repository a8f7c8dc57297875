import type { Jid } from "../../../xmpp/jid.ts";
import type { AccountStore, ScramHash, ScramKeys } from "../../specs.ts";
import { changedBy, isNewer } from "./changes.ts";
import { BY_PLACE, type Ground, pagesOf, parsed, removeForGood } from "./ground.ts";
import { lastOf, objectKey, orderedTerm, past, rangeStart, termOf } from "./names.ts";
import { revise, type Shape, seen } from "./revise.ts";
import type { Place } from "./wire.ts";

export const ACCOUNTS = "accounts";

interface StoredKeys {
  readonly hash: ScramHash;
  readonly salt: string;
  readonly iterations: number;
  readonly stored_key: string;
  readonly server_key: string;
}

export interface AccountDocument {
  readonly domain: string;
  readonly local: string;
  /** Of two that were made at once, the earlier one counts. */
  readonly created: string;
  readonly version: number;
  readonly changes: readonly string[];
  readonly keys: readonly StoredKeys[];
}

export const ACCOUNT_SHAPE: Shape<AccountDocument> = {
  parse: (body) => parsed(ACCOUNTS, body),
  write: (document) => ({
    body: JSON.stringify(document),
    indexes: { [BY_PLACE]: [orderedTerm(document.domain, document.local)] },
  }),
  merge: (documents) =>
    documents.reduce((a, b) => {
      if (a.created !== b.created) return a.created < b.created ? a : b;
      return isNewer(b.changes, a.changes) ? b : a;
    }),
  carries: ({ changes }, change) => changes.includes(change),
  version: ({ version }) => version,
  latest: ({ created, changes }) => changes[0] ?? created,
};

/** One object an account, in an index by domain and local part. */
export function accountStore(ground: Ground): AccountStore {
  const { client } = ground;
  const present = async (account: Jid) => seen(ACCOUNT_SHAPE, await client.fetch(accountPlace(account)));

  return {
    exists: async (account) => (await present(account)) !== undefined,

    async scram(account, hash) {
      const keys = (await present(account))?.keys.find((each) => each.hash === hash);
      return keys && readKeys(keys);
    },

    async create(account, keys) {
      const { changed } = await putAccount(ground, account, keys, "keep");
      return changed ? "created" : "exists";
    },

    async setKeys(account, keys) {
      const { document } = await revise(ground, accountPlace(account), ACCOUNT_SHAPE, (found, change) =>
        found === undefined ? "as it is" : { ...changed(found, change), keys: keys.map(writtenKeys) },
      );
      return document === undefined ? "missing" : "changed";
    },

    async addKeys(account, known, more) {
      const { storedKey } = known;
      await revise(ground, accountPlace(account), ACCOUNT_SHAPE, (found, change) => {
        const same = found?.keys.find(({ hash }) => hash === known.hash);
        if (found === undefined || same?.stored_key !== base64(storedKey)) return "as it is";
        const added = more.filter(({ hash }) => found.keys.every((has) => has.hash !== hash)).map(writtenKeys);
        if (added.length === 0) return "as it is";
        return { ...changed(found, change), keys: [...found.keys, ...added] };
      });
    },

    remove: (account) => removeForGood(client, accountPlace(account)),

    async count(domain) {
      let count = 0;
      for await (const entries of pagesOf(client, ACCOUNTS, BY_PLACE, domainRange(domain))) count += entries.length;
      return count;
    },

    async list(domain, after, limit) {
      // The start may lie before `after`, which can be longer than a request line.
      const start = rangeStart(past(orderedTerm(domain, after)));
      const [, end] = domainRange(domain);
      const locals: string[] = [];
      for await (const entries of pagesOf(client, ACCOUNTS, BY_PLACE, [start, end])) {
        const found = entries.map(({ term }) => lastOf(term));
        locals.push(...found.filter((local) => Buffer.compare(Buffer.from(local), Buffer.from(after)) > 0));
        if (locals.length >= limit) break;
      }
      return locals.slice(0, limit);
    },
  };
}

/** Makes an account; one that is there keeps its keys, or gets these. */
export function putAccount(ground: Ground, account: Jid, keys: readonly ScramKeys[], present: "keep" | "replace") {
  const { domain, local } = account;
  return revise(ground, accountPlace(account), ACCOUNT_SHAPE, (found, change) => {
    if (found !== undefined && present === "keep") return "as it is";
    const made = { domain, local, created: change, version: 0, changes: [] };
    return changed({ ...(found ?? made), keys: keys.map(writtenKeys) }, change);
  });
}

function changed(document: AccountDocument, change: string): AccountDocument {
  return { ...document, version: document.version + 1, changes: changedBy(change, document.changes) };
}

function accountPlace({ domain, local }: Jid): Place {
  return { bucket: ACCOUNTS, key: objectKey(domain, local) };
}

function domainRange(domain: string): readonly [string, string] {
  const term = termOf(domain);
  return [term, past(term)];
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function writtenKeys({ hash, salt, iterations, storedKey, serverKey }: ScramKeys): StoredKeys {
  return { hash, salt: base64(salt), iterations, stored_key: base64(storedKey), server_key: base64(serverKey) };
}

export function readKeys({ hash, salt, iterations, stored_key, server_key }: StoredKeys): ScramKeys {
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, "base64"));
  return { hash, salt: bytes(salt), iterations, storedKey: bytes(stored_key), serverKey: bytes(server_key) };
}
