import type { ScramKeys, StoredRecord } from "../../specs.ts";
import type { Database, Row, Steps } from "./database.ts";
import { type Columns, type Loose, portions, putRows, readPage } from "./pages.ts";

type Account = Extract<StoredRecord, { capability: "accounts" }>;

const ACCOUNTS: Columns = { table: "accounts", key: ["domain", "local"], columns: ["domain", "local"] };
const KEYS: Columns = {
  table: "account_keys",
  key: ["domain", "local", "hash"],
  columns: ["domain", "local", "hash", "salt", "iterations", "stored_key", "server_key"],
};

/** Accounts with their keys, as records. */
export function copiedAccounts(database: Database) {
  const { build, run } = database;

  /** The keys of a domain's accounts from one local part to another, by local part. */
  async function keysBetween(domain: string, first: string, last: string): Promise<Map<string, ScramKeys[]>> {
    const found = await run(
      build
        .selectFrom("account_keys")
        .select(["local", "hash", "salt", "iterations", "stored_key", "server_key"])
        .where("domain", "=", domain)
        .where("local", ">=", first)
        .where("local", "<=", last),
    );
    const keys = new Map<string, ScramKeys[]>();
    for (const { local, hash, salt, iterations, stored_key, server_key } of found) {
      const bytes = { salt: copied(salt), storedKey: copied(stored_key), serverKey: copied(server_key) };
      keys.set(local, [...(keys.get(local) ?? []), { hash, iterations, ...bytes }]);
    }
    return keys;
  }

  return {
    async read(max: number, after: string | undefined) {
      const { rows, next } = await readPage(database, ACCOUNTS, max, after, 0);
      const records: Account[] = [];
      for (const [domain, names] of Map.groupBy(rows, (row) => row.domain as string)) {
        const locals = names.map(({ local }) => local as string);
        const keys = await keysBetween(domain, locals[0] as string, locals.at(-1) as string);
        for (const local of locals)
          records.push({ capability: "accounts", domain, local, keys: keys.get(local) ?? [] });
      }
      return { records, next };
    },

    *write(records: readonly Account[]): Steps<void> {
      const last = new Map(records.map((record) => [JSON.stringify([record.domain, record.local]), record]));
      const accounts = [...last.values()];
      const names = accounts.map(({ domain, local }) => ({ domain, local }));
      yield* putRows(database, ACCOUNTS, names);
      // Keys of hashes that the account is to have no more.
      for (const [domain, of] of Map.groupBy(names, (name) => name.domain)) {
        for (const some of portions(of)) yield* dropKeys(database, domain, some);
      }
      yield* putRows(database, KEYS, accounts.flatMap(keyRows));
    },
  };
}

function* dropKeys({ build }: Database, domain: string, some: readonly Row[]): Steps<void> {
  const locals = some.map(({ local }) => local as string);
  yield (build as unknown as Loose)
    .deleteFrom("account_keys")
    .where("domain", "=", domain)
    .where("local", "in", locals)
    .compile();
}

function keyRows({ domain, local, keys }: Account): Row[] {
  return keys.map(({ hash, salt, iterations, storedKey, serverKey }) => {
    return { domain, local, hash, salt, iterations, stored_key: storedKey, server_key: serverKey };
  });
}

/** Not the driver's own kind of bytes, which may be a view of something larger. */
function copied(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
