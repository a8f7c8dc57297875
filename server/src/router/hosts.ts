/** The domains that are served, and what each kind of them runs. */
import type { AccountDirectory } from "../module/api.ts";
import type { HookTable } from "../module/hook-table.ts";
import { Jid } from "../xmpp/jid.ts";

/** What a domain runs: modules and their configuration, shared by every domain of the type. */
export interface HostType {
  readonly name: string;
  readonly hooks: HookTable;
  readonly accounts: AccountDirectory;
}

/** A served domain: light, so that there can be many. */
export interface Host {
  readonly domain: string;
  readonly jid: Jid;
  readonly type: HostType;
}

export class Hosts {
  readonly #byDomain = new Map<string, Host>();

  add(domain: string, type: HostType): Host {
    const host = { domain, type, jid: new Jid("", domain) };
    this.#byDomain.set(domain, host);
    return host;
  }

  get(domain: string): Host | undefined {
    return this.#byDomain.get(domain);
  }

  /** Whom the node speaks for where no domain was named; there is always one. */
  get first(): Host {
    return this.#byDomain.values().next().value as Host;
  }

  all(): Host[] {
    return [...this.#byDomain.values()];
  }

  types(): Set<HostType> {
    return new Set(this.all().map(({ type }) => type));
  }
}
