/** Who is in which group of a directory, as it was read at one moment. */
import type { Entry, Filter } from "ldapts";
import { Jid, parseJid } from "../../../xmpp/jid.ts";
import { namesOf } from "./accounts.ts";
import { plainDn } from "./dn.ts";
import type { NamePlace } from "./everybody.ts";
import type { People } from "./people.ts";
import { firstTexts, valuesOf } from "./values.ts";

export interface CompanyOptions {
  /** What the directory is called in messages. */
  readonly name: string;
  readonly warn: (message: string) => void;
  /** Where the groups are. */
  readonly base: string;
  readonly filter: Filter;
  readonly only: Filter | undefined;
  /** Attributes of a person's name, and of a group's: the first that there is. */
  readonly names: readonly string[];
  readonly groupNames: readonly string[];
  /** Attributes in which a group names its members, by their entries or by their account names. */
  readonly members: readonly string[];
  /** Those who have the same value here are a group as well. */
  readonly department: string | undefined;
  /** The groups that one is in, or to whoever is in one, all of them. */
  readonly shows: "own" | "all";
  readonly maxGroups: number;
  /** A larger group is left out as a whole. */
  readonly maxMembers: number;
  /** Bytes of a name, in UTF-8; a longer one is left out. */
  readonly nameBytes: number;
}

export interface SharedContact {
  readonly name: string;
  readonly groups: readonly string[];
}

interface Person {
  /** The name of the account; it may have others. */
  readonly local: string;
  readonly name: string;
  readonly groups: Group[];
}

interface Group {
  readonly name: string;
  readonly members: Set<Person>;
}

export class Company {
  readonly #byLocal: ReadonlyMap<string, Person>;
  readonly #groups: readonly Group[];
  readonly #shows: "own" | "all";

  constructor(byLocal: ReadonlyMap<string, Person>, groups: readonly Group[], shows: "own" | "all") {
    this.#byLocal = byLocal;
    this.#groups = groups;
    this.#shows = shows;
  }

  contact(owner: Jid, key: string): SharedContact | undefined {
    const jid = parseJid(key);
    const [one, other] = [this.#byLocal.get(owner.local), this.#byLocal.get(jid?.local ?? "")];
    if (one === undefined || other === undefined || one === other || jid?.domain !== owner.domain) return undefined;
    // Of one person with two names only one is anybody's contact.
    if (other.local !== jid.local || one.groups.length === 0) return undefined;
    const groups = this.#shows === "all" ? other.groups : other.groups.filter(({ members }) => members.has(one));
    return groups.length === 0 ? undefined : { name: other.name, groups: namesOfGroups(groups) };
  }

  contacts({ local, domain }: Jid): ReadonlyMap<string, SharedContact> {
    const one = this.#byLocal.get(local);
    const seen = one === undefined || one.groups.length === 0 ? [] : this.#shows === "all" ? this.#groups : one.groups;
    const groups = new Map<Person, Group[]>();
    for (const group of seen) {
      for (const other of group.members) {
        if (other === one) continue;
        const known = groups.get(other);
        if (known === undefined) groups.set(other, [group]);
        else known.push(group);
      }
    }
    return new Map(
      [...groups].map(([other, common]) => [
        new Jid(other.local, domain).bare,
        { name: other.name, groups: namesOfGroups(common) },
      ]),
    );
  }
}

/** Two groups may have the same name. */
function namesOfGroups(groups: readonly Group[]): readonly string[] {
  return [...new Set(groups.map(({ name }) => name))].sort();
}

/** Rejects with a StorageError. */
export async function readCompany(people: People, domain: string, options: CompanyOptions): Promise<Company> {
  const { place } = people;
  if (place === undefined) return new Company(new Map(), [], options.shows);
  const { base, filter, only, names, groupNames, members, department } = options;
  const attributes = [place.attribute, ...names, ...(department === undefined ? [] : [department])];
  const entries = await people.all(domain, attributes, only);
  const found = await people.search({ base, scope: "sub", filter, attributes: [...groupNames, ...members] });
  if (found.length > options.maxGroups) {
    options.warn(
      `${options.name}: there are more than ${options.maxGroups} groups (max_groups); the others are left out`,
    );
  }
  const directory = peopleOf(entries, place, domain, options);
  const groups = [
    ...found.slice(0, options.maxGroups).map((entry) => groupOf(entry, directory, options)),
    ...departmentsOf(entries, directory, options),
  ];
  return new Company(directory.byLocal, joined(groups, options), options.shows);
}

interface Directory {
  readonly byDn: ReadonlyMap<string, Person>;
  readonly byLocal: ReadonlyMap<string, Person>;
}

function peopleOf(entries: readonly Entry[], place: NamePlace, domain: string, options: CompanyOptions): Directory {
  const byDn = new Map<string, Person>();
  const byLocal = new Map<string, Person>();
  const twice = new Set<string>();
  for (const entry of entries) {
    const locals = namesOf(entry, place, domain);
    const [local] = locals;
    // A directory has people who have no account.
    if (local === undefined) continue;
    const [name = local] = firstTexts(entry, options.names, options.nameBytes);
    const person: Person = { local, name, groups: [] };
    byDn.set(plainDn(entry.dn), person);
    for (const each of locals) {
      if (byLocal.has(each) && byLocal.get(each) !== person) twice.add(each);
      byLocal.set(each, person);
    }
  }
  // A name that two share is nobody's account.
  for (const each of twice) byLocal.delete(each);
  for (const [dn, person] of byDn) if (byLocal.get(person.local) !== person) byDn.delete(dn);
  return { byDn, byLocal };
}

function groupOf(entry: Entry, { byDn, byLocal }: Directory, options: CompanyOptions): Group {
  const [name = ""] = firstTexts(entry, options.groupNames, options.nameBytes);
  const members = new Set<Person>();
  for (const value of options.members.flatMap((attribute) => valuesOf(entry, attribute))) {
    if (typeof value !== "string") continue;
    const person = byDn.get(plainDn(value)) ?? byLocal.get(value.toLowerCase());
    if (person !== undefined) members.add(person);
  }
  return { name, members };
}

function departmentsOf(entries: readonly Entry[], { byDn }: Directory, options: CompanyOptions): Group[] {
  const { department, nameBytes } = options;
  if (department === undefined) return [];
  const groups = new Map<string, Group>();
  for (const entry of entries) {
    const person = byDn.get(plainDn(entry.dn));
    for (const name of firstTexts(entry, [department], nameBytes)) {
      const group = groups.get(name) ?? { name, members: new Set() };
      groups.set(name, group);
      if (person !== undefined) group.members.add(person);
    }
  }
  return [...groups.values()];
}

/** Those groups that have a name and are not too large, each known to its members. */
function joined(groups: readonly Group[], { maxMembers, name, warn }: CompanyOptions): Group[] {
  const kept = groups.filter((group) => {
    if (group.name === "" || group.members.size === 0) return false;
    if (group.members.size <= maxMembers) return true;
    warn(`${name}: the group ${group.name} has more than ${maxMembers} members (max_members) and is left out`);
    return false;
  });
  for (const group of kept) for (const person of group.members) person.groups.push(group);
  return kept;
}
