/** What a part's maker is given. */
import type { Part } from "./manifest.ts";
import type { Receiver } from "./receiver.ts";
import type { Settings } from "./settings.ts";

export interface Taking {
  readonly settings: Settings;
  /** The set's name. */
  readonly set: string;
  /** An empty folder for the part's files. */
  readonly folder: string;
  readonly receiver: Receiver;
  readonly signal: AbortSignal;
}

/** A part before its files are described. */
export type Taken = Omit<Part, "files" | "seconds">;

export type Take = (taking: Taking) => Promise<Taken>;
