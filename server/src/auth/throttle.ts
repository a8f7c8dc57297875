import { isIPv6 } from "node:net";

export interface ThrottleOptions {
  /** Wrong passwords from one address in a period; 0 for any number. */
  readonly failuresPerAddress: number;
  /** Wrong passwords for one account in a period, from wherever; 0 for any number. */
  readonly failuresPerAccount: number;
  /** Milliseconds. */
  readonly period: number;
  /** Addresses, and again accounts, that are remembered; beyond it the one that failed longest ago is forgotten. */
  readonly entries: number;
}
export const THROTTLE_DEFAULTS: ThrottleOptions = {
  failuresPerAddress: 10,
  failuresPerAccount: 5,
  period: 60_000,
  entries: 50_000,
};

/**
 * To be told once how an attempt ended: "undecided" when nothing could be tried, "unproven" when something was tried
 * in vain, and what might have let the client in did not answer.
 */
export type Settle = (outcome: "right" | "wrong" | "undecided" | "unproven") => void;

/**
 * Slows down who guesses passwords: once an address or an account has used up its failures, it gets the next one back
 * after a fraction of the period. One node's memory; an account that does not exist is throttled like one that does.
 */
export class Throttle {
  readonly #addresses: Failures;
  readonly #accounts: Failures;

  /** `now` is in milliseconds, from any fixed point. */
  constructor(now: () => number, options: ThrottleOptions = THROTTLE_DEFAULTS) {
    const { failuresPerAddress, failuresPerAccount, period, entries } = options;
    this.#addresses = new Failures(now, failuresPerAddress, period, entries);
    this.#accounts = new Failures(now, failuresPerAccount, period, entries);
  }

  /** Whether an attempt from this address on this account, if it is on one, would be allowed now. */
  admits(address: string, account?: string): boolean {
    return this.#addresses.admits(source(address)) && (account === undefined || this.#accounts.admits(account));
  }

  /**
   * Begins an attempt, or undefined if it is not allowed. Until it ends it counts as failed for the account, so that
   * guessing many at once is no way around; not for the address, which many honest clients may share.
   */
  attempt(address: string, account?: string): Settle | undefined {
    if (!this.admits(address, account)) return undefined;
    if (account !== undefined) this.#accounts.add(account);
    return (outcome) => {
      if (outcome === "wrong") this.#addresses.add(source(address));
      else if (outcome !== "unproven" && account !== undefined) this.#accounts.takeBack(account);
    };
  }

  /** How many addresses and accounts are remembered. */
  get entries(): number {
    return this.#addresses.size + this.#accounts.size;
  }
}

/** A leaky bucket a key, kept as the time at which it will have run empty. */
class Failures {
  readonly #now: () => number;
  readonly #limit: number;
  readonly #period: number;
  readonly #entries: number;
  /** In the order of the last failure. */
  readonly #emptyAt = new Map<string, number>();

  constructor(now: () => number, limit: number, period: number, entries: number) {
    this.#now = now;
    this.#limit = limit;
    this.#period = period;
    this.#entries = entries;
  }

  get size(): number {
    return this.#emptyAt.size;
  }

  admits(key: string): boolean {
    if (this.#limit === 0) return true;
    const emptyAt = this.#emptyAt.get(key);
    return emptyAt === undefined || emptyAt - this.#now() <= this.#period - this.#period / this.#limit;
  }

  add(key: string): void {
    if (this.#limit === 0) return;
    const now = this.#now();
    const emptyAt = Math.max(this.#emptyAt.get(key) ?? now, now) + this.#period / this.#limit;
    this.#emptyAt.delete(key);
    this.#emptyAt.set(key, emptyAt);
    for (const [oldest, until] of this.#emptyAt) {
      if (until > now && this.#emptyAt.size <= this.#entries) break;
      this.#emptyAt.delete(oldest);
    }
  }

  takeBack(key: string): void {
    const emptyAt = this.#emptyAt.get(key);
    if (emptyAt === undefined) return;
    const earlier = emptyAt - this.#period / this.#limit;
    if (earlier <= this.#now()) this.#emptyAt.delete(key);
    else this.#emptyAt.set(key, earlier);
  }
}

/** What counts as one source: an IPv4 address, or the /64 that an IPv6 client picks its addresses from. */
export function source(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array<string>(zeros).fill("0"), ...after].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}
