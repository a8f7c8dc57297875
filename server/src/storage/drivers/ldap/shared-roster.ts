/** Colleagues (the map `shared_roster`): of an account, those who are in a group of the directory with it. */
import { FilterParser } from "ldapts";
import { Lru } from "../../../util/lru.ts";
import type { Jid } from "../../../xmpp/jid.ts";
import { type Codec, type MapStore, ReadOnlyError, StorageError } from "../../specs.ts";
import { positive } from "../bounds.ts";
import { type Company, type CompanyOptions, readCompany } from "./company.ts";
import { GROUPS } from "./defaults.ts";
import { checkedFilter } from "./filter.ts";
import type { People } from "./people.ts";

export interface RosterOptions extends Partial<Omit<CompanyOptions, "name" | "warn" | "filter" | "only">> {
  /** Which entries are groups. */
  readonly filter?: string | undefined;
  /** A filter that an account's entry has to answer to as well, to be in anybody's roster. */
  readonly only?: string | undefined;
  /** Milliseconds for which what was read is used. Default 300000. */
  readonly cacheFor?: number | undefined;
}

/** Domains whose people are remembered apart, where the filter tells them apart. */
const MAX_DOMAINS = 256;
/** After a failure what was read before is used for this long, milliseconds. */
const RETRY = 10_000;

interface Kept {
  readonly company: Company;
  until: number;
}

/** Reads the whole company at once, since it is the same for all who are in it, and remembers it for a while. */
export class Companies {
  readonly #people: People;
  readonly #options: CompanyOptions;
  readonly #cacheFor: number;
  readonly #perDomain: boolean;
  readonly #kept = new Lru<string, Kept>(MAX_DOMAINS);
  readonly #reading = new Map<string, Promise<Company>>();

  /** Throws a TypeError for options that make no sense. */
  constructor(people: People, name: string, warn: (message: string) => void, options: RosterOptions = {}) {
    this.#people = people;
    this.#options = {
      name,
      warn,
      base: options.base ?? people.base,
      filter: FilterParser.parseString(checkedFilter(options.filter ?? GROUPS.filter)),
      only: options.only === undefined ? undefined : FilterParser.parseString(checkedFilter(options.only)),
      names: options.names ?? GROUPS.names,
      groupNames: options.groupNames ?? GROUPS.groupNames,
      members: options.members ?? GROUPS.members,
      department: options.department,
      shows: options.shows ?? "own",
      maxGroups: positive("max_groups", options.maxGroups, 1000),
      maxMembers: positive("max_members", options.maxMembers, 1000),
      nameBytes: positive("name_size", options.nameBytes, 1024),
    };
    this.#cacheFor = positive("cache_for", options.cacheFor, 300_000);
    this.#perDomain = people.perDomain;
  }

  async of(domain: string): Promise<Company> {
    const key = this.#perDomain ? domain : "";
    const kept = this.#kept.get(key);
    if (kept !== undefined && performance.now() < kept.until) return kept.company;
    const company = this.#reading.get(key) ?? this.#read(key, domain, kept);
    this.#reading.set(key, company);
    return company;
  }

  /** A directory that does not answer takes nobody's colleagues away who had any. */
  async #read(key: string, domain: string, kept: Kept | undefined): Promise<Company> {
    try {
      const company = await readCompany(this.#people, domain, this.#options);
      this.#kept.set(key, { company, until: performance.now() + this.#cacheFor });
      return company;
    } catch (error) {
      if (kept === undefined || !(error instanceof StorageError)) throw error;
      kept.until = performance.now() + Math.min(RETRY, this.#cacheFor);
      this.#options.warn(`${error.message}; colleagues are as they were`);
      return kept.company;
    } finally {
      this.#reading.delete(key);
    }
  }
}

/** What the codec reads is JSON: `{ name, groups }`. */
export function sharedRoster<T>(companies: Companies, name: string, codec: Codec<T>): MapStore<T> {
  const refuse = async (): Promise<never> => {
    throw new ReadOnlyError(`${name}: who is whose colleague is changed in the directory`);
  };
  const decode = (contact: unknown) => codec.decode(JSON.stringify(contact));
  return {
    async get(owner, key) {
      const contact = (await companies.of(owner.domain)).contact(owner, key);
      return contact && decode(contact);
    },
    async list(owner) {
      const contacts = (await companies.of(owner.domain)).contacts(owner);
      return new Map([...contacts].map(([key, contact]) => [key, decode(contact)]));
    },
    async getEach(owners, key) {
      const found = new Map<string, T>();
      const put = (owner: Jid, company: Company) => {
        const contact = company.contact(owner, key);
        if (contact !== undefined) found.set(owner.bare, decode(contact));
      };
      for (const owner of owners) put(owner, await companies.of(owner.domain));
      return found;
    },
    set: refuse,
    update: refuse,
    updateTogether: refuse,
    remove: refuse,
    clear: refuse,
  };
}
