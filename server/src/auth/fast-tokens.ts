/** Tokens that clients log in with in place of a password (XEP-0484), kept under their accounts. */
import { createHmac, randomBytes } from "node:crypto";
import type { MapStore } from "../storage/specs.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { FastToken, RedeemedToken, TokenLogin } from "../xmpp/sasl/mechanism.ts";

/** A token without its secret half: what it is made of, and how it was used. Times are milliseconds since 1970. */
interface Slot {
  readonly mechanism: string;
  readonly seed: string;
  readonly made: number;
  readonly expires: number;
  /** The highest `count` that came with it. */
  readonly count?: number;
}

/** The tokens of one client: the one that it uses, and one made since, which replaces it once it is used. */
export interface ClientTokens {
  readonly current?: Slot;
  readonly next?: Slot;
}

export interface FastTokensOptions {
  /**
   * Known to all nodes and kept elsewhere than the tokens. A token is made of it and of what is stored, so that who reads
   * the store alone cannot log in: HT proves knowledge of the token itself, of which a store could not keep a mere hash.
   */
  readonly secret: Uint8Array;
  /** How long a token is good for, milliseconds. */
  readonly lifetime: number;
  /** A token of this age is replaced when it is used, milliseconds. */
  readonly renewAfter: number;
  /** Clients of one account that can have tokens; beyond it those whose tokens expire first lose them. */
  readonly perAccount: number;
  /** Milliseconds since 1970. */
  now(): number;
}

/** What came of a try: `expired` only to who has the right token, so that others learn nothing. */
export type Redemption = "wrong" | "expired" | RedeemedToken;

/** Methods reject with a StorageError when the store does not answer. */
export class FastTokens {
  readonly #store: MapStore<ClientTokens>;
  readonly #options: FastTokensOptions;

  constructor(store: MapStore<ClientTokens>, options: FastTokensOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** A new token for a client, which takes the place of one that it has not used yet. */
  async issue(account: Jid, userAgent: string, mechanism: string): Promise<FastToken> {
    const slot = this.#slot(mechanism);
    await this.#store.update(account, userAgent, (kept) =>
      kept?.current === undefined ? { next: slot } : { current: kept.current, next: slot },
    );
    await this.#trim(account, userAgent);
    return { token: this.#token(account, userAgent, slot), expires: slot.expires };
  }

  /** Tries the client's tokens with `matches`. Nothing is written unless one is right, and then as one step for all nodes. */
  async redeem(account: Jid, login: TokenLogin, matches: (token: string) => boolean): Promise<Redemption> {
    const kept = await this.#store.get(account, login.userAgent);
    const seen = this.#judge(account, login, matches, kept);
    if (seen.left === kept) return seen.verdict;
    let verdict: Redemption = "wrong";
    await this.#store.update(account, login.userAgent, (present) => {
      const judged = this.#judge(account, login, matches, present);
      verdict = judged.verdict;
      return judged.left;
    });
    return verdict;
  }

  /** No client of the account has a token any more. */
  async forget(account: Jid): Promise<void> {
    await this.#store.clear(account);
  }

  /** What to answer, and what is then left of the client's tokens: the same object when nothing changes. */
  #judge(
    account: Jid,
    login: TokenLogin,
    matches: (token: string) => boolean,
    kept: ClientTokens | undefined,
  ): { readonly verdict: Redemption; readonly left: ClientTokens | undefined } {
    const refused = (verdict: "wrong" | "expired") => ({ verdict, left: kept });
    const { userAgent, mechanism, count } = login;
    // Both are always tried, be they there or not, so that the time taken tells nothing.
    const [next, current] = [kept?.next, kept?.current].map((slot) => {
      const token = this.#token(account, userAgent, slot ?? { mechanism, seed: "" });
      return matches(token) && slot?.mechanism === mechanism ? { slot, token } : undefined;
    });
    const used = next ?? current;
    if (used === undefined) return refused("wrong");
    const { slot, token } = used;
    const now = this.#options.now();
    if (slot.expires <= now) return refused("expired");
    if (count !== undefined && count <= (slot.count ?? 0)) return refused("wrong");
    if (login.invalidate) return { verdict: { token }, left: undefined };

    const due = login.renewable && now - slot.made >= this.#options.renewAfter;
    const fresh = due ? this.#slot(mechanism) : undefined;
    const renewed = fresh && { token: this.#token(account, userAgent, fresh), expires: fresh.expires };
    const verdict = { token, ...(renewed === undefined ? {} : { renewed }) };
    const changed = used === next || count !== undefined || fresh !== undefined;
    if (!changed) return { verdict, left: kept };
    const waiting = fresh ?? (used === current ? kept?.next : undefined);
    return {
      verdict,
      left: {
        current: count === undefined ? slot : { ...slot, count },
        ...(waiting === undefined ? {} : { next: waiting }),
      },
    };
  }

  /** Takes away what has expired, and what is too much. */
  async #trim(account: Jid, userAgent: string): Promise<void> {
    const others = [...(await this.#store.list(account))]
      .filter(([client]) => client !== userAgent)
      .map(([client, { current, next }]) => ({ client, expires: Math.max(current?.expires ?? 0, next?.expires ?? 0) }))
      .sort((one, other) => other.expires - one.expires);
    const now = this.#options.now();
    for (const [place, { client, expires }] of others.entries()) {
      if (expires <= now || place >= this.#options.perAccount - 1) await this.#store.remove(account, client);
    }
  }

  #slot(mechanism: string): Slot {
    const made = this.#options.now();
    const seed = randomBytes(18).toString("base64url");
    return { mechanism, seed, made, expires: made + this.#options.lifetime };
  }

  #token({ bare }: Jid, userAgent: string, { mechanism, seed }: Pick<Slot, "mechanism" | "seed">): string {
    const made = createHmac("sha256", this.#options.secret).update(
      `fast\0${bare}\0${userAgent}\0${mechanism}\0${seed}`,
    );
    return made.digest("base64url");
  }
}
