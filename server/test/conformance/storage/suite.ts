import { randomBytes } from "node:crypto";
import { describe } from "node:test";
import type { DriverOptions } from "../../../src/storage/open.ts";
import { openDriver } from "../../../src/storage/open.ts";
import type { AccountStore, Capability, ScramKeys, StorageDriver } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";

/** Opens another driver on one and the same database, as another node would, with other bounds if asked to. */
export type Open = (bounds?: { maxValueBytes?: number }) => Promise<StorageDriver>;

/** The columns of the table at the end of `make conformance`; "faults" is all that goes wrong with the database itself. */
export type Proven = Capability | "contents" | "faults";

/** A suite that counts for one capability of one driver in the table at the end of `make conformance`. */
export function describeCapability(
  driver: string,
  capability: Proven,
  body: () => void,
  { skip = false }: { skip?: string | false } = {},
): void {
  describe(`${capability} over ${driver}`, { skip, timeout: 300_000 }, body);
}

/** Opens and migrates. */
export async function migrated(options: DriverOptions): Promise<StorageDriver> {
  const driver = await openDriver(options);
  await driver.migrate();
  return driver;
}

/** A domain that no other test has touched. */
export function freshDomain(): string {
  return `d${randomBytes(6).toString("hex")}.example`;
}

/** A bare JID at a domain of its own. */
export function freshAccount(local = "alice"): Jid {
  return new Jid(local, freshDomain());
}

export function scramKeys(hash: ScramKeys["hash"], fill: number): ScramKeys {
  const length = { "sha-1": 20, "sha-256": 32, "sha-512": 64 }[hash];
  return {
    hash,
    salt: Uint8Array.from({ length: 16 }, (_, index) => (index * 17 + fill) & 0xff),
    iterations: 4096 + fill,
    storedKey: new Uint8Array(length).fill(fill),
    serverKey: new Uint8Array(length).fill(0xff - fill),
  };
}

/** An account store that keeps SCRAM keys, with nothing left out. */
export function scramStore(driver: StorageDriver): Required<Omit<AccountStore, "verify">> {
  const store = driver.accounts?.();
  if (
    !store?.scram ||
    !store.create ||
    !store.setKeys ||
    !store.addKeys ||
    !store.remove ||
    !store.count ||
    !store.list
  ) {
    throw new Error(`${driver.name} keeps no SCRAM accounts`);
  }
  return store as Required<Omit<AccountStore, "verify">>;
}

/** Names and keys that mean something to SQL, to patterns, to file names or to the order of texts. */
export const ODD_TEXTS = [
  "o'brien",
  'a"b',
  "100%",
  "under_score",
  "back\\slash",
  "a:b",
  "a/b",
  "a b",
  "; drop table accounts; --",
  "$1",
  "{tag}",
  "élan",
  "e\u0301lan",
  "ﬀ",
  "日本",
  "😀",
  "\uffee",
  "\u200b",
  "__proto__",
  "constructor",
  "A",
  "a",
  "a ",
  "a  ",
  "ß",
  "ı",
];

/** Text of this length without repetition, for a database may compress what it indexes; three bytes to a character. */
export function longText(seed: number, length: number): string {
  return Array.from({ length }, (_, index) =>
    String.fromCodePoint(0x4e00 + ((index * 7919 + seed * 104_729) % 20_000)),
  ).join("");
}

/** The time once it is later than this one, milliseconds since 1970. */
export function later(than: number): Promise<number> {
  return eventually(
    async () => Date.now(),
    (now) => now > than,
  );
}

/** Asks again until the answer satisfies; fails with the last answer after thirty seconds. */
export async function eventually<T>(ask: () => Promise<T>, satisfies: (answer: T) => boolean): Promise<T> {
  const until = performance.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (satisfies(answer)) return answer;
    if (performance.now() > until) throw new Error(`still ${String(answer)} after thirty seconds`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What a promise rejected with; undefined when it did not. */
export function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}
