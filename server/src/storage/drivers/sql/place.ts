import { createHash } from "node:crypto";

/** Longest key, in bytes, that is its own place in the index. */
const MAX_INDEXED_KEY_BYTES = 255;

export interface Place {
  readonly key: string;
  readonly long_key: string | null;
}

/**
 * Where a key stands in the index. PostgreSQL indexes 2704 bytes at most, while two long addresses (RFC 7622 3.1
 * allows 3071 bytes each) need more: a long key is found by its digest, behind a character no XML text can hold.
 */
export function placed(key: string): Place {
  // A character takes three bytes at most, and those that take four are two to JavaScript.
  if (key.length <= MAX_INDEXED_KEY_BYTES / 3 || Buffer.byteLength(key) <= MAX_INDEXED_KEY_BYTES)
    return { key, long_key: null };
  return { key: `\u0001${createHash("sha256").update(key).digest("base64")}`, long_key: key };
}
