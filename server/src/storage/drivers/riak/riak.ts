import type { StorageDriver } from "../../specs.ts";
import { checkedKind, positive, type ValueBounds } from "../bounds.ts";
import { answers } from "../deadline.ts";
import { accountStore } from "./accounts.ts";
import { archiveStore } from "./archive.ts";
import { RiakClient } from "./client.ts";
import { riakContents } from "./contents.ts";
import type { Ground } from "./ground.ts";
import { keyValueStore } from "./key-value.ts";
import { mapStore } from "./map.ts";
import { Pushes } from "./pushes.ts";
import { queueStore } from "./queue.ts";
import { checkCluster } from "./setup.ts";
import { Turns } from "./turns.ts";

export interface RiakOptions extends ValueBounds {
  /** "host:port" of the nodes' HTTP interfaces, or of their HTTPS ones with `tls`. */
  readonly nodes: readonly string[];
  /** Encrypts, and checks that `ca` (PEM), or else an authority of the system's, vouches for each host. Default: no TLS. */
  readonly tls?: { readonly ca?: string | undefined } | undefined;
  /** For Riak's security; both or neither, and with TLS alone. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Default "meerkat". */
  readonly bucketType?: string | undefined;
  /** Connections of this process to each node. Default 16. */
  readonly connections?: number | undefined;
  /** Requests that may wait for a connection; more are refused at once. Default 5000. */
  readonly queue?: number | undefined;
  /** Milliseconds for each request, waiting for a connection and trying other nodes included. Default 5000. */
  readonly timeout?: number | undefined;
  /** Bytes of one object, such as all items of an owner together. Default 4 MiB. */
  readonly objectBytes?: number | undefined;
}

/** Riak's advice is to stay far below a mebibyte; the other drivers' bound is higher. */
export const RIAK_VALUE_BYTES = 512 * 1024;
const OBJECT_BYTES = 4 * 1024 * 1024;
/** An answer has all siblings of an object, of which there are rarely more than a few. */
const SIBLINGS = 16;

/** Riak KV of version 3 or later, over HTTP. Opening connects to nothing; lost nodes are found again by themselves. */
export function riakDriver(options: RiakOptions): StorageDriver {
  const objectBytes = positive("object_size", options.objectBytes, OBJECT_BYTES);
  const valueBytes = positive("value_size", options.maxValueBytes, RIAK_VALUE_BYTES);
  if (valueBytes > objectBytes) {
    throw new TypeError(`value_size = ${valueBytes}: a value must fit an object, object_size = ${objectBytes}`);
  }
  const queue = positive("queue", options.queue, 5000);
  const timeout = positive("timeout", options.timeout, 5000);
  const client = new RiakClient({
    origins: origins(options),
    ca: options.tls?.ca,
    authorization: authorization(options),
    connections: positive("connections", options.connections, 16),
    answerBytes: objectBytes * SIBLINGS,
    queue,
    timeout,
    bucketType: checkedType(options.bucketType ?? "meerkat"),
    objectBytes,
  });
  const ground: Ground = { client, turns: new Turns(queue, timeout), pushes: new Pushes(queue), valueBytes };
  const contents = riakContents(ground);
  let closed: Promise<void> | undefined;
  return {
    name: "riak",
    contents,
    accounts: () => accountStore(ground),
    keyValue: (table, codec) => keyValueStore(ground, checkedKind(table), codec),
    map: (table, codec) => mapStore(ground, checkedKind(table), codec),
    archive: (table, codec) => archiveStore(ground, checkedKind(table), codec),
    queue: (table, codec) => queueStore(ground, checkedKind(table), codec),
    migrate: () => checkCluster(client),
    healthy: () => answers(client.ping()),
    close() {
      closed ??= client.close();
      return closed;
    },
  };
}

function origins({ nodes, tls }: RiakOptions): readonly string[] {
  if (nodes.length === 0) throw new TypeError("nodes must name one at least");
  const scheme = tls === undefined ? "http" : "https";
  return nodes.map((node) => {
    const url = URL.canParse(`${scheme}://${node}`) ? new URL(`${scheme}://${node}`) : undefined;
    if (url === undefined || url.pathname !== "/" || url.username !== "" || url.search !== "" || !/:\d+$/.test(node)) {
      throw new TypeError(`nodes: "${node}" is no host:port`);
    }
    return url.origin;
  });
}

function authorization({ username, password, tls }: RiakOptions): string | undefined {
  if ((username === undefined) !== (password === undefined)) throw new TypeError("username and password go together");
  if (username === undefined) return undefined;
  if (tls === undefined)
    throw new TypeError("a password needs tls = true: Riak takes none without, and it would be seen");
  // RFC 7617 2: a colon ends the name.
  if (username.includes(":")) throw new TypeError(`username = "${username}": must have no colon`);
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function checkedType(type: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(type)) throw new TypeError(`bucket_type = "${type}" is no name`);
  if (type === "default") throw new TypeError('bucket_type = "default": must be a type of its own');
  return type;
}
