import { type Codec, StorageError } from "../specs.ts";

/** What every driver that keeps values bounds. */
export interface ValueBounds {
  /** Bytes of one encoded value, in UTF-8; larger ones are refused with a StorageError. Default 1 MiB. */
  readonly maxValueBytes?: number | undefined;
}

export const MAX_VALUE_BYTES = 1024 * 1024;

/**
 * Encodes a value for the store, refusing what is larger than the operator allows, and what is no text to all databases:
 * NUL, and half a surrogate pair. JSON has neither.
 */
export function encodeBounded<T>(codec: Codec<T>, value: T, kind: string, limit: number): string {
  return checkedValue(codec.encode(value), kind, limit);
}

/** An encoded value as it is, if the operator allows its size. */
export function checkedValue(stored: string, kind: string, limit: number): string {
  const bytes = Buffer.byteLength(stored);
  if (bytes > limit) throw new StorageError(`a value of ${kind} is ${bytes} bytes; at most ${limit} are kept`);
  if (!isPlainText(stored))
    throw new StorageError(`a value of ${kind} has a NUL or half a character, which is not kept`);
  return stored;
}

/** Whether every database keeps a text as it is. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** Checks the name a module gives its store; a bad one is a mistake in the module. */
export function checkedKind(table: string): string {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(table)) throw new TypeError(`"${table}" is no name for a store`);
  return table;
}

/** A setting that counts something, or its default; anything but a positive integer is a mistake in the config. */
export function positive(name: string, value: number | undefined, otherwise: number): number {
  const chosen = value ?? otherwise;
  if (!Number.isSafeInteger(chosen) || chosen < 1)
    throw new TypeError(`${name} must be a positive integer, not ${chosen}`);
  return chosen;
}

/** Checks a key that may be any text: one that not every database can keep is refused with a StorageError. */
export function plainKey(key: string): string {
  if (!isPlainText(key)) throw new StorageError("a key has a NUL or half a character, which is not kept");
  return key;
}
