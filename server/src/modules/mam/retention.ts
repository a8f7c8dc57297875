import type { Clock } from "../../module/api.ts";
import type { Logger } from "../../observe/log.ts";
import type { ArchiveStore } from "../../storage/specs.ts";
import { type Jid, parseJid } from "../../xmpp/jid.ts";

interface Keep {
  /** Milliseconds; 0 for ever. */
  readonly keep_for: number;
  /** Messages of an account; 0 for any number. */
  readonly keep_count: number;
  /** Milliseconds between two sweeps. */
  readonly sweep_every: number;
}

/** Accounts that are remembered as having got more since the last sweep; when there are more, the sweep comes early. */
const MAX_GROWN = 10_000;
/** Milliseconds that a sweep under way may hold up the end; what it has not removed is removed another time. */
const STOP_WITHIN = 2000;

/** Removes what is too old, and what is too much, now and then; at the old end alone, so that no archive has holes. */
export class Retention {
  readonly #archive: ArchiveStore<unknown>;
  readonly #keep: Keep;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #grown = new Set<string>();
  #callOff: () => void = () => {};
  #sweeping: Promise<void> | undefined;
  /** Whether the last sweep failed: another one would not come early. */
  #failed = false;
  #stopped = false;

  constructor(archive: ArchiveStore<unknown>, keep: Keep, clock: Clock, log: Logger) {
    this.#archive = archive;
    this.#keep = keep;
    this.#clock = clock;
    this.#log = log;
    if (keep.keep_for > 0 || keep.keep_count > 0) this.#wait();
  }

  noteAppended(owner: Jid): void {
    if (this.#keep.keep_count === 0) return;
    // Who finds no place is remembered at its next message.
    if (this.#grown.size < MAX_GROWN) this.#grown.add(owner.bare);
    if (this.#grown.size >= MAX_GROWN && !this.#failed) this.#sweep();
  }

  /** Settles when no sweep is under way any more, or one takes too long. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#callOff();
    if (this.#sweeping === undefined) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const callOff = this.#clock.after(STOP_WITHIN, resolve);
    await Promise.race([this.#sweeping, late]);
    callOff();
  }

  #wait(): void {
    this.#callOff = this.#clock.after(this.#keep.sweep_every, () => {
      this.#wait();
      this.#sweep();
    });
  }

  #sweep(): void {
    this.#sweeping ??= this.#remove().finally(() => {
      this.#sweeping = undefined;
    });
  }

  async #remove(): Promise<void> {
    const { keep_for, keep_count } = this.#keep;
    const grown = [...this.#grown];
    this.#grown.clear();
    try {
      if (keep_for > 0) await this.#archive.expire(this.#clock.milliseconds() - keep_for);
      while (grown.length > 0) {
        await this.#archive.trim(parseJid(grown.at(-1) as string) as Jid, keep_count);
        grown.pop();
      }
      this.#failed = false;
    } catch (error) {
      // The next sweep goes on where this one ended.
      for (const owner of grown) this.#grown.add(owner);
      this.#failed = true;
      // The store may be closed by now.
      if (!this.#stopped) this.#log.warn("archive.not_swept", { error });
    }
  }
}
