import { count } from "./values.ts";

/** Of every store that is asked over a network or a disk. */
export const cacheEntries = count(2000, 0, 1_000_000).describe(
  "Answers that this node keeps for a moment, where what asks allows it; 0 keeps none. See [storage.md](storage.md).",
);
