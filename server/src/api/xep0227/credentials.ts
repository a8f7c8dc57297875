/** XEP-0227 2.3: what a server keeps instead of a password (RFC 5802), as a file tells it. */
import { type Element, element } from "../../xml/element.ts";
import { SCRAM_HASHES, type ScramHash, type ScramKeys } from "../../xmpp/sasl/scram-keys.ts";
import { PIE } from "./names.ts";

/** What is said of one account, or one thing of it, that cannot be taken as it is; never a secret. */
export class PieError extends Error {
  override readonly name = "PieError";
}

const KEY_BYTES: Readonly<Record<ScramHash, number>> = { "sha-1": 20, "sha-256": 32, "sha-512": 64 };
const MAX_ITERATIONS = 10_000_000;
const MAX_SALT_BYTES = 1024;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** The keys of one element; undefined for a mechanism that is not known here. Throws a PieError for bad ones. */
export function readCredentials(credentials: Element): ScramKeys | undefined {
  const mechanism = credentials.attrs.mechanism ?? "";
  const hash = SCRAM_HASHES.find((each) => mechanism.toUpperCase() === `SCRAM-${each.toUpperCase()}`);
  if (hash === undefined) return undefined;
  const text = (name: string) => credentials.childText(name).trim();
  const iterations = /^[1-9]\d*$/.test(text("iter-count")) ? Number(text("iter-count")) : 0;
  if (iterations < 1 || iterations > MAX_ITERATIONS) throw new PieError(`${mechanism}: the iter-count is no count`);
  let [salt, serverKey, storedKey] = ["salt", "server-key", "stored-key"].map((name) =>
    decoded(mechanism, name, text(name)),
  ) as [Buffer, Buffer, Buffer];
  const bytes = KEY_BYTES[hash];
  if (storedKey.length !== bytes) {
    // COMPAT(ejabberd, 24.12): what it has as base64 it encodes once more.
    [salt, serverKey, storedKey] = [salt, serverKey, storedKey].map(unwrapped) as [Buffer, Buffer, Buffer];
  }
  if (storedKey.length !== bytes || serverKey.length !== bytes)
    throw new PieError(`${mechanism}: a key has not ${bytes} bytes`);
  if (salt.length === 0 || salt.length > MAX_SALT_BYTES)
    throw new PieError(`${mechanism}: the salt has ${salt.length} bytes`);
  return {
    hash,
    iterations,
    salt: new Uint8Array(salt),
    serverKey: new Uint8Array(serverKey),
    storedKey: new Uint8Array(storedKey),
  };
}

/** `twice` for ejabberd, which takes base64 within base64 alone. */
export function credentialsElement(
  { hash, iterations, salt, serverKey, storedKey }: ScramKeys,
  twice = false,
): Element {
  const base64 = (bytes: Uint8Array) => {
    const once = Buffer.from(bytes).toString("base64");
    return twice ? Buffer.from(once).toString("base64") : once;
  };
  const child = (name: string, text: string) => element(name, PIE.scram, {}, text);
  return element(
    "scram-credentials",
    PIE.scram,
    { mechanism: `SCRAM-${hash.toUpperCase()}` },
    child("iter-count", String(iterations)),
    child("salt", base64(salt)),
    child("server-key", base64(serverKey)),
    child("stored-key", base64(storedKey)),
  );
}

function decoded(mechanism: string, name: string, text: string): Buffer {
  const compact = text.replace(/\s+/g, "");
  if (!BASE64.test(compact)) throw new PieError(`${mechanism}: the ${name} is not base64`);
  return Buffer.from(compact, "base64");
}

function unwrapped(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1");
  return BASE64.test(text) ? Buffer.from(text, "base64") : bytes;
}
