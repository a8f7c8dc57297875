import { execFileSync } from "node:child_process";

/** A container that runs. */
export interface Docked {
  readonly id: string;
  readonly name: string;
}

/** Runs docker and returns what it printed; throws with what it complained of. */
export function docker(args: readonly string[], input?: string, timeoutMs = 300_000): string {
  try {
    return execFileSync("docker", args, {
      encoding: "utf8",
      input: input ?? "",
      timeout: timeoutMs,
      maxBuffer: 1 << 26,
      stdio: ["pipe", "pipe", "pipe"],
    });
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string };
    throw new Error([stderr, stdout].join(" ").trim() || String(error));
  }
}

/** Runs a command in a container. */
export function inside(container: Docked, command: readonly string[], input = ""): string {
  return docker(["exec", "-i", container.id, ...command], input);
}
