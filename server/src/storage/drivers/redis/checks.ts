/** What must hold of a Redis before anything is kept there. */
import type { Redis } from "ioredis";
import { LAYOUT } from "./keys.ts";
import type { Requests } from "./requests.ts";

/** The first version with all that the scripts and commands here need. */
const OLDEST = 7;
/** Of the names of keys and of what is behind them. */
const LAYOUT_NUMBER = 1;

export interface CheckOptions {
  readonly prefix: string;
  readonly cluster: boolean;
  readonly warn: (message: string) => void;
}

/** Rejects for a Redis that cannot keep its word; warns of one that is likely to forget. */
export async function check(requests: Requests, { prefix, cluster, warn }: CheckOptions): Promise<void> {
  const warnings = new Set<string>();
  for (const node of await requests.masters()) {
    for (const warning of judge(await facts(requests, node), cluster, requests.where)) warnings.add(warning);
  }
  for (const warning of warnings) warn(warning);
  const key = `${prefix}:${LAYOUT}`;
  await requests.run((redis) => redis.set(key, LAYOUT_NUMBER, "NX"), "again");
  const layout = Number(await requests.run((redis) => redis.get(key), "again"));
  if (layout > LAYOUT_NUMBER) {
    throw new Error(
      `${requests.where} has layout ${layout} under "${prefix}", and this server knows ${LAYOUT_NUMBER}; run the newer server`,
    );
  }
}

async function facts(requests: Requests, node: Redis): Promise<ReadonlyMap<string, string>> {
  const text = await requests.run(() => node.info("server", "cluster", "memory", "persistence"), "again");
  return new Map(text.split(/\r?\n/).map((line) => line.split(/:(.*)/, 2) as [string, string]));
}

/** What to warn of. Throws for what loses data in quiet. */
function judge(facts: ReadonlyMap<string, string>, cluster: boolean, where: string): string[] {
  const version = facts.get("redis_version") ?? "?";
  if (Number.parseInt(version, 10) < OLDEST) {
    throw new Error(`${where} is of version ${version}; ${OLDEST}.0 or later is needed`);
  }
  // Against a cluster, a client of a single server would hear MOVED for most keys.
  if (!cluster && facts.get("cluster_enabled") === "1") {
    throw new Error(`${where} is a node of a Redis Cluster; set cluster = true`);
  }
  const policy = facts.get("maxmemory_policy") ?? "noeviction";
  if (policy.startsWith("allkeys")) {
    throw new Error(
      `${where} throws away what it keeps when it is full (maxmemory-policy ${policy}); set maxmemory-policy noeviction`,
    );
  }
  const warnings: string[] = [];
  if (policy !== "noeviction") {
    warnings.push(
      `${where} throws away what has a time to live when it is full (maxmemory-policy ${policy}); set maxmemory-policy noeviction`,
    );
  }
  if (facts.get("aof_enabled") === "0") {
    warnings.push(`${where} forgets what was written last when it restarts (appendonly no); set appendonly yes`);
  }
  return warnings;
}
