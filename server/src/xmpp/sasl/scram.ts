import { timingSafeEqual } from "node:crypto";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { prepareLocal } from "../precis.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import {
  checkAuthzid,
  decodeText,
  type SaslContext,
  SaslError,
  type SaslExchange,
  type SaslMechanism,
  type SaslStep,
} from "./mechanism.ts";
import { decoyKeys, digest, hmac, type ScramHash, type ScramKeys } from "./scram-keys.ts";

/** RFC 5802, RFC 7677 for SHA-256, and the same with SHA-512. */
export const scramSha1: SaslMechanism = scram("SCRAM-SHA-1", "sha-1");
export const scramSha256: SaslMechanism = scram("SCRAM-SHA-256", "sha-256");
export const scramSha512: SaslMechanism = scram("SCRAM-SHA-512", "sha-512");

function scram(name: string, hash: ScramHash): SaslMechanism {
  return { name, needs: "scram", hash, plaintext: false, start: (context) => new ScramExchange(hash, context) };
}

/** RFC 5802 7, client-first-message. */
interface ClientFirst {
  readonly gs2Header: string;
  readonly authzid: string;
  readonly bare: string;
  readonly username: string;
  readonly nonce: string;
}

/** What the server remembers from its challenge to the client's proof. */
interface Challenged {
  readonly local: string | undefined;
  readonly keys: ScramKeys;
  readonly known: boolean;
  readonly gs2Header: string;
  readonly nonce: string;
  /** RFC 5802 3: AuthMessage up to the client's last message. */
  readonly authMessage: string;
}

class ScramExchange implements SaslExchange {
  readonly #hash: ScramHash;
  readonly #context: SaslContext;
  #challenged: Challenged | undefined;

  constructor(hash: ScramHash, context: SaslContext) {
    this.#hash = hash;
    this.#context = context;
    this.#challenged = undefined;
  }

  step(response: Uint8Array): MaybePromise<SaslStep> {
    const message = decodeText(response);
    return this.#challenged === undefined ? this.#challenge(message) : this.#prove(message, this.#challenged);
  }

  #challenge(message: string): MaybePromise<SaslStep> {
    const { domain, credentials, decoySecret, iterations } = this.#context;
    const first = readClientFirst(message);
    const local = prepareLocal(first.username);
    checkAuthzid(first.authzid, local, domain);
    const stored = local === undefined ? undefined : credentials.scram(local, this.#hash);
    return then(stored, (found) => {
      // Made for every account, so that one that exists does not answer sooner.
      const decoy = decoyKeys(decoySecret, this.#hash, `${local ?? first.username}@${domain}`, iterations);
      const keys = found ?? decoy;
      const nonce = first.nonce + this.#context.nonce();
      const serverFirst = `r=${nonce},s=${encodeBase64(keys.salt)},i=${keys.iterations}`;
      const { gs2Header } = first;
      const authMessage = `${first.bare},${serverFirst}`;
      this.#challenged = { local, keys, known: found !== undefined, gs2Header, nonce, authMessage };
      return { challenge: Buffer.from(serverFirst) };
    });
  }

  #prove(message: string, challenged: Challenged): SaslStep {
    const { local, keys } = challenged;
    const final = readClientFinal(message);
    if (final.binding !== encodeBase64(bindingInput(challenged.gs2Header))) {
      throw new SaslError("not-authorized", "channel binding does not match");
    }
    if (final.nonce !== challenged.nonce) throw new SaslError("not-authorized", "nonce does not match");
    const authMessage = `${challenged.authMessage},${final.withoutProof}`;
    const right = proves(final.proof, keys, authMessage) && challenged.known;
    if (local === undefined) throw new SaslError("not-authorized");
    this.#context.credentials.proved(local, right);
    if (!right) throw new SaslError("not-authorized");
    const signature = hmac(keys.hash, keys.serverKey, authMessage);
    return { success: { local, data: Buffer.from(`v=${encodeBase64(signature)}`) } };
  }
}

/** RFC 5802 3: ClientProof gives a ClientKey whose hash is the StoredKey. */
function proves(proof: Uint8Array, keys: ScramKeys, authMessage: string): boolean {
  const signature = hmac(keys.hash, keys.storedKey, authMessage);
  if (proof.length !== signature.length) throw new SaslError("malformed-request", "proof of the wrong length");
  const clientKey = signature.map((byte, at) => byte ^ (proof[at] ?? 0));
  return timingSafeEqual(digest(keys.hash, clientKey), keys.storedKey);
}

/** RFC 5802 7, cbind-input; a -PLUS mechanism would add the channel's data here. */
function bindingInput(gs2Header: string): Uint8Array {
  return Buffer.from(gs2Header);
}

/** RFC 5802 7: gs2-cbind-flag "," [ authzid ] ",", then client-first-message-bare. */
const CLIENT_FIRST = /^((?:n|y|p=[A-Za-z0-9.-]+),(?:a=([^,]+))?,)(.*)$/s;
/** RFC 5802 7: printable ASCII but the comma. */
const NONCE = /^[!-+\--~]+$/;

function readClientFirst(message: string): ClientFirst {
  const [, gs2Header, authzid = "", bare] = CLIENT_FIRST.exec(message) ?? [];
  if (gs2Header === undefined || bare === undefined) throw new SaslError("malformed-request", "no GS2 header");
  // RFC 5802 6: "y" claims that this server has no -PLUS mechanism, which is so; "p" asks for one.
  if (gs2Header.startsWith("p"))
    throw new SaslError("malformed-request", "channel binding asked of a mechanism without");
  const [username, nonce, ...extensions] = bare.split(",");
  refuseMandatory([username, ...extensions]);
  if (!username?.startsWith("n=") || !nonce?.startsWith("r=") || !NONCE.test(nonce.slice(2))) {
    throw new SaslError("malformed-request", "no username and nonce");
  }
  return {
    gs2Header,
    authzid: readName(authzid),
    bare,
    username: readName(username.slice(2)),
    nonce: nonce.slice(2),
  };
}

function readClientFinal(message: string): {
  readonly binding: string;
  readonly nonce: string;
  readonly proof: Uint8Array;
  readonly withoutProof: string;
} {
  const [binding, nonce, ...extensions] = message.split(",");
  const last = extensions.pop();
  refuseMandatory(extensions);
  const proof = last?.startsWith("p=") ? decodeBase64(last.slice(2)) : undefined;
  if (!binding?.startsWith("c=") || !nonce?.startsWith("r=") || last === undefined || proof === undefined) {
    throw new SaslError("malformed-request", "no channel binding, nonce and proof");
  }
  const withoutProof = message.slice(0, -last.length - 1);
  return { binding: binding.slice(2), nonce: nonce.slice(2), proof, withoutProof };
}

/** RFC 5802 5.1: "m" is an extension that the server must know; it knows none. */
function refuseMandatory(attributes: readonly (string | undefined)[]): void {
  if (attributes.some((attribute) => attribute?.startsWith("m="))) {
    throw new SaslError("malformed-request", "unknown mandatory extension");
  }
}

/** RFC 5802 5.1, saslname: a comma is written =2C and an equals sign =3D. */
function readName(name: string): string {
  if (/=(?!2C|3D)/.test(name)) throw new SaslError("malformed-request", "bad escape in a name");
  return name.replaceAll("=2C", ",").replaceAll("=3D", "=");
}
