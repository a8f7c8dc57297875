/** Certificates for tests, down to their last byte: an authority, and whatever it is asked to sign. */
import { createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";

/** X.690 8.1, with the shortest length. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const digits: number[] = [];
  for (let left = content.length; left > 0; left = Math.floor(left / 256)) digits.unshift(left % 256);
  const length = content.length < 0x80 ? [content.length] : [0x80 | digits.length, ...digits];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const utf8 = (text: string) => der(0x0c, Buffer.from(text));

export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...more] = text.split(".").map(Number);
  const bytes = [first * 40 + second, ...more].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) digits.unshift(0x80 | (left & 0x7f));
    return digits;
  });
  return der(0x06, Buffer.from(bytes));
}

/** RFC 5280 4.2.1.6, otherName with an id-on-xmppAddr. */
export const xmppAddr = (address: string) => der(0xa0, oid("1.3.6.1.5.5.7.8.5"), der(0xa0, utf8(address)));
export const dnsName = (name: string) => der(0x82, Buffer.from(name));

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface CertificateRequest {
  readonly name?: string;
  readonly altNames?: readonly Uint8Array[];
  readonly isAuthority?: boolean;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** The public key of whom it is for; else one is made. */
  readonly keys?: Keys;
}

export interface Signed {
  readonly der: Buffer;
  /** PEM, both. */
  readonly cert: string;
  readonly key: string;
}

const DAY = 86_400_000;
export const SIGNATURES = {
  "ecdsa-sha256": { oid: "1.2.840.10045.4.3.2", hash: "sha256" },
  "ecdsa-sha384": { oid: "1.2.840.10045.4.3.3", hash: "sha384" },
  "ecdsa-sha512": { oid: "1.2.840.10045.4.3.4", hash: "sha512" },
  "ecdsa-sha1": { oid: "1.2.840.10045.4.1", hash: "sha1" },
  ed25519: { oid: "1.3.101.112", hash: undefined },
} as const;
export type SignatureName = keyof typeof SIGNATURES;

export class Authority {
  readonly #keys: Keys;
  readonly #name: string;
  readonly #signature: SignatureName;
  readonly cert: string;

  constructor(name = "authority", signature: SignatureName = "ecdsa-sha256", above?: Authority, notAfter?: Date) {
    this.#name = name;
    this.#signature = signature;
    this.#keys = signature === "ed25519" ? generateKeyPairSync("ed25519") : newKeys();
    this.cert = (above ?? this).sign({ name, isAuthority: true, keys: this.#keys, ...(notAfter && { notAfter }) }).cert;
  }

  /** One that this one vouches for. */
  below(name: string, notAfter?: Date): Authority {
    return new Authority(name, this.#signature, this, notAfter);
  }

  sign({
    name = "somebody",
    altNames = [],
    isAuthority = false,
    keys = newKeys(),
    ...dates
  }: CertificateRequest): Signed {
    const { oid: algorithm, hash } = SIGNATURES[this.#signature];
    const spki = keys.publicKey.export({ type: "spki", format: "der" });
    const extension = (id: string, value: Uint8Array) => sequence(oid(id), der(0x04, value));
    const extensions = [
      extension("2.5.29.19", isAuthority ? sequence(der(0x01, Buffer.from([0xff]))) : sequence()),
      ...(altNames.length === 0 ? [] : [extension("2.5.29.17", sequence(...altNames))]),
    ];
    const serial = createHash("sha256").update(spki).digest().subarray(0, 8);
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      der(0x02, Buffer.concat([Buffer.from([1]), serial])),
      sequence(oid(algorithm)),
      distinguished(this.#name),
      sequence(
        utcTime(dates.notBefore ?? new Date(Date.now() - DAY)),
        utcTime(dates.notAfter ?? new Date(Date.now() + DAY)),
      ),
      distinguished(name),
      spki,
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign(hash, body, this.#keys.privateKey);
    const whole = sequence(body, sequence(oid(algorithm)), der(0x03, Buffer.from([0]), signature));
    return {
      der: whole,
      cert: new X509Certificate(whole).toString(),
      key: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  }
}

function newKeys(): Keys {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { publicKey, privateKey };
}

function distinguished(name: string): Buffer {
  return sequence(der(0x31, sequence(oid("2.5.4.3"), utf8(name))));
}

function utcTime(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x17, Buffer.from(digits.slice(2)));
}
