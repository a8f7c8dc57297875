import { randomBytes } from "node:crypto";
import type { Jid } from "../../../xmpp/jid.ts";
import { type AccountStore, type StorageDriver, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import { answers } from "../deadline.ts";
import { type Directory, LdapConnection, LdapRefusal } from "./connection.ts";
import { filterTemplate } from "./filter.ts";
import { LdapPool, type PoolBounds } from "./pool.ts";

export interface LdapOptions {
  /** ldap://host:port or ldaps://host:port */
  readonly url: string;
  /** Encrypts an ldap:// connection first. Default false. */
  readonly startTls?: boolean | undefined;
  /** PEM of the authority that signed the server's certificate; else the system's authorities. */
  readonly ca?: string | undefined;
  /** The entry that may search, and its password. */
  readonly bindDn: string;
  readonly bindPassword: string;
  /** Where accounts are looked for. */
  readonly base: string;
  /** Below the base at any depth, or its direct children only. Default "sub". */
  readonly scope?: "sub" | "one" | undefined;
  /** `%u` local part, `%d` domain, `%%` percent sign. Default "(&(objectClass=inetOrgPerson)(uid=%u))". */
  readonly filter?: string | undefined;
  /** Connections for searches, and as many again for checking passwords. Default 5. */
  readonly max?: number | undefined;
  /** Requests that may wait for a connection of either kind; more are refused at once. Default 500. */
  readonly queue?: number | undefined;
  /** Milliseconds for connecting, for each request, and for waiting in the queue. Default 5000. */
  readonly timeout?: number | undefined;
  /** Milliseconds after which an unused connection is replaced. Default 60000. */
  readonly idleTimeout?: number | undefined;
  /** Hears of accounts that cannot be told apart. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** What a bind answers when it is the password or the entry that is at fault, not the server (RFC 4511 A.1). */
const NOT_VERIFIED = new Set([
  32, // noSuchObject: gone since it was found
  48, // inappropriateAuthentication: an entry without a password
  49, // invalidCredentials
  53, // unwillingToPerform: locked
]);

/** Accounts in a directory: found by a search, verified by a bind as what was found. Opening connects to nothing. */
export function ldapDriver(options: LdapOptions): StorageDriver {
  const directory = checkedDirectory(options);
  const bounds: PoolBounds = {
    max: positive("max", options.max, 5),
    queue: positive("queue", options.queue, 500),
    timeout: directory.timeout,
    idleTimeout: positive("idle_timeout", options.idleTimeout, 60_000),
  };
  const { base, bindDn, bindPassword, scope = "sub" } = options;
  // RFC 4513 5.1.2: a name without a password binds as nobody, and the search would quietly find less.
  if (bindPassword === "") throw new TypeError("an LDAP search needs a bind password");
  const filterFor = filterTemplate(options.filter ?? "(&(objectClass=inetOrgPerson)(uid=%u))");
  const name = `ldap at ${directory.url}`;
  const asSearcher = () => LdapConnection.open(directory, bindDn, bindPassword);
  const searching = new LdapPool(name, asSearcher, bounds);
  // Kept apart, for a bind as an account takes the search's rights from a connection.
  const verifying = new LdapPool(name, asSearcher, bounds);

  /** The one entry of an account. */
  async function find(account: Jid): Promise<string | undefined> {
    if (account.local === "") return undefined;
    const filter = filterFor(account);
    // Two are enough to see that there is more than one; "1.1" asks for no attributes (RFC 4511 4.5.1.8).
    const entries = await searching.use((connection) =>
      connection.search(base, { scope, filter, sizeLimit: 2, attributes: ["1.1"] }),
    );
    if (entries.length > 1) options.warn?.(`${name}: more than one entry answers to ${account.bare}`);
    return entries.length === 1 ? entries[0]?.dn : undefined;
  }

  const accounts: AccountStore = {
    exists: async (account) => (await find(account)) !== undefined,

    async verify(account, password) {
      // RFC 4513 5.1.2: servers take a bind with an empty password for an anonymous one, and let it succeed.
      if (password === "") return false;
      const dn = await find(account);
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

  const searchBase = () =>
    searching.use((connection) => connection.search(base, { scope: "base", attributes: ["1.1"] }));
  return {
    name: "ldap",
    accounts: () => accounts,
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

/** An entry that there is not. */
function nobody(base: string): string {
  return `cn=${randomBytes(16).toString("hex")}${base === "" ? "" : `,${base}`}`;
}

function checkedDirectory({ url, startTls = false, ca, timeout }: LdapOptions): Directory {
  if (!/^ldaps?:\/\/[^/]+\/?$/.test(url)) throw new TypeError(`"${url}" is no ldap:// or ldaps:// address of a host`);
  return { url, startTls, ca, timeout: positive("timeout", timeout, 5000) };
}
