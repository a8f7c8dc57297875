/**
 * Follows PostgreSQL's write-ahead log into `wal/<chain>`. A chain is a log without a gap: a new one is begun when the server is
 * another one, or no longer has, after an outage or a failover, what follows on the old one. It is of use from the next set on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { lastWords, run } from "./child.ts";
import { passFile } from "./postgres.ts";
import { Psql } from "./psql.ts";
import type { Settings } from "./settings.ts";

export const SLOT = "backup";
/** What the server says when the log cannot go on from where it ended. */
const CUT =
  /has already been removed|not in this server's history|ahead of the WAL flush position|can no longer|invalidated/;
/** How often in a row it must say so: a server that is just taking over may not know yet. */
const CUT_TIMES = 3;
const LOOK_MS = 15_000;
const CHAIN_MS = 60_000;

export interface Lag {
  /** True when the server says that somebody is following by our slot. */
  readonly receiving: boolean;
  /** Bytes of the log that the server has on its disk and we have not; undefined when the server does not answer. */
  readonly bytes: number | undefined;
}

type Say = (fields: Readonly<Record<string, unknown>>) => void;

export class Receiver {
  lag: Lag = { receiving: false, bytes: undefined };
  #chain: string | undefined;
  #child: ChildProcess | undefined;
  readonly #settings: Settings;
  readonly #say: Say;
  readonly #begun: () => void;

  /** `begun` is called when a chain is begun that no set belongs to yet. */
  constructor(settings: Settings, say: Say, begun: () => void) {
    this.#settings = settings;
    this.#say = say;
    this.#begun = begun;
  }

  /** The chain that is being written now; waits a while for it. */
  async chain(signal: AbortSignal): Promise<string> {
    const end = performance.now() + CHAIN_MS;
    for (;;) {
      await this.look();
      if (this.#chain !== undefined && this.#child !== undefined && this.lag.receiving) return this.#chain;
      if (performance.now() > end)
        throw new Error("PostgreSQL's write-ahead log is not being received; see wal.* in the log");
      await delay(500, undefined, { signal });
    }
  }

  get current(): string | undefined {
    return this.#chain;
  }

  /** Follows until the signal comes. */
  async follow(signal: AbortSignal): Promise<void> {
    const looking = this.#keepLooking(signal);
    let cuts = 0;
    let pause = 1000;
    while (!signal.aborted) {
      const began = performance.now();
      const words = await this.#receive(cuts >= CUT_TIMES, signal);
      if (signal.aborted) break;
      cuts = CUT.test(words) ? cuts + 1 : 0;
      pause = performance.now() - began > 30_000 ? 1000 : Math.min(pause * 2, 5000);
      this.#say({ level: "warn", what: "wal.interrupted", error: words, againMs: pause });
      await delay(pause, undefined, { signal }).catch(() => {});
    }
    await looking;
  }

  /** Receives until the connection ends; its last words are the answer. */
  async #receive(anew: boolean, signal: AbortSignal): Promise<string> {
    try {
      const system = await this.#system();
      const known = await readdir(join(this.#settings.folder, "wal"));
      const chain = nextChain(known, system, anew);
      if (!known.includes(chain)) {
        await mkdir(join(this.#settings.folder, "wal", chain));
        if (anew) await this.#command(["--drop-slot"]).catch(() => {});
        this.#say({ level: "info", what: "wal.chain-begun", chain });
        this.#begun();
      }
      // A server without the slot gets one. A failover has it already, where the cluster keeps it.
      await this.#command(["--create-slot", "--if-not-exists"]);
      this.#chain = chain;
      await removeHalves(join(this.#settings.folder, "wal", chain));
      return await this.#stream(chain, signal);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#child = undefined;
    }
  }

  #stream(chain: string, signal: AbortSignal): Promise<string> {
    const folder = join(this.#settings.folder, "wal", chain);
    // Written to the disk and confirmed at once: what the server may forget is safe here.
    const options = ["--slot", SLOT, "--no-loop", "--synchronous", "--status-interval=5"];
    const child = spawn("pg_receivewal", ["-d", this.#settings.postgres, "-D", folder, ...options], {
      env: { ...process.env, PGPASSFILE: passFile(this.#settings), LC_ALL: "C.UTF-8" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const words = lastWords(child);
    this.#child = child;
    const stop = () => child.kill("SIGINT");
    signal.addEventListener("abort", stop, { once: true });
    this.#say({ level: "info", what: "wal.receiving", chain });
    return new Promise((resolve) => {
      child.on("error", (error) => resolve(error.message));
      child.on("close", (code) => {
        signal.removeEventListener("abort", stop);
        resolve(words() || `pg_receivewal ended with ${code}`);
      });
    });
  }

  #command(options: readonly string[]) {
    const { postgres } = this.#settings;
    return run("pg_receivewal", ["-d", postgres, "--slot", SLOT, ...options], {
      env: { PGPASSFILE: passFile(this.#settings) },
    });
  }

  /** The number that a database server is known by from its making on. */
  async #system(): Promise<string> {
    return this.#ask((psql) => psql.row("SELECT system_identifier FROM pg_control_system();").then(([id = ""]) => id));
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await delay(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** Asks the server how far we are. */
  async look(): Promise<void> {
    try {
      const [active, bytes] = await this.#ask((psql) =>
        psql.row(
          `SELECT active, greatest(0, pg_current_wal_flush_lsn() - restart_lsn) FROM pg_replication_slots WHERE slot_name = '${SLOT}';`,
        ),
      );
      this.lag = { receiving: active === "t", bytes: bytes ? Number(bytes) : undefined };
    } catch {
      this.lag = { receiving: false, bytes: undefined };
    }
  }

  async #ask<T>(question: (psql: Psql) => Promise<T>): Promise<T> {
    const psql = new Psql(this.#settings.postgres, passFile(this.#settings));
    try {
      return await question(psql);
    } finally {
      psql.close();
    }
  }
}

/**
 * Removes segments that a full disk cut while they were made: pg_receivewal fills a segment with zeros before it writes to it, and
 * refuses to go on beside one that is not full.
 */
export async function removeHalves(folder: string, size = 16 * 1024 * 1024): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    if (name.endsWith(".partial") && (await stat(file)).size !== size) await rm(file);
  }
}

/** The chain to go on with: the newest of this server, or a new one. The first bears the server's number, the others count on. */
export function nextChain(known: readonly string[], system: string, anew: boolean): string {
  const numbers = known
    .filter((name) => name === system || name.startsWith(`${system}.`))
    .map((name) => Number(name.split(".")[1] ?? 1));
  const newest = Math.max(0, ...numbers);
  const number = newest === 0 || anew ? newest + 1 : newest;
  return number === 1 ? system : `${system}.${number}`;
}
