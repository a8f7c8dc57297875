/** The backup service: follows PostgreSQL's log, takes a set when one is due or asked for, and tells Prometheus. */
import { mkdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { directoryMetrics, directoryReader } from "./directory.ts";
import { metrics } from "./metrics.ts";
import { Receiver } from "./receiver.ts";
import { isWhole, listSets } from "./sets.ts";
import type { Settings } from "./settings.ts";
import { type DrillReport, nextRun, type RunReport, StateFile } from "./state.ts";
import { takeSet } from "./take.ts";

type Say = (fields: Readonly<Record<string, unknown>>) => void;

/** Where the admin command finds the service; only this container has it. */
export function controlSocket({ runFolder }: Settings): string {
  return join(runFolder, "control");
}

/** Runs until the signal comes. */
export async function serve(settings: Settings, say: Say, stop: AbortSignal): Promise<void> {
  for (const name of ["sets", "wal"]) mkdirSync(join(settings.folder, name), { recursive: true, mode: 0o750 });
  const state = new StateFile(settings.folder, new Date());
  const wake = new EventTarget();
  let due = nextRun(state.value, Date.now(), settings.intervalMs, settings.firstMs);
  // A log with a gap is worth little until a set begins behind it.
  const receiver = new Receiver(settings, say, () => {
    due = Math.min(due, Date.now() + settings.firstMs);
    wake.dispatchEvent(new Event("due"));
  });
  let running: Promise<RunReport> | undefined;

  /** One at a time: whoever asks while a run is under way waits for it, and then for one that began after the question. */
  const begin = async (): Promise<RunReport> => {
    while (running !== undefined) await running.catch(() => {});
    const run = takeSet({ settings, receiver, signal: stop });
    running = run.finally(() => {
      running = undefined;
    });
    return running.then((report) => {
      state.ran(report);
      const failed = Object.values(report.stores).some((each) => "error" in each);
      say({ level: failed ? "error" : "info", what: failed ? "backup.failed" : "backup.taken", ...report });
      due = nextRun(state.value, Date.now(), settings.intervalMs, settings.firstMs);
      return report;
    });
  };

  const shown = async () =>
    metrics({
      settings,
      state: state.value,
      lag: receiver.lag,
      running: running !== undefined,
      sets: (await listSets(settings.folder)).filter(isWhole).length,
    });
  const readDirectory = directoryReader(settings);
  let asking: Promise<string> | undefined;
  /** However many ask, the servers are asked once at a time. */
  const directory = () => {
    asking ??= directoryMetrics(settings.directory, readDirectory).finally(() => {
      asking = undefined;
    });
    return asking;
  };
  const open = await listen(
    async (request) => {
      if (request.url === "/healthz") return [200, "ok\n"];
      if (request.url === "/metrics") return [200, await shown()];
      if (request.url === "/directory") return [200, await directory()];
      return [404, "/metrics, /directory or /healthz\n"];
    },
    { port: settings.port },
  );
  rmSync(controlSocket(settings), { force: true });
  const control = await listen(
    async (request) => {
      if (request.url === "/take") {
        return [200, JSON.stringify(await begin())];
      }
      if (request.url === "/drill") {
        state.drilled((await json(request)) as DrillReport);
        return [200, "noted\n"];
      }
      return [404, "/take or /drill\n"];
    },
    { path: controlSocket(settings) },
  );
  say({ level: "info", what: "backup.started", stores: settings.stores, next: new Date(due).toISOString() });

  const following = receiver.follow(stop);
  while (!stop.aborted) {
    if (Date.now() >= due && running === undefined)
      await begin().catch((error: unknown) => say({ level: "error", what: "backup.failed", error: String(error) }));
    await wakened(wake, Math.max(1000, due - Date.now()), stop);
  }
  for (const server of [open, control]) server.close();
  await Promise.all([following, running?.catch(() => {})]);
}

async function wakened(wake: EventTarget, ms: number, stop: AbortSignal): Promise<void> {
  const early = new AbortController();
  const abort = () => early.abort();
  wake.addEventListener("due", abort, { once: true });
  await delay(ms, undefined, { signal: AbortSignal.any([early.signal, stop]) }).catch(() => {});
  wake.removeEventListener("due", abort);
}

type Answer = (request: IncomingMessage) => Promise<readonly [status: number, text: string]>;

async function listen(answer: Answer, where: { port: number } | { path: string }): Promise<Server> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const reply = (status: number, text: string) =>
      response.writeHead(status, { "content-type": "text/plain; version=0.0.4" }).end(text);
    answer(request).then(
      ([status, text]) => reply(status, text),
      (error: unknown) => reply(500, `${error instanceof Error ? error.message : String(error)}\n`),
    );
  });
  // A backup takes as long as it takes.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(where, resolve));
  return server;
}
