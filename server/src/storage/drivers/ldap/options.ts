/** What the driver is told, and what it takes where it is told nothing. */
import { positive } from "../bounds.ts";
import type { Directory } from "./connection.ts";
import type { RosterOptions } from "./shared-roster.ts";
import type { VcardOptions } from "./vcard.ts";

export interface LdapOptions {
  /** ldap://host:port or ldaps://host:port; of several servers with the same tree, each. */
  readonly url: string | readonly string[];
  /** Of several, the first that answers, or each in its turn. Default "named". */
  readonly order?: "named" | "turns" | undefined;
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
  /** Milliseconds for connecting, with the bind, to one server. Default 2000, or `timeout` if that is less. */
  readonly connectTimeout?: number | undefined;
  /** Milliseconds for each request, and for waiting in the queue. Default 5000. */
  readonly timeout?: number | undefined;
  /** Milliseconds after which an unused connection is replaced. Default 60000. */
  readonly idleTimeout?: number | undefined;
  /** Milliseconds after which any connection is replaced, so that a server that is back is used again. Default 300000. */
  readonly lifetime?: number | undefined;
  /** Milliseconds for which one of several servers is not asked once it failed, doubled by each failure. Default 1000. */
  readonly pause?: number | undefined;
  /** The most that it is doubled to. Default 60000. */
  readonly longestPause?: number | undefined;
  /** Entries asked for at a time where there may be many. Default 500. */
  readonly pageSize?: number | undefined;
  /** Entries that are looked at to list accounts, or to know who is in which group. Default 10000. */
  readonly maxEntries?: number | undefined;
  readonly vcard?: VcardOptions | undefined;
  readonly roster?: RosterOptions | undefined;
  /** Hears of accounts that cannot be told apart, of servers that fail, and of bounds that were reached. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** The servers, in the order they were named. Throws a TypeError for what is no address. */
export function directoriesOf(options: LdapOptions): readonly Directory[] {
  const { url, startTls = false, ca } = options;
  const timeout = positive("timeout", options.timeout, 5000);
  const connectTimeout = positive("connect_timeout", options.connectTimeout, Math.min(timeout, 2000));
  const urls = typeof url === "string" ? [url] : url;
  if (urls.length === 0) throw new TypeError("there is no address of an LDAP server");
  return urls.map((each) => {
    if (!/^ldaps?:\/\/[^/]+\/?$/.test(each))
      throw new TypeError(`"${each}" is no ldap:// or ldaps:// address of a host`);
    return { url: each, startTls, ca, connectTimeout, timeout };
  });
}
