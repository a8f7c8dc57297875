/** The client's side of SCRAM (RFC 5802, RFC 7677), bound to a channel or not, for tests that log in. */
import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";

const encode = (text: string) => Buffer.from(text).toString("base64");
/** Key derivations are what costs, and the tests use few passwords. */
const derived = new Map<string, Buffer>();

export interface Binding {
  readonly type: string;
  readonly data: Uint8Array;
}

export interface ScramOptions {
  /** Default SHA-256. */
  readonly hash?: "sha-1" | "sha-256" | "sha-512";
  /** Without one the client claims to know nothing of channel binding, unless `flag` says otherwise. */
  readonly binding?: Binding | undefined;
  readonly flag?: "n" | "y";
}

export function scramClient(
  local: string,
  password: string,
  { hash = "sha-256", binding, flag = "n" }: ScramOptions = {},
) {
  const digest = hash.replace("-", "");
  const hmac = (key: Uint8Array, text: string) => createHmac(digest, key).update(text).digest();
  const nonce = randomBytes(12).toString("hex");
  const bare = `n=${local},r=${nonce}`;
  const gs2 = binding === undefined ? `${flag},,` : `p=${binding.type},,`;
  const bound = Buffer.concat([Buffer.from(gs2), binding?.data ?? new Uint8Array()]).toString("base64");
  let signature = "";
  return {
    mechanism: `SCRAM-${hash.toUpperCase()}${binding === undefined ? "" : "-PLUS"}`,
    first: () => encode(`${gs2}${bare}`),
    final(challenge: string): string {
      const server = Buffer.from(challenge, "base64").toString();
      const { r = "", s = "", i = "" } = attributesOf(challenge);
      assert.ok(r.startsWith(nonce));
      const key = `${password}\0${s}\0${i}\0${digest}`;
      const size = createHash(digest).digest().length;
      const salted = derived.get(key) ?? pbkdf2Sync(password, Buffer.from(s, "base64"), Number(i), size, digest);
      derived.set(key, salted);
      const clientKey = hmac(salted, "Client Key");
      const stored = createHash(digest).update(clientKey).digest();
      const withoutProof = `c=${bound},r=${r}`;
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

/** The attributes of a server's first message, by their letters. */
export function attributesOf(challenge: string): Readonly<Record<string, string>> {
  const parts = Buffer.from(challenge, "base64").toString().split(",");
  return Object.fromEntries(parts.map((part) => [part[0], part.slice(2)]));
}

/** XEP-0474 2.2: what the client makes of the features that it heard, to compare with "h" of the server's first message. */
export function offerHashOf(
  mechanisms: readonly string[],
  bindings: readonly string[],
  hash: "sha1" | "sha256" | "sha512",
) {
  const lists = bindings.length === 0 ? [mechanisms] : [mechanisms, bindings];
  const text = lists.map((names) => [...names].sort().join("\x1e")).join("\x1f");
  return createHash(hash).update(text).digest("base64");
}

/** RFC 9266: what both ends of this connection know, and nobody in between. */
export function exporterOf(socket: TLSSocket): Binding {
  const data = socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  return { type: "tls-exporter", data };
}

/** RFC 5929 4.1, for a certificate signed with SHA-256. */
export function endPointOf(socket: TLSSocket): Binding {
  const data = createHash("sha256").update(socket.getPeerCertificate().raw).digest();
  return { type: "tls-server-end-point", data };
}
