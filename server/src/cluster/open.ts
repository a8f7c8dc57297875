/** The kinds of cluster there are; the Redis client is loaded only where it is used. */
import type { Cluster } from "./cluster.ts";
import { LocalCluster, type LocalClusterOptions } from "./local/local-cluster.ts";
import type { RedisClusterOptions } from "./redis/redis-cluster.ts";

export type ClusterOptions = LocalClusterOptions | RedisClusterOptions;

/** Makes a cluster of the given kind, not yet started; throws a TypeError for options that cannot work. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  if (options.kind === "local") return new LocalCluster(options);
  const { RedisCluster } = await import("./redis/redis-cluster.ts");
  return new RedisCluster(options);
}
