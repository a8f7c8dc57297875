import { createHash, createHmac, createSecretKey, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";

/** The hash functions that SCRAM keys can be kept for, the weakest first. */
export const SCRAM_HASHES = ["sha-1", "sha-256", "sha-512"] as const;
export type ScramHash = (typeof SCRAM_HASHES)[number];

/** RFC 5802 3: what a server keeps instead of a password. */
export interface ScramKeys {
  readonly hash: ScramHash;
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** RFC 7677 4 asks for 4096 at least; a login of a client costs it this many hashes. */
export const SCRAM_ITERATIONS = 10_000;
const SALT_BYTES = 16;

const DIGESTS = {
  "sha-1": { name: "sha1", bytes: 20 },
  "sha-256": { name: "sha256", bytes: 32 },
  "sha-512": { name: "sha512", bytes: 64 },
} as const;
const slowHash = promisify(pbkdf2);

/** RFC 5802 3's keys of a password that `prepareScramPassword` has prepared. Runs off the main thread. */
export async function deriveKeys(
  password: string,
  hash: ScramHash,
  iterations: number = SCRAM_ITERATIONS,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): Promise<ScramKeys> {
  const { name, bytes } = DIGESTS[hash];
  const salted = await slowHash(password, salt, iterations, bytes, name);
  const clientKey = hmac(hash, salted, "Client Key");
  return { hash, salt, iterations, storedKey: digest(hash, clientKey), serverKey: hmac(hash, salted, "Server Key") };
}

/**
 * Keys for an account that does not exist: the same each time it is asked for, and telling nothing to one who does not
 * know the secret, so that answers do not give away which accounts exist (RFC 5802 9).
 */
export function decoyKeys(secret: Uint8Array, hash: ScramHash, account: string, iterations: number): ScramKeys {
  const derive = (what: string) => hmac(hash, secret, `${what}\0${hash}\0${account}`);
  const salt = derive("salt").subarray(0, SALT_BYTES);
  return { hash, salt, iterations, storedKey: derive("stored key"), serverKey: derive("server key") };
}

/** RFC 5802 2.2's H(str). */
export function digest(hash: ScramHash, data: Uint8Array): Buffer {
  return createHash(DIGESTS[hash].name).update(data).digest();
}

/** RFC 5802 2.2's HMAC(key, str). */
export function hmac(hash: ScramHash, key: Uint8Array, data: string): Buffer {
  // Given the bytes themselves, Node spends three times as long on finding out what they are.
  return createHmac(DIGESTS[hash].name, createSecretKey(key)).update(data).digest();
}
