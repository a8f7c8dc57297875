/** Docker as a restore uses it: containers that nobody can reach, all with a label by which they are found and removed. */
import { spawnSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../../compose/backup/child.ts";

export interface Site {
  readonly project: string;
  readonly tag: string;
  /** Folder of the secrets. */
  readonly secrets: string;
}

export function siteOf(env: Readonly<Record<string, string | undefined>>): Site {
  const { COMPOSE_PROJECT_NAME: project = "meerkat", MEERKAT_TAG, SECRETS = "" } = env;
  return { project, tag: MEERKAT_TAG || "dev", secrets: SECRETS };
}

export const image = ({ tag }: Site, name: string): string => `meerkat/${name}:${tag}`;
export const volume = ({ project }: Site, name: string): string => `${project}_${name}`;

const label = ({ project }: Site): string => `meerkat.drill=${project}`;

export async function docker(args: readonly string[], input = ""): Promise<string> {
  return (await run("docker", args, { input })).stdout;
}

export interface Started {
  readonly name: string;
  readonly image: string;
  readonly options?: readonly string[];
  readonly entrypoint?: string;
  readonly command?: readonly string[];
}

const CONFINED = [
  "--network",
  "none",
  "--read-only",
  "--cap-drop",
  "ALL",
  "--security-opt",
  "no-new-privileges:true",
  "--pids-limit",
  "256",
];

/** Starts a container in the background and gives its name. */
export async function start(
  site: Site,
  { name, image, options = [], entrypoint, command = [] }: Started,
): Promise<string> {
  const full = `${site.project}-drill-${name}`;
  const entry = entrypoint === undefined ? [] : ["--entrypoint", entrypoint];
  await docker([
    "run",
    "--detach",
    "--name",
    full,
    "--label",
    label(site),
    ...CONFINED,
    "--memory",
    "768m",
    ...options,
    ...entry,
    image,
    ...command,
  ]);
  return full;
}

/** Runs the backup image's admin command in a container of its own, with the backups to read. */
export function backupCommand(site: Site, args: readonly string[], options: readonly string[] = []): string[] {
  const mounts = ["--tmpfs", "/tmp:size=1m", "-v", `${volume(site, "backups")}:/backups:ro`];
  return [
    "run",
    "--rm",
    "-i",
    "--label",
    label(site),
    ...CONFINED,
    ...mounts,
    ...options,
    "--entrypoint",
    "backup",
    image(site, "backup"),
    ...args,
  ];
}

/** Runs a program of an image, as the image's own user, on a volume. */
export async function inVolume(
  from: string,
  volumeName: string,
  at: string,
  [program = "", ...args]: readonly string[],
  options: readonly string[] = [],
): Promise<string> {
  const mount = ["-v", `${volumeName}:${at}`, ...options];
  return docker(["run", "--rm", ...CONFINED, ...mount, "--entrypoint", program, from, ...args]);
}

/** Gives a file of a set, as it was before it was compressed, to a program in a container. */
export async function loadInto(site: Site, set: string, file: string, program: readonly string[]): Promise<void> {
  const words = (args: readonly string[]) => args.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(" ");
  const from = words(["docker", ...backupCommand(site, ["read", set, file])]);
  await run("bash", ["-c", `set -o pipefail; ${from} </dev/null | ${words(["docker", "exec", "-i", ...program])}`]);
}

export async function makeVolume(site: Site, name: string): Promise<string> {
  return (await docker(["volume", "create", "--label", label(site), `${site.project}-drill-${name}`])).trim();
}

/** Removes all that a drill has made, at once and whatever state it is in. Also run from a signal, hence synchronous. */
export function sweep(site: Site): void {
  const filter = ["--filter", `label=${label(site)}`];
  const list = (args: string[]) =>
    spawnSync("docker", args, { encoding: "utf8" })
      .stdout.split("\n")
      .filter((each) => each !== "");
  const containers = list(["ps", "-aq", ...filter]);
  if (containers.length > 0) spawnSync("docker", ["rm", "--force", "--volumes", ...containers]);
  const volumes = list(["volume", "ls", "-q", ...filter]);
  if (volumes.length > 0) spawnSync("docker", ["volume", "rm", ...volumes]);
}

/** Until the command in the container succeeds; rejects with the container's last words when it ends, or after a while. */
export async function ready(container: string, command: readonly string[], withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  for (;;) {
    const tried = await docker(["exec", container, ...command]).then(
      () => undefined,
      (error: Error) => error,
    );
    if (tried === undefined) return;
    const running = (await docker(["inspect", "--format", "{{.State.Running}}", container])).trim() === "true";
    if (!running || performance.now() > end) {
      const words = (await run("docker", ["logs", "--tail", "12", container])).stderr;
      throw new Error(`${container} ${running ? "is not ready" : "has ended"}:\n${words || tried.message}`);
    }
    await delay(250);
  }
}
