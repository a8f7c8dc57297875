import { z } from "zod";
import { cacheEntries } from "./cache.ts";
import { count, duration, endpoint, flag, secret, size, text } from "./values.ts";

/** A store in Riak KV. */
export const riakStorage = z
  .strictObject({
    driver: z.literal("riak"),
    nodes: z
      .array(endpoint)
      .min(1)
      .max(100)
      .describe("The nodes' HTTP interfaces, or their HTTPS ones with `tls`; requests are shared among them."),
    tls: flag(false).describe("Whether to encrypt; Riak's security asks for it."),
    ca: text
      .optional()
      .describe("The file of the authority that signed the nodes' certificates; else the system's are asked."),
    username: text.optional().describe("Who logs in, where Riak's security is on; needs `tls`."),
    password: secret.optional().describe("With what."),
    bucket_type: text
      .default("meerkat")
      .describe("The bucket type that holds everything; [storage.md](storage.md#riak-kv) tells how to make it."),
    connections: count(16, 1, 500).describe("Connections of this process to each of the nodes."),
    queue: count(5000, 1, 100_000).describe("Requests that may wait for a connection; more are refused."),
    timeout: duration("5s", { min: "100ms", max: "1m" }).describe(
      "For each request, waiting for a connection and trying another node included.",
    ),
    cache_entries: cacheEntries,
    value_size: size("512KiB", { min: "1KiB", max: "4MiB" }).describe(
      "The largest single value that is kept, such as a roster item.",
    ),
    object_size: size("4MiB", { min: "64KiB", max: "10MiB" }).describe(
      "The largest object: all items of one owner in one table, such as a roster, are one.",
    ),
  })
  .describe("Riak KV of version 3 or later, shared by all nodes. It keeps nothing that expires.");
