/**
 * How far the servers of the directory have come. Each keeps the time of the latest change that it knows from each of them
 * (contextCSN, RFC 4533 3): when two say the same, they have the same tree.
 */
import { join } from "node:path";
import { run } from "./child.ts";
import type { Settings } from "./settings.ts";

/** What a server says about itself, as LDIF; rejects when it does not answer. */
export type ReadServer = (server: string) => Promise<string>;

export function directoryReader({ ldap, runFolder }: Settings): ReadServer {
  return async (server) => {
    const options = ["-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=3", "-H", `ldaps://${server}`];
    const as = ["-D", ldap.bindDn, "-y", join(runFolder, "ldap-password")];
    const { stdout } = await run("ldapsearch", [...options, ...as, "-s", "base", "-b", ldap.base, "contextCSN"], {
      env: { LDAPTLS_CACERT: process.env.BACKUP_CA || "/run/secrets/ca", LDAPTLS_REQCERT: "hard" },
      signal: AbortSignal.timeout(8000),
    });
    return stdout;
  };
}

/** Prometheus' text format. */
export async function directoryMetrics(servers: readonly string[], read: ReadServer): Promise<string> {
  const answers = await Promise.all(servers.map((server) => read(server).catch(() => undefined)));
  const lines = [
    "# HELP directory_up 1 when the server of the directory answers.",
    "# TYPE directory_up gauge",
    ...servers.map((server, i) => `directory_up{server="${server}"} ${answers[i] === undefined ? 0 : 1}`),
    "# HELP directory_change_timestamp_seconds When the latest change was made at the origin, as far as the server knows.",
    "# TYPE directory_change_timestamp_seconds gauge",
    ...servers.flatMap((server, i) =>
      changes(answers[i] ?? "").map(
        ([origin, at]) => `directory_change_timestamp_seconds{server="${server}",origin="${origin}"} ${at}`,
      ),
    ),
  ];
  return `${lines.join("\n")}\n`;
}

/** Seconds since 1970 by the number of the server where the change was made. */
function changes(ldif: string): [origin: number, at: number][] {
  const csn = /^contextCSN: (\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{6})Z#[0-9a-f]{6}#([0-9a-f]{3})#[0-9a-f]{6}$/gm;
  return [...ldif.matchAll(csn)].map(([, year, month, day, hour, minute, second, fraction, origin = ""]) => [
    Number.parseInt(origin, 16),
    Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000 + Number(fraction),
  ]);
}
