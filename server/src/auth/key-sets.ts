/** The keys that tokens are signed with: where they come from, and how they stay fresh. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWTHeaderParameters } from "jose";
import { z } from "zod";
import { why } from "../config/fill.ts";
import { HttpService, HttpServiceError } from "../net/http-service.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { TOKEN_ALGORITHMS, type TokenAlgorithm } from "../xmpp/sasl/token-algorithms.ts";

export type VerificationKey = CryptoKey | KeyObject | Uint8Array;

/** Of a token, as much as its key is found by. */
export type TokenHeader = Pick<JWTHeaderParameters, "alg" | "kid">;

export interface KeySet {
  /** The keys that a token with this header may be signed with. Rejects with KeysUnavailable when there are none yet. */
  matching(header: TokenHeader): MaybePromise<readonly VerificationKey[]>;
  /** Reads files again; keeps the keys it has when that fails, and throws. */
  reload(): void;
  close(): Promise<void>;
}

/** The keys have never been had, or not for too long: nothing can be said about any token. */
export class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

/** RFC 7518 3.3. */
const MIN_RSA_BITS = 2048;
const MAX_FILE_KEYS = 100;
/** How many keys a token that names none may be tried with. */
const MAX_TRIED = 10;
/** How long a file is believed to be as it was, milliseconds. */
const FILE_CHECK_MS = 5000;

/** One secret that issuer and server share. */
export function secretKey(secret: string): KeySet {
  const key = Buffer.from(secret);
  return { matching: ({ alg }) => (alg.startsWith("HS") ? [key] : []), reload: () => {}, close: async () => {} };
}

/** Public keys in PEM files, one each. Throws an Error that names the file for one that cannot be read. */
export function pemKeys(paths: readonly string[], options: FileOptions): KeySet {
  const files = paths.map((path) => new WatchedFile(path, readPublicKey, options));
  return {
    matching: ({ alg }) => files.map((file) => file.value).filter((key) => keyKind(key) === kindFor(alg)),
    reload: () => {
      for (const file of files) file.reload();
    },
    close: async () => {},
  };
}

/** A key set in a file (RFC 7517 5). Throws an Error that names the file when it cannot be read. */
export function jwksFile(path: string, options: FileOptions): KeySet {
  const file = new WatchedFile(path, (text) => createLocalJWKSet(readKeySet(text)), options);
  return {
    matching: (header) => keysIn(file.value, header),
    reload: () => file.reload(),
    close: async () => {},
  };
}

export interface FileOptions {
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
  /** Hears of files that changed and cannot be read any more. */
  readonly warn: (message: string) => void;
}

/** What a file contains, read again when it has changed. */
class WatchedFile<T> {
  readonly #path: string;
  readonly #read: (text: string) => T;
  readonly #options: FileOptions;
  #value: T;
  #stamp: string;
  #looked: number;

  constructor(path: string, read: (text: string) => T, options: FileOptions) {
    this.#path = path;
    this.#read = read;
    this.#options = options;
    this.#stamp = this.#stampNow();
    this.#value = this.#contents();
    this.#looked = options.now();
  }

