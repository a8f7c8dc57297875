/** Accounts of those who come without one (RFC 4505): made for one session, and gone with it. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { HookTable } from "../module/hook-table.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import { Jid } from "../xmpp/jid.ts";
import { source } from "./throttle.ts";

export interface GuestOptions {
  /** The same on all nodes, and known to no client: names are made with it. */
  readonly secret: Uint8Array;
  /** Guests of one client address (IPv6: of its /64), and of this node. */
  readonly perAddress: number;
  readonly max: number;
  /** Milliseconds that a guest has from the login to a bound resource. */
  readonly bindWithin: number;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

const RANDOM_BYTES = 16;
const MARK_BYTES = 8;

export class Guests {
  readonly #options: GuestOptions;
  /** By bare JID, the oldest first. */
  readonly #guests = new Map<string, { readonly source: string; until: number }>();
  readonly #bySource = new Map<string, number>();
  #elsewhere: (account: Jid) => MaybePromise<boolean> = () => false;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  /** Guests on this node. */
  get count(): number {
    return this.#guests.size;
  }

  /** A name that nobody can guess; undefined when there are too many guests. */
  admit(address: string, domain: string): string | undefined {
    this.#dropUnbound();
    const { perAddress, max, bindWithin, now } = this.#options;
    const from = source(address);
    const others = this.#bySource.get(from) ?? 0;
    if (others >= perAddress || this.#guests.size >= max) return undefined;
    const random = randomBytes(RANDOM_BYTES).toString("hex");
    const local = `${random}${this.#mark(random, domain).toString("hex")}`;
    this.#bySource.set(from, others + 1);
    this.#guests.set(new Jid(local, domain).bare, { source: from, until: now() + bindWithin });
    return local;
  }

  /** Whether some node made this name, be its guest still here or not. */
  made({ local, domain }: Jid): boolean {
    if (local.length !== 2 * (RANDOM_BYTES + MARK_BYTES) || !/^[0-9a-f]+$/.test(local)) return false;
    const mark = Buffer.from(local.slice(2 * RANDOM_BYTES), "hex");
    return timingSafeEqual(mark, this.#mark(local.slice(0, 2 * RANDOM_BYTES), domain));
  }

  /** Whether the guest has a session, on whichever node. */
  present(account: Jid): MaybePromise<boolean> {
    return this.#guests.get(account.bare)?.until === Number.POSITIVE_INFINITY || this.#elsewhere(account);
  }

  /**
   * Ends each account some time after its last session, so that those who say good-bye for it find what they need.
   * Returns what ends this, and those accounts with it.
   */
  attend({ notices, online, remove, failed, after }: Attendance): () => Promise<void> {
    this.#elsewhere = online;
    const ending = new Map<string, { readonly account: Jid; readonly timer: NodeJS.Timeout }>();
    const end = async (account: Jid) => {
      ending.delete(account.bare);
      try {
        if (!(await online(account))) await remove(account);
      } catch (error) {
        failed(account, error);
      }
    };
    const endLater = (jid: Jid) => {
      const account = jid.toBare();
      if (!this.made(account)) return;
      this.#drop(account.bare);
      clearTimeout(ending.get(account.bare)?.timer);
      ending.set(account.bare, { account, timer: setTimeout(() => void end(account), after) });
    };
    const undo = [
      notices.sessionOpened.add(({ session }) => this.#opened(session.jid.bare)),
      notices.sessionClosed.add(({ session }) => endLater(session.jid)),
      notices.sessionLost.add(({ jid }) => endLater(jid)),
    ];
    return async () => {
      for (const step of undo) step();
      for (const { account, timer } of [...ending.values()]) {
        clearTimeout(timer);
        await end(account);
      }
    };
  }

  #opened(bare: string): void {
    const guest = this.#guests.get(bare);
    if (guest !== undefined) guest.until = Number.POSITIVE_INFINITY;
  }

  /** Those who logged in and never bound a resource: their streams are over by now. */
  #dropUnbound(): void {
    const now = this.#options.now();
    for (const [bare, { until }] of this.#guests) {
      if (until <= now) this.#drop(bare);
    }
  }

  #drop(bare: string): void {
    const guest = this.#guests.get(bare);
    if (guest === undefined) return;
    this.#guests.delete(bare);
    const others = (this.#bySource.get(guest.source) ?? 1) - 1;
    if (others === 0) this.#bySource.delete(guest.source);
    else this.#bySource.set(guest.source, others);
  }

  #mark(random: string, domain: string): Buffer {
    const { secret } = this.#options;
    return createHmac("sha256", secret).update(`guest ${random}@${domain}`).digest().subarray(0, MARK_BYTES);
  }
}

/** What the sessions of guests are known by. */
export interface Attendance {
  readonly notices: Pick<HookTable["notices"], "sessionOpened" | "sessionClosed" | "sessionLost">;
  /** Whether an account has a session on any node. */
  readonly online: (account: Jid) => MaybePromise<boolean>;
  /** Removes the account, and what is kept under its name. */
  readonly remove: (account: Jid) => Promise<void>;
  /** Hears of accounts that could not be removed. */
  readonly failed: (account: Jid, error: unknown) => void;
  /** Milliseconds from a session's end to its account's. */
  readonly after: number;
}
