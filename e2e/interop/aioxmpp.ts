/**
 * The end-to-end suite of another XMPP library, aioxmpp, run against a Meerkat node and against Prosody: which of its
 * stories pass, fail, or are skipped because the server does not offer what they are about.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Docked, docker, inside } from "../load/docker.ts";
import { meerkat, PASSWORD, type Peer, prosody } from "../load/peers.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const build = `${root}.build`;
const here = `${root}e2e/interop/aioxmpp`;
const NETWORK = "meerkat-interop";
/** The suite's longest story has this many clients. */
const ACCOUNTS = 6;

type Outcome = "passed" | "failed" | "skipped";
interface Story {
  readonly outcome: Outcome;
  /** Why it failed or was skipped, one line. */
  readonly why: string;
}

/** The stories of a JUnit report, by name. */
function read(report: string): ReadonlyMap<string, Story> {
  const stories = new Map<string, Story>();
  for (const [, attrs = "", inner = ""] of report.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const [, group = ""] = /classname="([^"]*)"/.exec(attrs) ?? [];
    const [, name = ""] = /\bname="([^"]*)"/.exec(attrs) ?? [];
    const why = /message="([^"]*)"/.exec(inner)?.[1] ?? "";
    const outcome: Outcome = /<(failure|error)\b/.test(inner)
      ? "failed"
      : inner.includes("<skipped")
        ? "skipped"
        : "passed";
    stories.set(`${group.replace(/^tests\.|test_e2e\.?/g, "")} ${name}`, { outcome, why: why.split("&#10;")[0] ?? "" });
  }
  return stories;
}

/** What aioxmpp reads: whom it logs in as. */
function accounts(): string {
  const list = Array.from({ length: ACCOUNTS }, (_, i) => `("u${i}", "${PASSWORD}")`).join(", ");
  return `[global]
provisioner=aioxmpp.e2etest.provision.StaticPasswordProvisioner
timeout=10

[aioxmpp.e2etest.provision.StaticPasswordProvisioner]
host=server
domain=localhost
port=5222
no_verify=true
accounts=[${list}]
`;
}

function run(peer: Peer): ReadonlyMap<string, Story> {
  const mounts = [[`${build}/interop/tls`, "/suite-tls"] as const, ...peer.mounts];
  const name = `meerkat-interop-${peer.name}`;
  docker(["rm", "-f", name]);
  const id = docker([
    "run",
    "--detach",
    "--rm",
    ...["--name", name, "--network", NETWORK, "--network-alias", "server", "--tmpfs", "/tmp:mode=1777"],
    ...mounts.flatMap(([from, to]) => ["--volume", `${from}:${to}:ro`]),
    ...Object.entries(peer.environment).flatMap(([key, value]) => ["--env", `${key}=${value}`]),
    peer.image,
    ...peer.command,
  ]).trim();
  const server: Docked = { id, name };
  try {
    untilListening(server);
    peer.makeAccounts(server, ACCOUNTS);
    const config = `${build}/interop/e2etest.ini`;
    writeFileSync(config, accounts());
    const mount = ["--volume", `${config}:/suite/.local/e2etest.ini:ro`];
    return read(docker(["run", "--rm", "--network", NETWORK, ...mount, "meerkat-interop/aioxmpp"], "", 600_000));
  } finally {
    docker(["rm", "-f", name]);
  }
}

/** Port 5222, 1466 in hexadecimal, as the kernel of the container lists what listens. */
function untilListening(server: Docked): void {
  const look =
    "for i in $(seq 120); do grep -q ':1466 .* 0A ' /proc/net/tcp /proc/net/tcp6 && exit 0; sleep 0.5; done; exit 1";
  inside(server, ["sh", "-c", look]);
}

function tally(stories: ReadonlyMap<string, Story>, outcome: Outcome): number {
  return [...stories.values()].filter((story) => story.outcome === outcome).length;
}

mkdirSync(`${build}/interop`, { recursive: true });
const image = `meerkat/meerkat:${process.env.MEERKAT_TAG ?? "dev"}`;
const ours = meerkat(image, `${root}e2e/interop/meerkat.toml`);
const theirs: Peer = { ...prosody, mounts: [[`${here}/prosody.cfg.lua`, "/etc/prosody/prosody.cfg.lua"]] };
if (docker(["network", "ls", "-q", "--filter", `name=^${NETWORK}$`]).trim() === "")
  docker(["network", "create", NETWORK]);
const results = new Map<string, ReadonlyMap<string, Story>>();
try {
  for (const peer of [ours, theirs]) results.set(peer.name, run(peer));
} finally {
  docker(["network", "rm", NETWORK]);
}

const meerkats = results.get("meerkat") as ReadonlyMap<string, Story>;
const prosodys = results.get("prosody") as ReadonlyMap<string, Story>;
/** What Meerkat does not offer is no failure of what it does: such stories are skipped by the suite itself. */
const offered = (story: string) => meerkats.get(story)?.outcome !== "skipped";
const failed = [...meerkats].filter(([, { outcome }]) => outcome === "failed");
const behind = failed.filter(([story]) => prosodys.get(story)?.outcome === "passed");
for (const [story, { why }] of failed) {
  console.log(`failed   ${story}\n           ${why}\n           Prosody: ${prosodys.get(story)?.outcome ?? "not run"}`);
}
for (const [name, stories] of results) {
  const common = [...stories].filter(([story]) => offered(story));
  console.log(
    `${name.padEnd(8)} ${tally(stories, "passed")} passed, ${tally(stories, "failed")} failed, ${tally(stories, "skipped")} skipped; ` +
      `of the ${common.length} stories that Meerkat offers what it takes for: ${tally(new Map(common), "passed")} passed`,
  );
}
const passed = tally(meerkats, "passed");
mkdirSync(`${build}/totals`, { recursive: true });
writeFileSync(
  `${build}/totals/interop-aioxmpp`,
  `passed ${passed} failed ${behind.length} skipped ${meerkats.size - passed - behind.length}\n`,
);
process.exitCode = behind.length === 0 && passed > 0 ? 0 : 1;
