/** OpenLDAP: the whole tree with the attributes that the server keeps for itself, as slapadd loads it. */
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { compressor, output } from "./child.ts";
import { type Entry, entriesOf, loadable, Sums, sums, written } from "./ldif.ts";
import type { Tables } from "./manifest.ts";
import type { Settings } from "./settings.ts";
import type { Taken, Taking } from "./taking.ts";

export async function takeOpenldap({ settings, folder, signal }: Taking): Promise<Taken> {
  const { base, bindDn } = settings.ldap;
  const at = new Date().toISOString();
  const counted = new Sums(base);
  let passwords = 0;
  const text = async function* () {
    for await (const entry of loadable(tree(settings, signal), base)) {
      counted.add(entry);
      if (entry.lines.some((line) => /^userPassword:/i.test(line))) passwords++;
      yield written(entry);
    }
  };
  await pipeline(text, compressor(), createWriteStream(join(folder, "tree.ldif.zst")));
  // A role that may not read gets an empty answer, not an error.
  if (passwords === 0) throw new Error(`${bindDn} sees no password in any entry, so it does not see everything`);
  // What was read is what was written, so the sums are of exactly that. One search is no snapshot, though: an entry that
  // changes meanwhile is there as it was, or as it is.
  return { version: "LDAP 3", at, exact: true, tables: counted.tables };
}

/** Counts of the directory as it is now. */
export function countOpenldap(settings: Settings): Promise<Tables> {
  return sums(tree(settings), settings.ldap.base);
}

function tree({ ldap, runFolder }: Settings, signal?: AbortSignal): AsyncIterable<Entry> {
  const options = ["-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=10", "-H", ldap.url, "-D", ldap.bindDn];
  const everything = ["-b", ldap.base, "(objectClass=*)", "*", "+"];
  return entriesOf(
    output("ldapsearch", [...options, "-y", join(runFolder, "ldap-password"), ...everything], {
      env: { LDAPTLS_CACERT: process.env.BACKUP_CA || "/run/secrets/ca", LDAPTLS_REQCERT: "hard" },
      signal,
    }),
  );
}
