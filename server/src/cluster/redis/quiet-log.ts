/** A log for failures that come in storms. */
import type { Clock } from "../clock.ts";
import type { ClusterLog } from "../cluster.ts";

const LOG_EVERY = 1000;

/** Passes each event on once a second at most, with the number of those held back since as `silenced`. */
export function quietLog(log: ClusterLog, clock: Clock): ClusterLog {
  const events = new Map<string, { loggedAt: number; silenced: number }>();
  return (event, details) => {
    const known = events.get(event);
    const now = clock.now();
    if (known !== undefined && now - known.loggedAt < LOG_EVERY) {
      known.silenced++;
      return;
    }
    events.set(event, { loggedAt: now, silenced: 0 });
    log(event, { ...details, silenced: known?.silenced ?? 0 });
  };
}
