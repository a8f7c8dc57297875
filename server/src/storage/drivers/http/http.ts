import { z } from "zod";
import { HttpService, HttpServiceError } from "../../../net/http-service.ts";
import type { Jid } from "../../../xmpp/jid.ts";
import {
  type AccountStore,
  SCRAM_HASHES,
  type ScramHash,
  type ScramKeys,
  type StorageDriver,
  StorageError,
} from "../../specs.ts";
import { positive } from "../bounds.ts";
import { answers } from "../deadline.ts";
import type { HttpOffer } from "./offers.ts";

export interface HttpOptions {
  /** http:// or https://, with the path that the requests' names are added to. */
  readonly url: string;
  /** For HTTP Basic; needs a password. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** For HTTP Bearer, in place of a name and a password. */
  readonly token?: string | undefined;
  /** PEM of the authority that signed the service's certificate; else the system's authorities. */
  readonly ca?: string | undefined;
  /** Default check_password alone. */
  readonly offers?: readonly HttpOffer[] | undefined;
  /** Requests under way at a time. Default 10. */
  readonly max?: number | undefined;
  /** Requests that may wait for their turn; more are refused at once. Default 500. */
  readonly queue?: number | undefined;
  /** Milliseconds for each request, waiting for its turn included. Default 5000. */
  readonly timeout?: number | undefined;
  /** Bytes of an answer. Default 16384. */
  readonly answerBytes?: number | undefined;
  /** Failures in a row after which nothing is asked for a while. Default 5. */
  readonly failures?: number | undefined;
  /** Milliseconds of the first such while, and of the longest. Default 1000 and 30000. */
  readonly pause?: number | undefined;
  readonly longestPause?: number | undefined;
  /** Milliseconds from any fixed point. */
  readonly now?: (() => number) | undefined;
}

/** Accounts of a company's own service, asked over HTTP as docs/authentication.md tells. Opening connects to nothing. */
export function httpDriver(options: HttpOptions): StorageDriver {
  const offers = new Set<HttpOffer>(options.offers ?? ["check_password"]);
  if (!offers.has("check_password") && !offers.has("get_keys")) {
    throw new TypeError('offers must have "check_password" or "get_keys", or nobody could log in');
  }
  const url = checkedUrl(options.url);
  const service = new HttpService({
    url,
    authorization: authorization(options),
    ca: options.ca,
    timeout: positive("timeout", options.timeout, 5000),
    connections: positive("max", options.max, 10),
    queue: positive("queue", options.queue, 500),
    answerBytes: positive("answer_size", options.answerBytes, 16_384),
    breaker: {
      failures: positive("failures", options.failures, 5),
      first: positive("pause", options.pause, 1000),
      longest: positive("longest_pause", options.longestPause, 30_000),
      ...(options.now !== undefined && { now: options.now }),
    },
  });

  async function request(
    kind: "ask" | "tell",
    name: string,
    account: Jid,
    more: Readonly<Record<string, string>> = {},
  ) {
    const form = { user: account.local, server: account.domain, ...more };
    const answer = kind === "ask" ? service.ask("POST", name, form) : service.tell(name, form);
    return answer.catch((error: unknown) => {
      throw asStorageError(error, `http at ${url}: ${name}`);
    });
  }

  /** Yes or no. */
  async function isTrue(name: string, account: Jid, more?: Readonly<Record<string, string>>): Promise<boolean> {
    const { status, text } = await request("ask", name, account, more);
    const word = text.trim();
    if (status !== 200 || (word !== "true" && word !== "false")) throw unexpected(name, status, "true or false");
    return word === "true";
  }

  /** Sends a change; tells which of the two answers came. */
  async function changed<Yes, No>(
    name: string,
    account: Jid,
    keys: readonly ScramKeys[] | undefined,
    words: { yes: Yes; no: No; noStatus: number },
  ): Promise<Yes | No> {
    const { status } = await request("tell", name, account, keys && { keys: writeKeys(keys) });
    if (status === 200 || status === 201 || status === 204) return words.yes;
    if (status === words.noStatus) return words.no;
    throw unexpected(name, status, `200, 201, 204 or ${words.noStatus}`);
  }

  function unexpected(name: string, status: number, wanted: string): StorageError {
    const remedy = status === 401 || status === 403 ? "; its password or token here is not the right one" : "";
    return new StorageError(`http at ${url}: ${name} answered ${status}, and not ${wanted}${remedy}`);
  }

  async function readAllKeys(account: Jid): Promise<ReadonlyMap<ScramHash, ScramKeys>> {
    const { status, text } = await request("ask", "get_keys", account);
    if (status !== 200) throw unexpected("get_keys", status, "200");
    const keys = readKeys(text);
    if (keys === undefined) throw new StorageError(`http at ${url}: get_keys answered what are no keys`);
    return keys;
  }

  // A password is checked against the keys of the strongest hash, for which all are asked for at once.
  const underWay = new Map<string, Promise<ReadonlyMap<ScramHash, ScramKeys>>>();
  function keysOf(account: Jid): Promise<ReadonlyMap<ScramHash, ScramKeys>> {
    const known = underWay.get(account.bare);
    if (known !== undefined) return known;
    const asked = readAllKeys(account).finally(() => underWay.delete(account.bare));
    underWay.set(account.bare, asked);
    return asked;
  }

  const accounts: AccountStore = {
    exists: (account) => isTrue("user_exists", account),
    ...(offers.has("check_password") && {
      verify: async (account, password) => password !== "" && isTrue("check_password", account, { pass: password }),
    }),
    ...(offers.has("get_keys") && { scram: async (account, hash) => (await keysOf(account)).get(hash) }),
    ...(offers.has("register") && {
      create: (account, keys) =>
        changed("register", account, keys, { yes: "created", no: "exists", noStatus: 409 } as const),
    }),
    ...(offers.has("set_keys") && {
      setKeys: (account, keys) =>
        changed("set_keys", account, keys, { yes: "changed", no: "missing", noStatus: 404 } as const),
    }),
    ...(offers.has("remove_user") && {
      remove: (account) => changed("remove_user", account, undefined, { yes: undefined, no: undefined, noStatus: 404 }),
    }),
  };

  /** Any answer of the bare address will do, but one that says that we are not let in. */
  async function reach(): Promise<void> {
    const { status } = await service.ask("GET", "").catch((error: unknown) => {
      throw asStorageError(error, `http at ${url}`);
    });
    if (status === 401 || status === 403)
      throw new StorageError(`http at ${url}: refuses us (${status}); its password or token here is not the right one`);
  }

  return {
    name: "http",
    accounts: () => accounts,
    migrate: reach,
    healthy: () => answers(reach()),
    close: () => service.close(),
  };
}

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const bad =
    parsed === undefined ||
    !/^https?:$/.test(parsed.protocol) ||
    parsed.username !== "" ||
    parsed.search !== "" ||
    parsed.hash !== "";
  if (bad) throw new TypeError(`"${url}" is no http:// or https:// address without a name, a query and a fragment`);
  return parsed.href.endsWith("/") ? parsed.href : `${parsed.href}/`;
}

