import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";

/** The system is asked for so much at a time: each question costs as much as fifty ids. */
const pool = Buffer.allocUnsafeSlow(4096);
let used = pool.length;

/** An unguessable id, URL-safe: 8 bits a byte, so 16 bytes are as good as a random UUID. At most 4096 bytes. */
export function randomId(bytes = 16): string {
  if (bytes > pool.length) throw new RangeError(`an id of ${bytes} bytes, more than ${pool.length}`);
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const from = used;
  used += bytes;
  const id = pool.toString("base64url", from, used);
  // Nobody finds in memory what was given out.
  pool.fill(0, from, used);
  return id;
}
