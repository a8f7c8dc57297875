import type { Jid } from "../../../xmpp/jid.ts";
import type { AccountStore, ScramKeys } from "../../specs.ts";
import { type Database, rows, type Steps } from "./database.ts";
import { insertMissing } from "./dialects.ts";

/** Accounts and their SCRAM keys in SQL tables. */
export function accountStore(database: Database): AccountStore {
  const { build, locksRows, run, transact } = database;

  function* insertKeys({ domain, local }: Jid, keys: readonly ScramKeys[]): Steps<void> {
    for (const { hash, salt, iterations, storedKey, serverKey } of keys) {
      const row = { domain, local, hash, salt, iterations, stored_key: storedKey, server_key: serverKey };
      yield* rows(build.insertInto("account_keys").values(row));
    }
  }

  /** Nobody else changes the keys of the account until the transaction is over. */
  function* isThere({ domain, local }: Jid): Steps<boolean> {
    let present = build.selectFrom("accounts").select("local").where("domain", "=", domain).where("local", "=", local);
    if (locksRows) present = present.forUpdate();
    return (yield* rows(present)).length > 0;
  }

  return {
    async exists({ local, domain }) {
      const found = await run(
        build.selectFrom("accounts").select("local").where("domain", "=", domain).where("local", "=", local),
      );
      return found.length > 0;
    },

    async scram({ local, domain }, hash) {
      const [found] = await run(
        build
          .selectFrom("account_keys")
          .select(["salt", "iterations", "stored_key", "server_key"])
          .where("domain", "=", domain)
          .where("local", "=", local)
          .where("hash", "=", hash),
      );
      if (found === undefined) return undefined;
      return {
        hash,
        salt: new Uint8Array(found.salt),
        iterations: found.iterations,
        storedKey: new Uint8Array(found.stored_key),
        serverKey: new Uint8Array(found.server_key),
      };
    },

    create: (account, keys) =>
      transact(function* () {
        const { domain, local } = account;
        const made = yield* insertMissing(database, "accounts", [{ domain, local }], "local");
        if (made.length === 0) return "exists";
        yield* insertKeys(account, keys);
        return "created";
      }),

    setKeys: (account, keys) =>
      transact(function* () {
        const { domain, local } = account;
        if (!(yield* isThere(account))) return "missing";
        yield* rows(build.deleteFrom("account_keys").where("domain", "=", domain).where("local", "=", local));
        yield* insertKeys(account, keys);
        return "changed";
      }),

    addKeys: (account, known, more) =>
      transact(function* () {
        const { domain, local } = account;
        if (!(yield* isThere(account))) return;
        const kept = yield* rows(
          build
            .selectFrom("account_keys")
            .select(["hash", "stored_key"])
            .where("domain", "=", domain)
            .where("local", "=", local),
        );
        const same = kept.find(({ hash }) => hash === known.hash);
        if (same === undefined || Buffer.compare(same.stored_key, known.storedKey) !== 0) return;
        yield* insertKeys(
          account,
          more.filter(({ hash }) => kept.every((has) => has.hash !== hash)),
        );
      }),

    async remove({ local, domain }) {
      await run(build.deleteFrom("accounts").where("domain", "=", domain).where("local", "=", local));
    },

    async count(domain) {
      const [found] = await run(
        build
          .selectFrom("accounts")
          .select(({ fn }) => fn.countAll().as("accounts"))
          .where("domain", "=", domain),
      );
      // PostgreSQL answers in 64 bits, which arrive as text.
      return Number(found?.accounts);
    },

    async list(domain, after, limit) {
      const found = await run(
        build
          .selectFrom("accounts")
          .select("local")
          .where("domain", "=", domain)
          .where("local", ">", after)
          .orderBy("local")
          .limit(limit),
      );
      return found.map(({ local }) => local);
    },
  };
}
