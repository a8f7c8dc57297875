/** A value now, or later: the path of a stanza stays synchronous until something really waits. */
export type MaybePromise<T> = T | Promise<T>;

/** Goes on with a value that may still be on its way, without making a promise where there is none. */
export function then<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
