/** The running datacenter from the operator's side: accounts, containers, networks. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { after } from "node:test";
import { type Account, ROOT } from "./topology.ts";

/** Runs a program and gives its standard output; rejects with its standard error when it fails. */
export function run(command: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${command} ${args.join(" ")} ended with ${code}:\n${err}${out}`));
    });
    // A program that does not read its input is no failure of ours.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** Calls Docker Compose as the scripts do. */
export function compose(args: readonly string[], input = ""): Promise<string> {
  return run("bash", ["-c", '. scripts/lib.sh && load_env && dc "$@"', "compose", ...args], input);
}

/** The admin command; a datacenter elsewhere may be told by the variable MEERKATCTL, the command that runs it there. */
function meerkatctl(args: readonly string[], input = ""): Promise<string> {
  const elsewhere = process.env.MEERKATCTL;
  if (elsewhere) return run("sh", ["-c", `${elsewhere} ${args.join(" ")}`], input);
  return compose(["exec", "-T", "meerkat", "meerkatctl", ...args], input);
}

/** Makes accounts that no other story has, in one go, for as long as the file's stories run; the local parts begin with the names given. */
export async function freshAccounts(domain: string, ...names: string[]): Promise<Account[]> {
  const suffix = randomBytes(4).toString("hex");
  const accounts = names.map((name) => ({
    local: `${name}-${suffix}`,
    domain,
    password: randomBytes(12).toString("hex"),
  }));
  const jids = accounts.map(({ local }) => `${local}@${domain}`);
  await meerkatctl(["account", "import"], accounts.map(({ password }, i) => `${jids[i]} ${password}\n`).join(""));
  after(async () => {
    await meerkatctl(["account", "remove", ...jids]);
  });
  return accounts;
}

export interface NodeContainer {
  readonly id: string;
  readonly running: boolean;
  /** What the node calls itself, such as "meerkat-2". */
  readonly node: string;
}

/** The containers of the Meerkat nodes, stopped ones with them. */
export async function nodeContainers(): Promise<NodeContainer[]> {
  const ids = (await compose(["ps", "--all", "--quiet", "--no-trunc", "meerkat"]))
    .split("\n")
    .filter((id) => id !== "");
  if (ids.length === 0) return [];
  const states = await run("docker", ["inspect", "--format", "{{.Id}} {{.State.Running}} {{.Name}}", ...ids]);
  return states
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", running = "", name = ""] = line.split(" ");
      // A node is called after its container, without the project's name.
      return { id, running: running === "true", node: /meerkat-\d+$/.exec(name)?.[0] ?? "" };
    });
}

/** The full name of one of the project's networks. */
export function network(name: string): string {
  return `${process.env.COMPOSE_PROJECT_NAME || "meerkat"}_${name}`;
}
