/** OpenLDAP: the whole tree with the attributes that the server keeps for itself, as slapadd loads it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import { run } from "./child.ts";
import { type Entry, entries, loadable, sums, write } from "./ldif.ts";
import type { Tables } from "./manifest.ts";
import type { Settings } from "./settings.ts";
import type { Taken, Taking } from "./taking.ts";

export async function takeOpenldap({ settings, folder, signal }: Taking): Promise<Taken> {
  const at = new Date().toISOString();
  const tree = await readTree(settings, signal);
  await writeFile(join(folder, "tree.ldif.zst"), await promisify(zstdCompress)(write(loadable(tree))));
  // What was read is what was written, so the sums are of exactly that. One search is no snapshot, though: an entry that
  // changes meanwhile is there as it was, or as it is.
  return { version: "LDAP 3", at, exact: true, tables: sums(tree, settings.ldap.base) };
}

/** Counts of the directory as it is now. */
export async function countOpenldap(settings: Settings): Promise<Tables> {
  return sums(await readTree(settings), settings.ldap.base);
}

async function readTree(settings: Settings, signal?: AbortSignal): Promise<Entry[]> {
  const { stdout } = await search(settings, ["-b", settings.ldap.base, "(objectClass=*)", "*", "+"], signal);
  const found = entries(stdout);
  // A role that may not read would get an empty answer, not an error.
  const withPassword = found.filter(({ lines }) => lines.some((line) => /^userPassword:/i.test(line)));
  if (withPassword.length === 0)
    throw new Error(`${settings.ldap.bindDn} sees ${found.length} entries and no password in them`);
  return found;
}

function search({ ldap, runFolder }: Settings, args: readonly string[], signal?: AbortSignal) {
  const options = ["-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=10", "-H", ldap.url, "-D", ldap.bindDn];
  return run("ldapsearch", [...options, "-y", join(runFolder, "ldap-password"), ...args], {
    env: { LDAPTLS_CACERT: process.env.BACKUP_CA || "/run/secrets/ca", LDAPTLS_REQCERT: "hard" },
    signal,
  });
}
