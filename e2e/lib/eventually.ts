import { setTimeout as delay } from "node:timers/promises";

/**
 * The condition's value as soon as it is neither false, undefined nor thrown; asked every `everyMs`. Rejects after
 * `withinMs` with what the condition said last.
 */
export async function eventually<T>(
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  { withinMs = 10_000, everyMs = 100, what = "the condition" } = {},
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= end) {
      const cause = last instanceof Error ? `: ${last.message}` : "";
      throw new Error(`${what} did not come true within ${withinMs} ms${cause}`, { cause: last });
    }
    await delay(everyMs);
  }
}

/** Settles as the promise does, or rejects with the signal's reason, whichever comes first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const cut = Promise.withResolvers<never>();
  const abort = () => cut.reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, cut.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
    // Whichever lost may reject later, to nobody.
    promise.catch(() => {});
    cut.promise.catch(() => {});
  }
}
