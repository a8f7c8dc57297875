import { type StorageDriver, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import { answers } from "../deadline.ts";
import { accountsIn } from "./accounts.ts";
import { ACCOUNT_FILTER } from "./defaults.ts";
import { directoriesOf, type LdapOptions } from "./options.ts";
import { People } from "./people.ts";
import { LdapPool, type PoolBounds } from "./pool.ts";
import { Servers } from "./servers.ts";
import { Companies, sharedRoster } from "./shared-roster.ts";
import { vcardReader } from "./vcard.ts";
import { vcards } from "./vcards.ts";

export type { LdapOptions } from "./options.ts";

/**
 * A company's directory, which is read and never changed: accounts, their vCards (the table `vcards`) and who are colleagues
 * (`shared_roster`). Opening connects to nothing.
 */
export function ldapDriver(options: LdapOptions): StorageDriver {
  const directories = directoriesOf(options);
  const { base, bindDn, bindPassword, scope = "sub", warn = () => {} } = options;
  // RFC 4513 5.1.2: a name without a password binds as nobody, and the search would quietly find less.
  if (bindPassword === "") throw new TypeError("an LDAP search needs a bind password");
  const name = `ldap at ${directories.map(({ url }) => url).join(", ")}`;
  const servers = new Servers(directories, {
    order: options.order ?? "named",
    pause: positive("pause", options.pause, 1000),
    longestPause: positive("longest_pause", options.longestPause, 60_000),
    warn,
  });
  const bounds: PoolBounds = {
    max: positive("max", options.max, 5),
    queue: positive("queue", options.queue, 500),
    timeout: positive("timeout", options.timeout, 5000),
    idleTimeout: positive("idle_timeout", options.idleTimeout, 60_000),
    lifetime: positive("lifetime", options.lifetime, 300_000),
    elsewhere: directories.length > 1,
  };
  const asSearcher = () => servers.open(bindDn, bindPassword);
  const searching = new LdapPool(name, asSearcher, bounds);
  // Kept apart, for a bind as an account takes the search's rights from a connection.
  const verifying = new LdapPool(name, asSearcher, bounds);
  const people = new People(searching, {
    name,
    base,
    scope,
    filter: options.filter ?? ACCOUNT_FILTER,
    pageSize: positive("page_size", options.pageSize, 500),
    maxEntries: positive("max_entries", options.maxEntries, 10_000),
    warn,
  });
  const accounts = accountsIn(people, verifying);
  const reader = vcardReader(options.vcard);
  const companies = new Companies(people, name, warn, options.roster);
  const searchBase = () =>
    searching.use((connection) => connection.search(base, { scope: "base", attributes: ["1.1"] }));

  return {
    name: "ldap",
    readOnly: true,
    accounts: () => accounts,
    keyValue: (table, codec) => (table === "vcards" ? vcards(people, reader, name, codec) : undefined),
    map: (table, codec) =>
      table === "shared_roster" && people.place !== undefined ? sharedRoster(companies, name, codec) : undefined,
    /** There are no tables: the directory is reached, and its base is there. */
    async migrate() {
      const found = await searchBase();
      if (found.length === 0) throw new StorageError(`${name}: ${bindDn} sees no entry ${base}`);
    },
    healthy: () => answers(searchBase()),
    async close() {
      searching.close();
      verifying.close();
    },
  };
}
