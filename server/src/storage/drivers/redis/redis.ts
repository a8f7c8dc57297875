import type { StorageDriver } from "../../specs.ts";
import { checkedKind, positive, type ValueBounds } from "../bounds.ts";
import { answers } from "../deadline.ts";
import { check } from "./checks.ts";
import type { ConnectionOptions } from "./client.ts";
import { contents } from "./contents.ts";
import { queueStore } from "./queue.ts";
import { Requests } from "./requests.ts";
import { expiringStore, keyValueStore, mapStore, type Shared } from "./stores.ts";

export interface RedisOptions extends ConnectionOptions, ValueBounds {
  /** What all names in Redis begin with. Default "meerkat:store". */
  readonly prefix?: string | undefined;
  /** Requests without an answer; more are refused. Default 10,000. */
  readonly queue?: number | undefined;
  /** Milliseconds for connecting, and for each request with all that is tried again. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Hears of a Redis that is likely to forget. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** Redis keeps everything in memory. */
const MAX_VALUE_BYTES = 64 * 1024;

/** Keeps what is small and may be lost or made anew: Redis itself loses up to a second of it. Not yet connected. */
export function redisDriver(options: RedisOptions): StorageDriver {
  const { cluster = true, prefix = "meerkat:store", nodes, warn = () => {} } = options;
  if (nodes.length === 0) throw new TypeError("nodes must name one Redis at least");
  if (!cluster && nodes.length > 1)
    throw new TypeError("cluster = false is for a single node; name one, or leave it out");
  if (!/^[A-Za-z0-9:._-]{1,64}$/.test(prefix))
    throw new TypeError(`prefix "${prefix}": 1 to 64 of A-Z a-z 0-9 : . _ -`);
  const requests = new Requests({
    ...options,
    cluster,
    queue: positive("queue", options.queue, 10_000),
    timeout: positive("timeout", options.timeout, 5000),
  });
  const maxValueBytes = positive("max_value_bytes", options.maxValueBytes, MAX_VALUE_BYTES);
  const shared: Shared = { requests, prefix, maxValueBytes };
  return {
    name: "redis",
    keyValue: (table, codec) => keyValueStore(shared, checkedKind(table), codec),
    map: (table, codec) => mapStore(shared, checkedKind(table), codec),
    queue: (table, codec) => queueStore(shared, checkedKind(table), codec),
    expiring: (table, codec) => expiringStore(shared, checkedKind(table), codec),
    contents: contents(shared),
    migrate: () => check(requests, { prefix, cluster, warn }),
    healthy: () => answers(requests.run((redis) => redis.get(`${prefix}:layout`), "again")),
    close: async () => requests.close(),
  };
}
