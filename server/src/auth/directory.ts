/** The accounts of a host type as its modules see them. */
import type { AccountDirectory } from "../module/api.ts";
import type { HookTable } from "../module/hook-table.ts";
import type { Logger } from "../observe/log.ts";
import type { Sessions } from "../router/sessions.ts";
import { StanzaError } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { Accounts } from "./accounts.ts";

export interface DirectoryParts {
  /** By domain. */
  readonly accounts: ReadonlyMap<string, Accounts>;
  readonly hooks: HookTable;
  readonly sessions: Sessions;
  readonly log: Logger;
  /** Whether the domain is of the host type. */
  serves(domain: string): boolean;
  /** Takes away all that modules keep under an account. */
  forget(account: Jid): Promise<void>;
}

export function accountDirectory({ accounts, hooks, sessions, log, serves, forget }: DirectoryParts): AccountDirectory {
  function of(domain: string): Accounts {
    const found = accounts.get(domain);
    if (found === undefined) throw new StanzaError("item-not-found", `${domain} is not served here`);
    return found;
  }

  return {
    serves,
    exists: (account) => accounts.get(account.domain)?.exists(account.local) ?? false,
    create: async (account, password) => of(account.domain).create(account.local, password),
    setPassword: async (account, password) => of(account.domain).setPassword(account.local, password),
    count: async (domain) => of(domain).count(),
    list: async (domain, after, limit) => of(domain).list(after, limit),

    async remove(given, gone = () => {}) {
      const account = given.toBare();
      // Nobody can log in from here on.
      const kept = of(account.domain);
      await kept.remove(account.local);
      if (await kept.isKept(account.local)) {
        throw new StanzaError("not-allowed", "accounts of this host are kept elsewhere");
      }
      // While its sessions are there: contacts are told that they are not.
      await hooks.notices.accountRemoved.tell({ account });
      gone();
      try {
        await endAll(account);
      } finally {
        await forget(account);
      }
    },
  };

  async function endAll(account: Jid): Promise<void> {
    for (const entry of await sessions.locate(account)) {
      try {
        await sessions.end(entry, "not-authorized", "the account has been removed");
      } catch (error) {
        log.warn("session.not_ended", { jid: entry.jid.full, node: entry.node, error });
      }
    }
  }
}
