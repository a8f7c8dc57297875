/**
 * Measures Meerkat, ejabberd and Prosody side by side in one run: each server in a container on core 0, the generator on
 * core 1 in the server's own network, so that nothing lies between them. `make bench` builds what this needs.
 *
 * SCENARIO, PEERS   names with commas between: only those
 * LONG=1            also 10,000 idle sessions
 * SECONDS_EACH      how long traffic is measured (2.5)
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Docked, docker } from "./docker.ts";
import { countersOf, ejabberd, meerkat, PASSWORD, type Peer, prosody, versionOf } from "./peers.ts";
import { type Outcome, report } from "./report.ts";
import { type Measured, type Result, SCENARIOS, type Scenario } from "./scenarios.ts";

const root = new URL("../../", import.meta.url).pathname;
const build = `${root}.build`;
const long = process.env.LONG === "1";
const seconds = process.env.SECONDS_EACH ?? "2.5";
const generatorCore = Math.min(1, availableParallelism() - 1);

const image = `meerkat/meerkat:${process.env.MEERKAT_TAG ?? "dev"}`;
const peers = chosen([meerkat(image, `${root}e2e/load/peers/meerkat.toml`), ejabberd, prosody], process.env.PEERS);
const scenarios = chosen(SCENARIOS, process.env.SCENARIO).filter((one) => long || !one.long || process.env.SCENARIO);
const accounts = Math.max(
  2000,
  ...scenarios.map(({ options }) => Number(options[options.indexOf("--count") + 1]) || 0),
);

/** Ten thousand sessions need as many files; where the machine forbids it, it is known to be less. */
const files = Math.min(65_536, Number(execFileSync("bash", ["-c", "ulimit -Hn"], { encoding: "utf8" })) || 65_536);

function chosen<T extends { readonly name: string }>(all: readonly T[], wanted: string | undefined): T[] {
  if (wanted === undefined || wanted === "") return [...all];
  return wanted.split(",").map((name) => {
    const found = all.find((one) => one.name === name);
    if (found === undefined) {
      console.error(`bench      there is no "${name}"; there are ${all.map((one) => one.name).join(", ")}`);
      process.exit(1);
    }
    return found;
  });
}

function say(text: string): void {
  console.log(`bench      ${text}`);
}

const elapsed = (): string => `${Math.round(performance.now() / 1000)} s`;

function nameOf(peer: Peer): string {
  return `meerkat-bench-${peer.name}`;
}

async function start(peer: Peer): Promise<Docked> {
  const name = nameOf(peer);
  docker(["rm", "-f", "-v", name]);
  const mounts = [[`${build}/bench-tls`, "/bench"] as const, ...peer.mounts];
  const id = docker([
    "run",
    "-d",
    "--name",
    name,
    "--network",
    "none",
    "--cpuset-cpus",
    "0",
    "--ulimit",
    `nofile=${files}:${files}`,
    ...mounts.flatMap(([from, to]) => ["-v", `${from}:${to}:ro`]),
    ...Object.entries(peer.environment).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
    peer.image,
    ...peer.command,
  ]).trim();
  const container = { id, name };
  await ready(container);
  peer.makeAccounts(container, accounts);
  return container;
}

/** One login says that the server is there; an account that is not yet, that it answers. */
async function ready(container: Docked): Promise<void> {
  for (let tries = 0; tries < 120; tries++) {
    try {
      docker([
        "run",
        "--rm",
        "--network",
        `container:${container.id}`,
        "--entrypoint",
        "bash",
        "meerkat-bench/load",
        "-c",
        "exec 3<>/dev/tcp/127.0.0.1/5222",
      ]);
      return;
    } catch {
      await sleep(500);
    }
  }
  throw new Error(`${container.name} does not answer: ${docker(["logs", "--tail", "20", container.id])}`);
}

function generate(container: Docked, options: readonly string[]): Result {
  const counters = countersOf(container);
  try {
    const line = docker([
      "run",
      "--rm",
      "--network",
      `container:${container.id}`,
      "--cpuset-cpus",
      `${generatorCore}`,
      "--ulimit",
      `nofile=${files}:${files}`,
      "-v",
      `${counters.cpu}:/cpu:ro`,
      "-v",
      `${counters.memory}:/memory:ro`,
      "meerkat-bench/load",
      "--password",
      PASSWORD,
      "--cpu",
      "/cpu",
      "--memory",
      "/memory",
      "--seconds",
      seconds,
      ...options,
    ]);
    return JSON.parse(line) as Measured;
  } catch (error) {
    return { failure: (error as Error).message.split("\n").slice(0, 3).join(" ").slice(0, 300) };
  }
}

async function measure(scenario: Scenario, container: Docked): Promise<Result> {
  if (scenario.fresh) {
    docker(["restart", "-t", "3", container.id]);
    await ready(container);
    // Code that runs for the first time takes memory too, and that is not the sessions'.
    generate(container, [
      "--scenario",
      "login",
      "--count",
      "160",
      "--mechanism",
      "SCRAM-SHA-1",
      "--tls",
      scenario.options.includes("--tls") ? "1" : "0",
    ]);
    await sleep(1000);
  }
  return generate(container, scenario.options);
}

const containers = new Map<Peer, Docked>();
const outcomes: Outcome[] = [];
const versions: Record<string, string> = {};
async function run(): Promise<void> {
  for (const peer of peers) {
    say(`${peer.name}: starting, ${accounts} accounts …`);
    const container = await start(peer);
    containers.set(peer, container);
    versions[peer.name] = versionOf(peer, container);
    say(`${peer.name}: ready, ${elapsed()}`);
  }
  for (const scenario of scenarios) {
    for (const [peer, container] of containers) {
      const result = await measure(scenario, container);
      outcomes.push({ scenario, peer: peer.name, result });
      if ("failure" in result) say(`${scenario.name} ${peer.name}: not measured: ${result.failure}`);
    }
    say(`${scenario.name} done, ${elapsed()}`);
  }
}

function stop(): void {
  for (const peer of peers) docker(["rm", "-f", "-v", nameOf(peer)]);
}
process.on("SIGINT", () => {
  stop();
  process.exit(130);
});

try {
  await run();
} finally {
  stop();
}
const text = report(
  outcomes,
  peers.map(({ name }) => name),
  versions,
);
mkdirSync(build, { recursive: true });
writeFileSync(`${build}/bench.txt`, text);
writeFileSync(`${build}/bench.json`, `${JSON.stringify({ versions, outcomes }, undefined, 1)}\n`);
console.log(text);
say(`kept in .build/bench.txt and .build/bench.json`);
