import { timingSafeEqual } from "node:crypto";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { prepareLocal } from "../precis.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import {
  checkAuthzid,
  decodeText,
  type Offered,
  type SaslContext,
  SaslError,
  type SaslExchange,
  type SaslMechanism,
  type SaslStep,
} from "./mechanism.ts";
import { decoyKeys, digest, hmac, type ScramHash, type ScramKeys } from "./scram-keys.ts";

/** The types that this server can bind a login to: RFC 9266, RFC 5929 4. */
export const CHANNEL_BINDINGS: readonly string[] = ["tls-exporter", "tls-server-end-point"];

/** RFC 5802, RFC 7677 for SHA-256, and the same for SHA-512; strongest first, and bound to the channel before anything else. */
export const SCRAM_MECHANISMS: readonly SaslMechanism[] = [
  scram("SCRAM-SHA-512-PLUS", "sha-512", CHANNEL_BINDINGS),
  scram("SCRAM-SHA-256-PLUS", "sha-256", CHANNEL_BINDINGS),
  scram("SCRAM-SHA-1-PLUS", "sha-1", CHANNEL_BINDINGS),
  scram("SCRAM-SHA-512", "sha-512"),
  scram("SCRAM-SHA-256", "sha-256"),
  scram("SCRAM-SHA-1", "sha-1"),
];

function scram(name: string, hash: ScramHash, binds?: readonly string[]): SaslMechanism {
  return {
    name,
    needs: "scram",
    hash,
    ...(binds === undefined ? {} : { binds }),
    plaintext: false,
    start: (context) => new ScramExchange(hash, binds !== undefined, context),
  };
}

/** RFC 5802 7, client-first-message. */
interface ClientFirst {
  readonly gs2Header: string;
  /** "n", "y", or "p" with the type in `binding`. */
  readonly flag: string;
  readonly binding: string;
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
  /** RFC 5802 7, cbind-input, in base64. */
  readonly binding: string;
  readonly nonce: string;
  /** RFC 5802 3: AuthMessage up to the client's last message. */
  readonly authMessage: string;
}

class ScramExchange implements SaslExchange {
  readonly #hash: ScramHash;
  readonly #isPlus: boolean;
  readonly #context: SaslContext;
  #challenged: Challenged | undefined;

  constructor(hash: ScramHash, isPlus: boolean, context: SaslContext) {
    this.#hash = hash;
    this.#isPlus = isPlus;
    this.#context = context;
    this.#challenged = undefined;
  }

  step(response: Uint8Array): MaybePromise<SaslStep> {
    const message = decodeText(response);
    return this.#challenged === undefined ? this.#challenge(message) : this.#prove(message, this.#challenged);
  }

  #challenge(message: string): MaybePromise<SaslStep> {
    const { domain, credentials, decoySecret, iterations, offered } = this.#context;
    const first = readClientFirst(message);
    const binding = encodeBase64(Buffer.concat([Buffer.from(first.gs2Header), this.#channelData(first)]));
    const local = prepareLocal(first.username);
    checkAuthzid(first.authzid, local, domain);
    const stored = local === undefined ? undefined : credentials.scram(local, this.#hash);
    return then(stored, (found) => {
      // Made for every account, so that one that exists does not answer sooner.
      const decoy = decoyKeys(decoySecret, this.#hash, `${local ?? first.username}@${domain}`, iterations);
      const keys = found ?? decoy;
      const nonce = first.nonce + this.#context.nonce();
      const protection = offered.mechanisms.length === 0 ? "" : `,h=${offerHash(offered, this.#hash)}`;
      const serverFirst = `r=${nonce},s=${encodeBase64(keys.salt)},i=${keys.iterations}${protection}`;
      const authMessage = `${first.bare},${serverFirst}`;
      this.#challenged = { local, keys, known: found !== undefined, binding, nonce, authMessage };
      return { challenge: Buffer.from(serverFirst) };
    });
  }

  /** RFC 5802 6: what the login is bound to. Refuses a flag that does not go with the mechanism, or with what was offered. */
  #channelData({ flag, binding }: ClientFirst): Uint8Array {
    const { channel, offered } = this.#context;
    if (this.#isPlus !== (flag === "p")) {
      throw new SaslError("malformed-request", "the channel binding flag is not that of the mechanism");
    }
    if (flag === "y" && offered.bindings.length > 0) {
      throw new SaslError("not-authorized", "channel binding was offered, but somebody hid it from the client");
    }
    if (flag !== "p") return new Uint8Array();
    const data = channel.types.includes(binding) ? channel.data(binding) : undefined;
    if (data === undefined) throw new SaslError("not-authorized", "channel binding of a type that was not offered");
    return data;
  }

  #prove(message: string, challenged: Challenged): SaslStep {
    const { local, keys } = challenged;
    const final = readClientFinal(message);
    if (final.binding !== challenged.binding) {
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

/** XEP-0474 2.1: a hash over what the stream was offered, in base64, for the client to compare with what it heard. */
export function offerHash({ mechanisms, bindings }: Offered, hash: ScramHash): string {
  // The names are ASCII, which JavaScript sorts as "i;octet" does.
  const lists = [mechanisms, ...(bindings.length === 0 ? [] : [bindings])];
  const text = lists.map((names) => names.toSorted().join("\x1e")).join("\x1f");
  return encodeBase64(digest(hash, Buffer.from(text)));
}

/** RFC 5802 7: gs2-cbind-flag "," [ authzid ] ",", then client-first-message-bare. */
const CLIENT_FIRST = /^((?:([ny])|(p)=([A-Za-z0-9.-]+)),(?:a=([^,]+))?,)(.*)$/s;
/** RFC 5802 7: printable ASCII but the comma. */
const NONCE = /^[!-+\--~]+$/;

function readClientFirst(message: string): ClientFirst {
  const [, gs2Header, unbound, bound, binding = "", authzid = "", bare] = CLIENT_FIRST.exec(message) ?? [];
  if (gs2Header === undefined || bare === undefined) throw new SaslError("malformed-request", "no GS2 header");
  const [username, nonce, ...extensions] = bare.split(",");
  refuseMandatory([username, ...extensions]);
  if (!username?.startsWith("n=") || !nonce?.startsWith("r=") || !NONCE.test(nonce.slice(2))) {
    throw new SaslError("malformed-request", "no username and nonce");
  }
  return {
    gs2Header,
    flag: unbound ?? bound ?? "",
    binding,
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
