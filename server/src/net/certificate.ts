/** What is read from a certificate (RFC 5280 4.1) and Node's library does not tell. */
import { contentOf, type Der, readDer, readOid, TAGS, within } from "./der.ts";

/** By the signature's object identifier; RFC 5929 4.1 has SHA-256 in place of MD5 and SHA-1. */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  // RFC 8017 A.2.4: RSA with MD5, SHA-1, SHA-256, SHA-384, SHA-512, SHA-224.
  "1.2.840.113549.1.1.4": "sha256",
  "1.2.840.113549.1.1.5": "sha256",
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.113549.1.1.14": "sha224",
  // RFC 5758 3.2: ECDSA with SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
  "1.2.840.10045.4.1": "sha256",
  "1.2.840.10045.4.3.1": "sha224",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};
const RSASSA_PSS = "1.2.840.113549.1.1.10";
const SHA_1 = "1.3.14.3.2.26";
/** RFC 4055 2.1. */
const HASHES: Readonly<Record<string, string>> = {
  [SHA_1]: "sha256",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
  "2.16.840.1.101.3.4.2.4": "sha224",
};

/**
 * The hash function that binds a login to a server that shows this certificate (RFC 5929 4.1), by the name node:crypto
 * has for it; undefined where its signature uses none, such as Ed25519, or one that is not known. Throws a DerError.
 */
export function endPointHash(certificate: Uint8Array): string | undefined {
  const [, algorithm] = within(readDer(certificate)[0]);
  const [oid, parameters] = within(algorithm);
  const name = readOid(oid);
  return name === RSASSA_PSS ? pssHash(parameters) : SIGNATURE_HASHES[name];
}

/** RFC 4055 3.1: its hash, and that of its mask, are SHA-1 unless it says otherwise; RFC 5929 wants them to be one. */
function pssHash(parameters: Der | undefined): string | undefined {
  const parts = within(parameters);
  const hash = oidOf(partOf(parts, 0xa0));
  const mask = partOf(parts, 0xa1);
  const maskHash = oidOf(mask && within(mask)[1]);
  return hash === maskHash ? HASHES[hash] : undefined;
}

/** The value with an explicit tag of its own. */
function partOf(parts: readonly Der[], tag: number): Der | undefined {
  const part = parts.find((each) => each.tag === tag);
  return part && readDer(part.content)[0];
}

function oidOf(algorithm: Der | undefined): string {
  return algorithm === undefined ? SHA_1 : readOid(within(algorithm)[0]);
}

const SUBJECT_ALT_NAME = "2.5.29.17";
const ID_ON_XMPP_ADDR = "1.3.6.1.5.5.7.8.5";
/** Context-specific and constructed, as X.509 numbers its optional parts. */
const EXTENSIONS = 0xa3;
const OTHER_NAME = 0xa0;
const OTHER_VALUE = 0xa0;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The XMPP addresses that a certificate is for (RFC 6120 13.7.1.4), as they stand there. Throws a DerError or a TypeError. */
export function xmppAddresses(certificate: Uint8Array): readonly string[] {
  const [body] = within(readDer(certificate)[0]);
  const extensions = within(body).find(({ tag }) => tag === EXTENSIONS);
  if (extensions === undefined) return [];
  const [list] = readDer(extensions.content);
  for (const extension of within(list)) {
    const parts = within(extension);
    if (readOid(parts[0]) !== SUBJECT_ALT_NAME) continue;
    // Behind whether it is critical, which may be left out.
    const [names] = readDer(contentOf(parts.at(-1), TAGS.octets));
    return within(names).flatMap(addressOf);
  }
  return [];
}

/** RFC 5280 4.2.1.6, otherName. */
function addressOf({ tag, content }: Der): readonly string[] {
  if (tag !== OTHER_NAME) return [];
  const [type, value] = readDer(content);
  if (readOid(type) !== ID_ON_XMPP_ADDR) return [];
  const [address] = readDer(contentOf(value, OTHER_VALUE));
  return [strictUtf8.decode(contentOf(address, TAGS.utf8))];
}
