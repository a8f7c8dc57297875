import type { AccountStore, ScramHash, ScramKeys } from "../../src/storage/specs.ts";
import type { Jid } from "../../src/xmpp/jid.ts";

/** Accounts in memory, with SCRAM keys; each request is noted by its name. */
export class KeyStore implements AccountStore {
  readonly requests: string[] = [];
  readonly #accounts = new Map<string, readonly ScramKeys[]>();

  async exists(account: Jid): Promise<boolean> {
    this.requests.push("exists");
    return this.#accounts.has(account.bare);
  }

  async scram(account: Jid, hash: ScramHash): Promise<ScramKeys | undefined> {
    this.requests.push("scram");
    return this.#accounts.get(account.bare)?.find((keys) => keys.hash === hash);
  }

  async create(account: Jid, keys: readonly ScramKeys[]): Promise<"created" | "exists"> {
    if (this.#accounts.has(account.bare)) return "exists";
    this.#accounts.set(account.bare, keys);
    return "created";
  }

  async setKeys(account: Jid, keys: readonly ScramKeys[]): Promise<"changed" | "missing"> {
    if (!this.#accounts.has(account.bare)) return "missing";
    this.#accounts.set(account.bare, keys);
    return "changed";
  }

  async addKeys(account: Jid, _known: ScramKeys, more: readonly ScramKeys[]): Promise<void> {
    this.requests.push("addKeys");
    this.#accounts.set(account.bare, [...(this.#accounts.get(account.bare) ?? []), ...more]);
  }

  async remove(account: Jid): Promise<void> {
    this.#accounts.delete(account.bare);
  }

  async count(): Promise<number> {
    return this.#accounts.size;
  }

  async list(_domain: string, after: string, limit: number): Promise<readonly string[]> {
    const locals = [...this.#accounts.keys()].map((bare) => bare.slice(0, bare.indexOf("@"))).sort();
    return locals.filter((local) => local > after).slice(0, limit);
  }
}

/** A directory that only checks passwords, as LDAP does. */
export class Directory implements AccountStore {
  readonly asked: string[] = [];
  readonly #passwords: ReadonlyMap<string, string>;

  constructor(passwords: Readonly<Record<string, string>>) {
    this.#passwords = new Map(Object.entries(passwords));
  }

  async exists(account: Jid): Promise<boolean> {
    return this.#passwords.has(account.local);
  }

  async verify(account: Jid, password: string): Promise<boolean> {
    this.asked.push(password);
    return this.#passwords.get(account.local) === password;
  }
}
