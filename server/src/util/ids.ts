import { randomBytes } from "node:crypto";

/** An unguessable id, URL-safe: 8 bits a byte, so 16 bytes are as good as a random UUID. */
export function randomId(bytes = 16): string {
  return randomBytes(bytes).toString("base64url");
}
