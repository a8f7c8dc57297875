/** One session of psql: statements in, rows out. The image needs no driver, and a script of the repository can be run as it is. */
import { type ChildProcess, spawn } from "node:child_process";
import { lastWords } from "./child.ts";

export class Psql {
  readonly #child: ChildProcess;
  readonly #words: () => string;
  readonly #ended: Promise<never>;
  #received = "";
  #arrived: () => void = () => {};
  #count = 0;

  constructor(connection: string, passFile: string) {
    const options = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", connection];
    this.#child = spawn("psql", options, { env: { ...process.env, PGPASSFILE: passFile, LC_ALL: "C.UTF-8" } });
    this.#words = lastWords(this.#child);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#received += text;
      this.#arrived();
    });
    this.#child.stdin?.on("error", () => {});
    const { promise, reject } = Promise.withResolvers<never>();
    this.#child.on("error", reject);
    this.#child.on("close", (code) => reject(new Error(`psql ended with ${code}: ${this.#words() || "no word"}`)));
    promise.catch(() => {});
    this.#ended = promise;
  }

  /** The rows of the statements, each a list of its columns as text. Rejects when one fails, and the session is over then. */
  async rows(statements: string): Promise<string[][]> {
    const end = `=== ${++this.#count} ===\n`;
    this.#child.stdin?.write(`${statements}\n\\echo ${end}`);
    while (!this.#received.endsWith(end)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#arrived = resolve;
      await Promise.race([promise, this.#ended]);
    }
    const text = this.#received.slice(0, -end.length);
    this.#received = "";
    return text.split("\n").flatMap((line) => (line === "" ? [] : [line.split("\t")]));
  }

  /** The first row. */
  async row(statements: string): Promise<string[]> {
    return (await this.rows(statements))[0] ?? [];
  }

  /** Says good-bye, which a server logs nothing of; a session that does not hear it is ended a little later. */
  close(): void {
    this.#child.stdin?.end();
    setTimeout(() => this.#child.kill(), 2000).unref();
  }
}
