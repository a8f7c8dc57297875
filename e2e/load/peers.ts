/** The servers that are measured: each in a container of its own, set up alike, with the same accounts. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Docked, docker, inside } from "./docker.ts";

export interface Peer {
  readonly name: string;
  readonly image: string;
  /** Options of `docker run`, and after the image. */
  readonly mounts: readonly (readonly [from: string, to: string])[];
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Makes u0, u1, … with the one password. */
  makeAccounts(container: Docked, count: number): void;
}

export const PASSWORD = "benchmark-password";
/** PBKDF2 rounds of every account on every server, so that a login costs all of them the same arithmetic. */
const ITERATIONS = 4096;

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `u${i}`);

export function meerkat(image: string, configuration: string): Peer {
  return {
    name: "meerkat",
    image,
    mounts: [[configuration, "/bench.toml"]],
    command: [],
    environment: { MEERKAT_CONFIG: "/bench.toml" },
    makeAccounts(container, count) {
      const lines = names(count).map((name) => `${name}@localhost ${PASSWORD}\n`);
      inside(container, ["meerkatctl", "account", "import"], lines.join(""));
    },
  };
}

export const ejabberd: Peer = {
  name: "ejabberd",
  image: "meerkat-bench/ejabberd",
  mounts: [],
  command: [],
  environment: {},
  makeAccounts(container, count) {
    const users = names(count).map((name) => `<user name='${name}' password='${PASSWORD}'/>`);
    const data = `<?xml version='1.0'?><server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>${users.join("")}</host></server-data>`;
    inside(container, ["sh", "-c", "cat > /tmp/accounts.xml"], data);
    inside(container, ["ejabberdctl", "import_piefxis", "/tmp/accounts.xml"]);
  },
};

export const prosody: Peer = {
  name: "prosody",
  image: "meerkat-bench/prosody",
  mounts: [],
  command: [],
  environment: {},
  makeAccounts(container, count) {
    const account = prosodyAccount();
    const script = `mkdir -p /var/lib/prosody/localhost/accounts && cd /var/lib/prosody/localhost/accounts && account=$(cat) && i=0 && while [ $i -lt ${count} ]; do echo "$account" > u$i.dat; i=$((i + 1)); done`;
    inside(container, ["sh", "-c", script], account);
  },
};

/** RFC 5802 3, as Prosody keeps it: one record does for all, since the password and the salt are the same. */
function prosodyAccount(): string {
  const salted = pbkdf2Sync(PASSWORD, "salt-of-the-bench", ITERATIONS, 20, "sha1");
  const hmac = (text: string) => createHmac("sha1", salted).update(text).digest();
  const stored = createHash("sha1").update(hmac("Client Key")).digest("hex");
  return `return { ["iteration_count"] = ${ITERATIONS}; ["salt"] = "salt-of-the-bench"; ["stored_key"] = "${stored}"; ["server_key"] = "${hmac("Server Key").toString("hex")}"; };\n`;
}

/** What Debian's package, or the image, says that it is. */
export function versionOf(peer: Peer, container: Docked): string {
  if (peer.name === "meerkat") return `Node ${docker(["exec", container.id, "node", "--version"]).trim().slice(1)}`;
  return docker(["exec", container.id, "dpkg-query", "-W", "-f", "$" + "{Version}", peer.name]).trim();
}

/** Where the kernel counts for a container: the files that the generator reads, in cgroups of version 1 or 2. */
export function countersOf(container: Docked): { cpu: string; memory: string } {
  const pid = docker(["inspect", "-f", "{{.State.Pid}}", container.id]).trim();
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const paths = new Map(
    lines.flatMap((line) => {
      const [, controllers = "", path = ""] = line.split(":");
      return controllers.split(",").map((controller) => [controller, path] as const);
    }),
  );
  const cpuacct = paths.get("cpuacct");
  const memory = paths.get("memory");
  if (cpuacct !== undefined && memory !== undefined) {
    return {
      cpu: `/sys/fs/cgroup/cpuacct${cpuacct}/cpuacct.usage`,
      memory: `/sys/fs/cgroup/memory${memory}/memory.stat`,
    };
  }
  const unified = `/sys/fs/cgroup${paths.get("") ?? ""}`;
  return { cpu: `${unified}/cpu.stat`, memory: `${unified}/memory.stat` };
}
