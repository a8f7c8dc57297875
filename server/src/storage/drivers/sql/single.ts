import type { Database, Steps } from "./database.ts";

/** Runs steps that outside MySQL are a single statement, which needs no transaction of its own there. */
export async function single<R>({ dialect, run, transact }: Database, steps: () => Steps<R>): Promise<R> {
  if (dialect === "mysql") return transact(steps);
  const running = steps();
  let step = running.next();
  while (!step.done) {
    const query = step.value;
    step = running.next(await run({ compile: () => query }));
  }
  return step.value;
}
