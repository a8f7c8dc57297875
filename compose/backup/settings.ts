/** The service's settings, from its environment; secrets are files. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Settings {
  /** Where sets, the write-ahead log and the state are kept. */
  readonly folder: string;
  /** Small files with passwords, in memory. */
  readonly runFolder: string;
  readonly intervalMs: number;
  /** From the service's start to the first backup, when one is due. */
  readonly firstMs: number;
  /** How many sets are kept. */
  readonly keep: number;
  /** How often a restore drill is expected. */
  readonly drillIntervalMs: number;
  readonly port: number;
  readonly stores: readonly Store[];
  /** libpq's connection string, without the password. */
  readonly postgres: string;
  readonly ldap: { readonly url: string; readonly bindDn: string; readonly base: string };
  /** The directory's servers, to see whether they agree. */
  readonly directory: readonly string[];
}

export const STORES = ["postgres", "mariadb", "openldap"] as const;
export type Store = (typeof STORES)[number];

type Env = Readonly<Record<string, string | undefined>>;

/** Throws with the name of a variable that makes no sense. */
export function readSettings(env: Env): Settings {
  const base = env.BACKUP_LDAP_BASE || "dc=corp,dc=meerkat,dc=localhost";
  const ca = env.BACKUP_CA || "/run/secrets/ca";
  const profiles = (env.BACKUP_PROFILES ?? "").split(",").map((each) => each.trim());
  return {
    folder: env.BACKUP_FOLDER || "/backups",
    runFolder: env.BACKUP_RUN_FOLDER || "/run/backup",
    intervalMs: milliseconds(env, "BACKUP_INTERVAL", "24h"),
    firstMs: milliseconds(env, "BACKUP_FIRST", "3m"),
    keep: whole(env, "BACKUP_KEEP", 7, 1, 1000),
    drillIntervalMs: milliseconds(env, "BACKUP_DRILL_INTERVAL", "8d"),
    port: whole(env, "BACKUP_PORT", 9465, 1, 65_535),
    stores: STORES.filter((store) => store !== "mariadb" || profiles.includes("mysql")),
    postgres: [
      `host=${env.BACKUP_POSTGRES_HOST || "postgres"} port=5432 user=backup dbname=meerkat`,
      `sslmode=verify-full sslrootcert=${ca} connect_timeout=10 application_name=backup`,
    ].join(" "),
    ldap: { url: env.BACKUP_LDAP_URL || "ldaps://openldap", bindDn: `cn=backup,ou=services,${base}`, base },
    directory: (env.BACKUP_LDAP_SERVERS || "openldap-1,openldap-2").split(","),
  };
}

/** The secrets in the forms that the stores' own programs read, for this user only, and the variables that name them. */
export function prepareSecrets({ runFolder, stores }: Settings, secrets = "/run/secrets"): void {
  const write = (name: string, text: string) => writeFileSync(join(runFolder, name), text, { mode: 0o600 });
  const secret = (name: string) => readFileSync(join(secrets, name), "utf8").trim();
  write("pgpass", `*:*:*:backup:${secret("postgres_backup_password")}\n`);
  write("ldap-password", secret("ldap_backup_password"));
  if (stores.includes("mariadb"))
    write(
      "my.cnf",
      // By the name in its certificate.
      "[client]\nhost=mariadb.meerkat.localhost\nuser=backup\n" +
        `password=${secret("mariadb_backup_password")}\nssl-ca=${join(secrets, "ca")}\n`,
    );
}

function milliseconds(env: Env, name: string, otherwise: string): number {
  const text = env[name]?.trim() || otherwise;
  const [, number, unit = ""] = /^(\d+)(s|m|h|d)$/.exec(text) ?? [];
  const seconds = Number(number) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? Number.NaN);
  // A timer of Node holds 24 days at most.
  if (!(seconds >= 1 && seconds <= 24 * 86_400)) throw new Error(`${name}: "${text}" is not 1s to 24d`);
  return seconds * 1000;
}

function whole(env: Env, name: string, otherwise: number, least: number, most: number): number {
  const value = Number(env[name] || otherwise);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new Error(`${name}: "${env[name]}" is not a whole number from ${least} to ${most}`);
  return value;
}
