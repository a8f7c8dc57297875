/** OpenLDAP from a set: the tree loaded by slapadd, a server on it, a log-in with the service's own password, all of it read. */
import { output } from "../../compose/backup/child.ts";
import { entriesOf, sums } from "../../compose/backup/ldif.ts";
import type { Tables } from "../../compose/backup/manifest.ts";
import { docker, image, loadInto, ready, type Site, start } from "./docker.ts";

const CONFIG = "/run/slapd/restore.conf";
const SOCKET = "ldapi://%2Frun%2Fslapd%2Fldapi";

/** The image's own configuration, less what needs the network: certificates, and the other provider with its long lines. */
const ALONE = `awk '/^[^ \\t#]/ { skip = /^(TLS|[Ss]ync[Rr]epl|[Mm]ulti[Pp]rovider|[Mm]irror[Mm]ode|[Ss]erver[Ii][Dd]|overlay +syncprov|syncprov-)/ } !skip' /etc/meerkat/slapd.conf > ${CONFIG}`;

/** A server with the set's tree, in memory or in a volume, which must be empty then. */
export async function startOpenldap(site: Site, set: string, base: string, volumeName?: string): Promise<string> {
  const data =
    volumeName === undefined
      ? ["--tmpfs", "/var/lib/ldap:mode=0700,uid=10013,gid=10013"]
      : ["-v", `${volumeName}:/var/lib/ldap`];
  const container = await start(site, {
    name: "openldap",
    image: image(site, "openldap"),
    options: [
      ...["--tmpfs", "/run/slapd:mode=0700,uid=10013,gid=10013", "--tmpfs", "/tmp:mode=1777"],
      ...[...data, "--ulimit", "nofile=4096:4096", "--init"],
      ...["-v", `${site.secrets}/ldap_meerkat_password:/run/secrets/ldap_meerkat_password:ro`],
    ],
    entrypoint: "sleep",
    command: ["infinity"],
  });
  await docker(["exec", container, "sh", "-c", ALONE]);
  await loadInto(site, set, "openldap/tree.ldif.zst", [container, "slapadd", "-q", "-w", "-f", CONFIG, "-b", base]);
  await docker(["exec", "-d", container, "slapd", "-d", "0", "-f", CONFIG, "-h", SOCKET]);
  const bind = ["-D", `cn=meerkat,ou=services,${base}`, "-y", "/run/secrets/ldap_meerkat_password"];
  await ready(container, ["ldapwhoami", "-x", "-H", SOCKET, ...bind], 15_000);
  return container;
}

/** Ends the server in good order and marks the volume as one that has its tree: see the image's entrypoint. */
export async function keepOpenldap(container: string): Promise<void> {
  const end =
    "kill $(cat /run/slapd/slapd.pid) && while [ -e /run/slapd/slapd.pid ]; do sleep 0.1; done && touch /var/lib/ldap/made";
  await docker(["exec", container, "sh", "-c", end]);
  await docker(["rm", "--force", container]);
}

export async function countedOpenldap(container: string, base: string): Promise<Tables> {
  return sums(entriesOf(output("docker", ["exec", container, "slapcat", "-f", CONFIG, "-b", base])), base);
}
