/** Other programs: run with a bound on what is kept of their words, and with errors that say what they said. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";

export interface Running {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly signal?: AbortSignal | undefined;
}

/** How much of a program's standard error is kept: its last words are the ones that tell. */
const WORDS = 4000;
/** How much standard output `run` takes before it gives up. */
const OUTPUT = 64 * 1024 * 1024;

/** Runs a program to its end. Rejects with its last words when it fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: Running = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = start(command, args, options);
  let stdout = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (stdout.length > OUTPUT) child.emit("error", new Error(`${command} says more than ${OUTPUT} bytes`));
  });
  const words = lastWords(child);
  // Some say on standard output what is wrong.
  await ended(command, child, () => words() || stdout.slice(-WORDS).trim());
  return { stdout, stderr: words() };
}

/** Runs a program and keeps its standard output, compressed, in a file. */
export async function runInto(file: string, command: string, args: readonly string[], options: Running = {}) {
  const child = start(command, args, options);
  const words = lastWords(child);
  if (child.stdout === null) throw new Error(`${command} has no output`);
  const written = pipeline(child.stdout, compressor(), createWriteStream(file));
  // Whichever fails first has the reason: a full disk ends the program, a failed program ends its output in good order.
  await Promise.all([written.catch((error: unknown) => stop(child, error)), ended(command, child, words)]);
}

/** A program's standard output as it comes; ends with an error when the program fails. */
export async function* output(command: string, args: readonly string[], options: Running = {}): AsyncGenerator<string> {
  const child = start(command, args, options);
  const done = ended(command, child, lastWords(child));
  // Told when all has been read, or thrown before.
  done.catch(() => {});
  try {
    for await (const piece of (child.stdout as Readable).setEncoding("utf8")) yield piece as string;
    await done;
  } finally {
    child.kill();
  }
}

/** Zstandard at a level that a busy machine does not notice. */
export function compressor() {
  return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
}

/** The end of what a program has said on standard error, whenever it is asked. */
export function lastWords(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (more: string) => {
    text = (text + more).slice(-WORDS);
  });
  return () => text.trim();
}

function start(command: string, args: readonly string[], { env, input, signal }: Running): ChildProcess {
  const child = spawn(command, args, { env: { ...process.env, LC_ALL: "C.UTF-8", ...env }, signal });
  const stdin = child.stdin as Writable;
  // A program that does not read its input is no failure of ours.
  stdin.on("error", () => {});
  stdin.end(input ?? "");
  return child;
}

function ended(command: string, child: ChildProcess, words: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ended with ${code ?? signal}: ${words() || "no word"}`));
    });
  });
}

function stop(child: ChildProcess, error: unknown): never {
  child.kill();
  throw error;
}
