/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as a mechanism for `@xmpp/client`. Its own SCRAM-SHA-1 asks WebCrypto for every
 * single iteration, half a second of processor time a login; a prober that logs in all day needs PBKDF2 in one call.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

/** No channel binding and no authzid: "n,,". */
const GS2_HEADER = "n,,";

export class ScramSha256 {
  static readonly mechanism = "SCRAM-SHA-256";
  readonly name = ScramSha256.mechanism;
  readonly clientFirst = true;
  readonly #nonce: string;
  #challenge: string | undefined;
  #firstBare = "";

  constructor(nonce = randomBytes(18).toString("base64")) {
    this.#nonce = nonce;
  }

  challenge(text: string): void {
    this.#challenge = text;
  }

  response({ username, password }: { username: string; password: string }): string {
    if (this.#challenge === undefined) {
      this.#firstBare = `n=${username.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${this.#nonce}`;
      return GS2_HEADER + this.#firstBare;
    }
    const { r: nonce = "", s: salt = "", i: iterations = "" } = attributes(this.#challenge);
    // RFC 5802 5.1: the server's nonce begins with ours, or somebody replays.
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce)
      throw new Error("SCRAM: the server's nonce is not ours");
    const count = Number(iterations);
    if (!(count >= 4096 && count <= 1_000_000)) throw new Error(`SCRAM: ${iterations} iterations`);
    const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), count, 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString("base64")},r=${nonce}`;
    const signature = hmac(
      createHash("sha256").update(clientKey).digest(),
      `${this.#firstBare},${this.#challenge},${withoutProof}`,
    );
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] as number));
    return `${withoutProof},p=${Buffer.from(proof).toString("base64")}`;
  }
}

function attributes(text: string): Record<string, string> {
  return Object.fromEntries(text.split(",").map((part) => [part[0], part.slice(2)]));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
