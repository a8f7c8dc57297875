import { StorageError } from "../specs.ts";

/** How long to try again what a store refuses, and how. */
export interface Persistence {
  /** Ends the waiting, and what would be tried next. */
  readonly signal: AbortSignal;
  /** Milliseconds from the first refusal on, after which the next is the last. */
  readonly patience: number;
  now(): number;
  /** Rejects when the signal is given. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** Hears why it waits, and how long. */
  waiting(reason: string, ms: number): void;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** Tries until it succeeds, with longer and longer pauses; rejects with the store's last words when patience is over. */
export async function persistently<T>(
  { signal, patience, now, wait, waiting }: Persistence,
  run: () => Promise<T>,
): Promise<T> {
  let since: number | undefined;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    signal.throwIfAborted();
    try {
      return await run();
    } catch (error) {
      since ??= now();
      if (!(error instanceof StorageError) || now() - since >= patience) throw error;
      waiting(error.message, pause);
      await wait(pause, signal);
    }
  }
}
