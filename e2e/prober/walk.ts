import { PATHS, type Path, type Probed, type ProbeTarget } from "./paths.ts";

/** How long a path may take. The one that logs in several times goes last, so that all end within the sum of two. */
const TIMEOUT_MS = 8000;

export type Outcome = { readonly path: Path; readonly probed: Probed } | { readonly path: Path; readonly error: Error };

/** Walks every path: first those of one client side by side, then the one that needs two. Tells each outcome as it comes. */
export async function walkAll(
  target: ProbeTarget,
  tell: (outcome: Outcome) => void,
  stop?: AbortSignal,
): Promise<void> {
  const walk = async (path: Path) => {
    const limit = AbortSignal.timeout(TIMEOUT_MS);
    const signal = stop === undefined ? limit : AbortSignal.any([limit, stop]);
    try {
      tell({ path, probed: await path.walk(target, signal) });
    } catch (error) {
      tell({ path, error: explained(error) });
    }
  };
  await Promise.all(PATHS.filter(({ name }) => name !== "cross-node").map(walk));
  await Promise.all(PATHS.filter(({ name }) => name === "cross-node").map(walk));
}

/** An error that says what happened where the original has a code or nothing. */
function explained(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error.name === "TimeoutError") return new Error(`no answer within ${TIMEOUT_MS / 1000} s`, { cause: error });
  // Several addresses were tried.
  const first = error instanceof AggregateError ? (error.errors[0] as Error | undefined) : undefined;
  return first ?? error;
}
