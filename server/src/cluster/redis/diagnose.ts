/** Finds out, by asking each node alone, why a Redis Cluster cannot be used. */
import { Redis } from "ioredis";
import { type ConnectionOptions, readEndpoint } from "./connection.ts";

const ASK_WITHIN = 1500;

/** What is wrong, each problem with the nodes that have it, such as `ECONNREFUSED (redis-1:6379)`; empty when nothing is. */
export async function diagnose(options: ConnectionOptions): Promise<string> {
  const problems = new Map<string, string[]>();
  await Promise.all(
    options.nodes.map(async (node) => {
      const problem = await ask(node, options.password);
      if (problem !== undefined) problems.set(problem, [...(problems.get(problem) ?? []), node]);
    }),
  );
  return [...problems].map(([problem, nodes]) => `${problem} (${nodes.join(", ")})`).join("; ");
}

async function ask(node: string, password: string | undefined): Promise<string | undefined> {
  let problem: string | undefined;
  const redis = new Redis({
    ...(readEndpoint(node) as { host: string; port: number }),
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: null,
    connectTimeout: ASK_WITHIN,
    commandTimeout: ASK_WITHIN,
    ...(password === undefined ? {} : { password }),
  });
  redis.on("error", (error: Error) => {
    problem ??= error.message;
  });
  try {
    const info = String(await redis.cluster("INFO"));
    const read = (name: string) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1] ?? "unknown";
    const state = read("cluster_state");
    if (state !== "ok")
      problem = `cluster_state is ${state}, ${read("cluster_slots_assigned")} of 16384 slots assigned`;
    else problem = undefined;
  } catch (error) {
    problem ??= error instanceof Error ? error.message : String(error);
  } finally {
    redis.disconnect();
  }
  return problem;
}
