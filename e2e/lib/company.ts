/** The sample company of the directory, and its two servers from the operator's side. */
import { compose } from "./datacenter.ts";
import { site } from "./story.ts";
import type { Account } from "./topology.ts";

export const DIRECTORY_SERVERS = ["openldap-1", "openldap-2"] as const;
export type DirectoryServer = (typeof DIRECTORY_SERVERS)[number];

const SUFFIX = "dc=corp,dc=meerkat,dc=localhost";
const SECRET = "/run/secrets/ldap_people_password";

export function person(local: string): Account {
  return { local, domain: site.company, password: site.secret("ldap_people_password") };
}

/** How far a server has come: the time of the latest change from each of the two. */
export async function progress(server: DirectoryServer): Promise<string> {
  const read = ["ldapsearch", "-Q", "-Y", "EXTERNAL", "-LLL", "-H", "ldapi://%2Frun%2Fslapd%2Fldapi"];
  const found = await compose(["exec", "-T", server, ...read, "-s", "base", "-b", SUFFIX, "contextCSN"]);
  return found
    .split("\n")
    .filter((line) => line.startsWith("contextCSN:"))
    .sort()
    .join("\n");
}

/** Every entry that a server has, with its identity and the time of its latest change. */
export async function tree(server: DirectoryServer): Promise<string> {
  const read = `slapcat -f /run/slapd/slapd.conf -b ${SUFFIX} -o ldif-wrap=no`;
  const found = await compose(["exec", "-T", server, "sh", "-c", `${read} | grep -E '^(dn|entryUUID|entryCSN):'`]);
  return found.trim();
}

/** A person changes the password at one of the servers, to what it was: a change all the same, which the other has to hear of. */
export async function changePassword(server: DirectoryServer, local: string): Promise<void> {
  const asPerson = ["-x", "-H", `ldaps://${server}`, "-D", `uid=${local},ou=people,${SUFFIX}`, "-y", SECRET];
  const command = ["env", "LDAPTLS_CACERT=/run/secrets/ca", "ldappasswd", ...asPerson, "-T", SECRET];
  await compose(["exec", "-T", server, ...command]);
}