  get value(): T {
    const now = this.#options.now();
    if (now - this.#looked >= FILE_CHECK_MS) {
      this.#looked = now;
      try {
        if (this.#stampNow() !== this.#stamp) this.reload();
      } catch (error) {
        this.#options.warn(error instanceof Error ? error.message : String(error));
      }
    }
    return this.#value;
  }

  reload(): void {
    const stamp = this.#stampNow();
    this.#value = this.#contents();
    this.#stamp = stamp;
  }

  #stampNow(): string {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      throw new Error(`"${this.#path}": cannot be read (${why(error)}); mend the path, or the file's permissions`);
    }
  }

  #contents(): T {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      throw new Error(`"${this.#path}": cannot be read (${why(error)}); mend the path, or the file's permissions`);
    }
    try {
      return this.#read(text);
    } catch (error) {
      throw new Error(`"${this.#path}": ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

export interface JwksUrlOptions {
  readonly url: string;
  /** PEM of the authority that signed the certificate of the URL's server; else the system's authorities. */
  readonly ca?: string | undefined;
  /** Milliseconds for one fetch. */
  readonly timeout: number;
  /** Bytes of the set. */
  readonly bytes: number;
  /** Milliseconds after which the set is fetched again. */
  readonly refresh: number;
  /** Milliseconds between two fetches at least, whatever tokens ask for. */
  readonly cooldown: number;
  /** Milliseconds that a set is used for while the URL does not answer. */
  readonly keep: number;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
  /** Hears of fetches that failed. */
  readonly warn: (message: string) => void;
}

/** A key set behind a URL (RFC 7517 5): kept for a while, and fetched again for a key that it does not have. */
export function jwksUrl(options: JwksUrlOptions): KeySet & { refresh(): Promise<boolean> } {
  return new RemoteKeys(options);
}

class RemoteKeys implements KeySet {
  readonly #options: JwksUrlOptions;
  readonly #service: HttpService;
  #set: LocalSet | undefined;
  #fetched = Number.NEGATIVE_INFINITY;
  #tried = Number.NEGATIVE_INFINITY;
  #fetching: Promise<boolean> | undefined;

  constructor(options: JwksUrlOptions) {
    const { url, ca, timeout, bytes } = options;
    this.#options = options;
    this.#service = new HttpService({ url, ca, timeout, connections: 1, queue: 1, answerBytes: bytes });
    this.#set = undefined;
    this.#fetching = undefined;
  }

  async matching(header: TokenHeader): Promise<readonly VerificationKey[]> {
    if (this.#age() >= this.#options.refresh) await this.refresh();
    const known = this.#set === undefined ? [] : await keysIn(this.#set, header);
    if (known.length > 0 && this.#age() < this.#options.keep) return known;
    await this.refresh();
    if (this.#set === undefined || this.#age() >= this.#options.keep) {
      throw new KeysUnavailable(`${this.#options.url}: no keys could be had`);
    }
    return keysIn(this.#set, header);
  }

  /** Fetches the set unless that was tried a moment ago; tells whether there is a new one. Never rejects. */
  refresh(): Promise<boolean> {
    if (this.#fetching !== undefined) return this.#fetching;
    const now = this.#options.now();
    if (now - this.#tried < this.#options.cooldown) return Promise.resolve(false);
    this.#tried = now;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** There is no file; the next token sees to it. */
  reload(): void {
    this.#fetched = Math.min(this.#fetched, this.#options.now() - this.#options.refresh);
    this.#tried = Number.NEGATIVE_INFINITY;
  }

  close(): Promise<void> {
    return this.#service.close();
  }

  #age(): number {
    return this.#options.now() - this.#fetched;
  }

  async #fetch(): Promise<boolean> {
    const { url, now, warn } = this.#options;
    const began = now();
    try {
      const { status, text } = await this.#service.ask("GET", "");
      if (status !== 200) throw new HttpServiceError(`answered ${status}`);
      this.#set = createLocalJWKSet(readKeySet(text));
      this.#fetched = began;
      return true;
    } catch (error) {
      warn(`${url}: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }
}

type LocalSet = ReturnType<typeof createLocalJWKSet>;

/** Those keys of a set that have the token's `kid`, if it names one, and fit its algorithm. */
async function keysIn(set: LocalSet, header: TokenHeader): Promise<readonly VerificationKey[]> {
  try {
    return [await set(header)];
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return [];
    const keys: VerificationKey[] = [];
    for await (const key of error) {
      keys.push(key);
      if (keys.length === MAX_TRIED) break;
    }
    return keys;
  }
}

const KEY_SET = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(MAX_FILE_KEYS),
});

function readKeySet(text: string): JSONWebKeySet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("is not JSON; a JSON Web Key Set (RFC 7517 5) is wanted");
  }
  const { success, data } = KEY_SET.safeParse(value);
  if (!success) throw new Error(`is no JSON Web Key Set (RFC 7517 5) of 1 to ${MAX_FILE_KEYS} keys`);
  return data;
}

function readPublicKey(text: string): KeyObject {
  if (/PRIVATE KEY/.test(text)) throw new Error("is a private key; name the public one's file");
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw new Error("is no public key in PEM");
  }
  const kind = keyKind(key);
  if (!Object.values(TOKEN_ALGORITHMS).some((each) => each === kind)) {
    throw new Error(`is a key of a kind (${kind}) that signs no tokens; RSA, P-256, P-384, P-521 and Ed25519 do`);
  }
  const { modulusLength = MIN_RSA_BITS } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS)
    throw new Error(`has ${modulusLength} bits; RFC 7518 3.3 wants ${MIN_RSA_BITS} at least`);
  return key;
}

function keyKind(key: KeyObject): string {
  return key.asymmetricKeyType === "ec"
    ? (key.asymmetricKeyDetails?.namedCurve ?? "ec")
    : (key.asymmetricKeyType ?? "");
}

function kindFor(alg: string): string | undefined {
  return Object.hasOwn(TOKEN_ALGORITHMS, alg) ? TOKEN_ALGORITHMS[alg as TokenAlgorithm] : undefined;
}
