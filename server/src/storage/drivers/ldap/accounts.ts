import { randomBytes } from "node:crypto";
import type { Entry } from "ldapts";
import { prepareLocal } from "../../../xmpp/precis.ts";
import type { AccountStore } from "../../specs.ts";
import { LdapRefusal } from "./connection.ts";
import type { NamePlace } from "./everybody.ts";
import type { People } from "./people.ts";
import type { LdapPool } from "./pool.ts";
import { valuesOf } from "./values.ts";

/** What a bind answers when it is the password or the entry that is at fault, not the server (RFC 4511 A.1). */
const NOT_VERIFIED = new Set([
  32, // noSuchObject: gone since it was found
  48, // inappropriateAuthentication: an entry without a password
  49, // invalidCredentials
  53, // unwillingToPerform: locked
]);

/** Accounts are found by a search, and verified by a bind as what was found. */
export function accountsIn(people: People, verifying: LdapPool): AccountStore {
  const { base } = people;
  const store: AccountStore = {
    exists: async (account) => (await people.find(account)) !== undefined,

    async verify(account, password) {
      // RFC 4513 5.1.2: servers take a bind with an empty password for an anonymous one, and let it succeed.
      if (password === "") return false;
      const dn = (await people.find(account))?.dn;
      return verifying.use(async (connection) => {
        try {
          // Where there is no entry, nobody binds, so that the time taken does not tell.
          await connection.bind(dn ?? nobody(base), password);
          return dn !== undefined;
        } catch (error) {
          if (error instanceof LdapRefusal && (dn === undefined || NOT_VERIFIED.has(error.code))) return false;
          throw error;
        }
      });
    },
  };
  const { place } = people;
  // Names that the filter does not say how to read cannot be listed.
  if (place === undefined) return store;
  const names = async (domain: string) => localsOf(await people.all(domain, [place.attribute]), place, domain);
  return {
    ...store,
    count: async (domain) => (await names(domain)).length,
    async list(domain, after, limit) {
      const from = Buffer.from(after);
      const sorted = (await names(domain)).map((local) => ({ local, bytes: Buffer.from(local) }));
      sorted.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
      return sorted
        .filter(({ bytes }) => Buffer.compare(bytes, from) > 0)
        .slice(0, limit)
        .map(({ local }) => local);
    },
  };
}

/** Whoever has a name that an address can have, and shares it with nobody. */
function localsOf(entries: readonly Entry[], place: NamePlace, domain: string): readonly string[] {
  const owners = new Map<string, number>();
  for (const entry of entries) {
    for (const local of new Set(namesOf(entry, place, domain))) owners.set(local, (owners.get(local) ?? 0) + 1);
  }
  return [...owners].filter(([, count]) => count === 1).map(([local]) => local);
}

/** The local parts that an entry can log in with, in the order it names them. */
export function namesOf(entry: Entry, place: NamePlace, domain: string): readonly string[] {
  return valuesOf(entry, place.attribute)
    .filter((value) => typeof value === "string")
    .map((value) => place.localIn(value, domain))
    .map((local) => (local === undefined ? undefined : prepareLocal(local)))
    .filter((local) => local !== undefined);
}

/** An entry that there is not. */
function nobody(base: string): string {
  return `cn=${randomBytes(16).toString("hex")}${base === "" ? "" : `,${base}`}`;
}
