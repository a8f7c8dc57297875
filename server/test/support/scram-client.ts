/** The client's side of SCRAM-SHA-256 (RFC 7677), for tests that log in. */
import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

const hmac = (key: Uint8Array, text: string) => createHmac("sha256", key).update(text).digest();
const encode = (text: string) => Buffer.from(text).toString("base64");
/** Key derivations are what costs, and the tests use few passwords. */
const derived = new Map<string, Buffer>();

export function scramClient(local: string, password: string) {
  const nonce = randomBytes(12).toString("hex");
  const bare = `n=${local},r=${nonce}`;
  let signature = "";
  return {
    first: () => encode(`n,,${bare}`),
    final(challenge: string): string {
      const server = Buffer.from(challenge, "base64").toString();
      const { r = "", s = "", i = "" } = Object.fromEntries(server.split(",").map((part) => [part[0], part.slice(2)]));
      assert.ok(r.startsWith(nonce));
      const key = `${password}\0${s}\0${i}`;
      const salted = derived.get(key) ?? pbkdf2Sync(password, Buffer.from(s, "base64"), Number(i), 32, "sha256");
      derived.set(key, salted);
      const clientKey = hmac(salted, "Client Key");
      const stored = createHash("sha256").update(clientKey).digest();
      const withoutProof = `c=biws,r=${r}`;
      const message = `${bare},${server},${withoutProof}`;
      const mask = hmac(stored, message);
      const proof = clientKey.map((byte, at) => byte ^ (mask[at] ?? 0));
      signature = hmac(hmac(salted, "Server Key"), message).toString("base64");
      return encode(`${withoutProof},p=${Buffer.from(proof).toString("base64")}`);
    },
    check(success: string): void {
      assert.equal(Buffer.from(success, "base64").toString(), `v=${signature}`);
    },
  };
}
