import { z } from "zod";
import { cacheEntries } from "./cache.ts";
import { count, duration, endpoint, flag, secret, size, text } from "./values.ts";

export const redisStorage = z
  .strictObject({
    driver: z.literal("redis"),
    nodes: z.array(endpoint).min(1).describe("Some nodes of the Redis Cluster; the others are learned from them."),
    cluster: flag(true).describe("Whether it is a cluster; false for a single Redis, the one node named."),
    username: text.optional().describe("Who logs in, where Redis knows users by name."),
    password: secret.optional().describe("With what."),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9:._-]{1,64}$/, { error: "must be 1 to 64 letters, digits, and : . _ -" })
      .default("meerkat:store")
      .meta({ allowed: "letters, digits, `:`, `.`, `_`, `-`" })
      .describe("What the names of all that is kept begin with; another for each store in one Redis."),
    queue: count(10_000, 100, 1_000_000).describe(
      "Requests that may wait for an answer; more are refused. There is one connection for each Redis node.",
    ),
    timeout: duration("5s", { min: "100ms", max: "1m" }).describe(
      "For connecting, and for each request with all that is tried again.",
    ),
    cache_entries: cacheEntries,
    value_size: size("64KiB", { min: "1KiB", max: "16MiB" }).describe(
      "The largest single value that is kept; all of them are in Redis' memory.",
    ),
  })
  .describe(
    "A Redis Cluster, or one Redis: fast, and for what may be lost or made anew. It keeps no accounts and no archives.",
  );
