/** What the groups of meerkatctl's commands have in common. */
import type { Config } from "../config/schema.ts";

/** What the operator asked for cannot be done as it was asked; the message says why. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What was asked for was done in part, or came out otherwise than it should; the message says how to go on. */
export class Unfinished extends Error {
  override readonly name = "Unfinished";
}

/** Options by name, as `parseArgs` gives them. */
export type Options = Readonly<Record<string, string | boolean | undefined>>;

/** What a command reads and writes besides the stores. */
export interface Terminal {
  /** The password that belongs to the command, from its file or from standard input. */
  password(): string;
  /** All of standard input. */
  input(): string;
  print(line: string): void;
}

/** How a command shows how far it is. */
export interface Status {
  /** A line that the next one takes the place of, where it is shown on a terminal. */
  show(line: string): void;
  /** A line that stays. */
  say(line: string): void;
  /** Takes away what was shown last. */
  clear(): void;
}

/** Commands of one kind: `meerkatctl account …`. */
export interface Group {
  readonly usage: string;
  readonly options: Readonly<Record<string, { readonly type: "string" | "boolean" }>>;
  /**
   * Rejects with errors that the operator is to read: UsageError, Unfinished, ConfigError, StanzaError, StorageError. A command
   * that asks for the signal is told of the first Ctrl-C by it, and ended by the second.
   */
  run(words: readonly string[], options: Options, config: Config, interruptible: () => AbortSignal): Promise<void>;
}
