import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import type { ScramHash } from "../../../src/xmpp/sasl/scram-keys.ts";

/** The client's side of SCRAM, written from RFC 5802 apart from the server's; the password goes in as it is. */
export class ScramClient {
  readonly first: string;
  readonly #hash: string;
  readonly #password: string;
  readonly #gs2: string;
  readonly #channelData: Uint8Array;
  readonly #bare: string;
  #expected = "";

  constructor(
    hash: ScramHash,
    username: string,
    password: string,
    {
      nonce = "fyko+d2lbbFgONRv9qkxdawL",
      gs2 = "n,,",
      channelData = new Uint8Array(),
    }: { readonly nonce?: string; readonly gs2?: string; readonly channelData?: Uint8Array } = {},
  ) {
    this.#hash = hash.replace("-", "");
    this.#password = password;
    this.#gs2 = gs2;
    this.#channelData = channelData;
    this.#bare = `n=${username.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${nonce}`;
    this.first = gs2 + this.#bare;
  }

  /** client-final-message for a server-first-message; `binding` and `nonce` replace what an honest client sends. */
  final(serverFirst: string, lies: { readonly binding?: string; readonly nonce?: string } = {}): string {
    const [, nonce = "", salt = "", iterations = ""] = /^r=([^,]*),s=([^,]*),i=(\d+)(?:,|$)/.exec(serverFirst) ?? [];
    const binding = lies.binding ?? Buffer.concat([Buffer.from(this.#gs2), this.#channelData]).toString("base64");
    const withoutProof = `c=${binding},r=${lies.nonce ?? nonce}`;
    const message = `${this.#bare},${serverFirst},${withoutProof}`;
    const size = { sha1: 20, sha256: 32 }[this.#hash] ?? 64;
    const salted = pbkdf2Sync(this.#password, Buffer.from(salt, "base64"), Number(iterations), size, this.#hash);
    const clientKey = this.#hmac(salted, "Client Key");
    const signature = this.#hmac(createHash(this.#hash).update(clientKey).digest(), message);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
    this.#expected = `v=${this.#hmac(this.#hmac(salted, "Server Key"), message).toString("base64")}`;
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  trusts(serverFinal: string): boolean {
    return serverFinal === this.#expected;
  }

  #hmac(key: Uint8Array, data: string): Buffer {
    return createHmac(this.#hash, key).update(data).digest();
  }
}
