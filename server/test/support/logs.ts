import { type Logger, silentLog } from "../../src/observe/log.ts";

export interface Logged {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A log whose lines the test reads; what only debugging wants is left out. */
export function recordingLog(): { readonly log: Logger; readonly events: readonly Logged[] } {
  const events: Logged[] = [];
  const note = (event: string, fields: object = {}) => void events.push({ event, ...fields });
  const log: Logger = { ...silentLog, info: note, warn: note, error: note, with: () => log };
  return { log, events };
}