function authorization({ username, password, token }: HttpOptions): string | undefined {
  if (token !== undefined) {
    if (username !== undefined || password !== undefined)
      throw new TypeError("give username and password, or token, not both");
    return `Bearer ${token}`;
  }
  if ((username === undefined) !== (password === undefined)) throw new TypeError("username and password go together");
  // RFC 7617 2: a colon ends the name.
  if (username?.includes(":")) throw new TypeError(`username = "${username}": must have no colon`);
  return username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function asStorageError(error: unknown, where: string): unknown {
  return error instanceof HttpServiceError ? new StorageError(`${where}: ${error.message}`, { cause: error }) : error;
}

const KEY_BYTES: Readonly<Record<ScramHash, number>> = { "sha-1": 20, "sha-256": 32, "sha-512": 64 };
/** What a login may be made to cost. */
const MAX_ITERATIONS = 10_000_000;

function keysSchema(bytes: number) {
  const key = z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64")));
  const exact = key.refine(({ length }) => length === bytes);
  return z.strictObject({
    salt: key.refine(({ length }) => length >= 1 && length <= 1024),
    iterations: z.int().min(1).max(MAX_ITERATIONS),
    stored_key: exact,
    server_key: exact,
  });
}
const KEYS = z
  .strictObject({
    "sha-1": keysSchema(KEY_BYTES["sha-1"]).optional(),
    "sha-256": keysSchema(KEY_BYTES["sha-256"]).optional(),
    "sha-512": keysSchema(KEY_BYTES["sha-512"]).optional(),
  })
  .nullable();

/** Empty for an account that has none, and for one that does not exist; undefined for what cannot be read. */
function readKeys(text: string): ReadonlyMap<ScramHash, ScramKeys> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { success, data } = KEYS.safeParse(value);
  if (!success) return undefined;
  const found = new Map<ScramHash, ScramKeys>();
  for (const hash of SCRAM_HASHES) {
    const keys = data?.[hash];
    if (keys === undefined) continue;
    const { salt, iterations, stored_key, server_key } = keys;
    found.set(hash, { hash, salt, iterations, storedKey: stored_key, serverKey: server_key });
  }
  return found;
}

function writeKeys(keys: readonly ScramKeys[]): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const entries = keys.map(({ hash, salt, iterations, storedKey, serverKey }) => [
    hash,
    { salt: base64(salt), iterations, stored_key: base64(storedKey), server_key: base64(serverKey) },
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}
