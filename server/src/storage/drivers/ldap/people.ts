import { AndFilter, type Entry, type Filter } from "ldapts";
import type { Jid } from "../../../xmpp/jid.ts";
import { everybody, type NamePlace } from "./everybody.ts";
import { filterTemplate } from "./filter.ts";
import type { LdapPool } from "./pool.ts";

export interface PeopleOptions {
  /** What the directory is called in messages. */
  readonly name: string;
  readonly base: string;
  readonly scope: "sub" | "one";
  readonly filter: string;
  readonly pageSize: number;
  readonly maxEntries: number;
  readonly warn: (message: string) => void;
}

/** What is searched for besides people: whole trees, page by page. */
export interface Search {
  readonly base: string;
  readonly scope: "sub" | "one";
  readonly filter: Filter;
  readonly attributes: readonly string[];
}

/** The entries that are accounts. */
export class People {
  readonly base: string;
  /** Where an entry has its name; undefined where the filter does not say. */
  readonly place: NamePlace | undefined;
  readonly #options: PeopleOptions;
  readonly #pool: LdapPool;
  readonly #filterFor: ReturnType<typeof filterTemplate>;
  readonly #everybody: ReturnType<typeof everybody>;

  /** Throws a TypeError for a filter that cannot be read. */
  constructor(pool: LdapPool, options: PeopleOptions) {
    this.#pool = pool;
    this.#options = options;
    this.base = options.base;
    this.#filterFor = filterTemplate(options.filter);
    this.#everybody = everybody(options.filter);
    this.place = this.#everybody?.place;
  }

  /** The one entry of an account. "1.1" asks for no attributes (RFC 4511 4.5.1.8). */
  async find(account: Jid, attributes: readonly string[] = ["1.1"]): Promise<Entry | undefined> {
    if (account.local === "") return undefined;
    const { base, scope, name, warn } = this.#options;
    const filter = this.#filterFor(account);
    // Two are enough to see that there is more than one.
    const entries = await this.#pool.use((connection) =>
      connection.search(base, { scope, filter, sizeLimit: 2, attributes: [...attributes] }),
    );
    if (entries.length > 1) warn(`${name}: more than one entry answers to ${account.bare}`);
    return entries.length === 1 ? entries[0] : undefined;
  }

  /** Whether each domain has people of its own. */
  get perDomain(): boolean {
    return this.#options.filter.replaceAll("%%", "").includes("%d");
  }

  /** Whoever could be an account of this domain, and answers to `only`, in no order; no more than the bound. */
  async all(domain: string, attributes: readonly string[], only?: Filter): Promise<readonly Entry[]> {
    const anybody = this.#everybody?.filter(domain);
    if (anybody === undefined) return [];
    const { base, scope } = this.#options;
    const filter = only === undefined ? anybody : new AndFilter({ filters: [anybody, only] });
    return this.search({ base, scope, filter, attributes });
  }

  /** All that answers to a filter, read page by page; no more than the bound. */
  search({ base, scope, filter, attributes }: Search): Promise<readonly Entry[]> {
    const { pageSize, maxEntries, name, warn } = this.#options;
    return this.#pool.use(async (connection) => {
      const found: Entry[] = [];
      const options = { scope, filter, attributes: [...attributes] };
      await connection.searchPages(base, options, Math.min(pageSize, maxEntries + 1), (entries) => {
        found.push(...entries);
        return found.length > maxEntries ? "enough" : "more";
      });
      if (found.length > maxEntries) {
        warn(`${name}: below ${base} are more than ${maxEntries} entries (max_entries); the others are left out`);
      }
      return found.slice(0, maxEntries);
    });
  }
}
