import { StorageError } from "../specs.ts";

/** Gives up on a promise after so many milliseconds: `abandon` frees what it held, and a StorageError is thrown. */
export async function deadline<T>(
  promise: Promise<T>,
  milliseconds: number,
  words: string,
  abandon: () => void = () => {},
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StorageError(words));
      abandon();
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long `healthy` waits for an answer, in milliseconds. */
const HEALTHY_WITHIN = 2000;

/** Whether a trivial request succeeds in time. */
export function answers(request: Promise<unknown>): Promise<boolean> {
  return deadline(request, HEALTHY_WITHIN, "too slow").then(
    () => true,
    () => false,
  );
}
