/** Whether a cluster can keep what Meerkat keeps there, and what to do where it cannot. */
import { StorageError } from "../../specs.ts";
import type { RiakClient } from "./client.ts";
import { BY_PLACE } from "./ground.ts";

/** What the bucket type must be like: two that write at once must not overwrite each other unseen. */
const WANTED: readonly (readonly [property: string, isRight: (value: unknown) => boolean, words: string])[] = [
  ["allow_mult", (value) => value === true, "must be true"],
  ["last_write_wins", (value) => value !== true, "must not be true"],
  ["datatype", (value) => value === undefined, "must not be set"],
  ["consistent", (value) => value !== true, "must not be true"],
  ["write_once", (value) => value !== true, "must not be true"],
];

/** Rejects with a StorageError while it cannot be asked, and with another one when the operator has something to do. */
export async function checkCluster(client: RiakClient): Promise<void> {
  const { bucketType: type, where } = client;
  const properties = await client.typeProperties();
  if (properties === undefined) {
    const made = `riak-admin bucket-type create ${type} '{"props":{"allow_mult":true,"notfound_ok":false}}'`;
    const activated = `riak-admin bucket-type activate ${type}`;
    throw new Error(`${where}: there is no active bucket type "${type}"; make it: ${made} && ${activated}`);
  }
  for (const [property, isRight, words] of WANTED) {
    const value = properties[property];
    if (isRight(value)) continue;
    const remedy =
      property === "allow_mult" || property === "last_write_wins"
        ? `set it: riak-admin bucket-type update ${type} '{"props":{"allow_mult":true,"last_write_wins":false}}'`
        : "name another bucket_type, for this one cannot be changed";
    const shown = JSON.stringify(value) ?? "not set";
    throw new Error(`${where}: bucket type "${type}" has ${property} = ${shown}, which ${words}; ${remedy}`);
  }
  await checkIndexes(client);
}

async function checkIndexes(client: RiakClient): Promise<void> {
  try {
    await client.query("meerkat", BY_PLACE, ["a", "b"], 1);
  } catch (error) {
    if (!(error instanceof StorageError) || !error.message.includes("indexes_not_supported")) throw error;
    throw new Error(
      `${client.where}: its backend has no secondary indexes; set storage_backend = leveled in riak.conf of every node, and see docs/storage.md`,
      { cause: error },
    );
  }
}
