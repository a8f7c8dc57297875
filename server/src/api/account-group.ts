/** `meerkatctl account …`, as the command line gives it. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { ACCOUNT_USAGE, accountCommand } from "./account-command.ts";
import { exportAccounts, importAccounts, type Voice } from "./account-files.ts";
import { type Group, type Options, type Terminal, UsageError } from "./command.ts";

const STANDARD_INPUT = 0;

export const accountGroup: Group = {
  usage: ACCOUNT_USAGE,
  options: {
    "password-file": { type: "string" },
    domain: { type: "string" },
    output: { type: "string" },
    "per-account": { type: "string" },
    for: { type: "string" },
    merge: { type: "boolean" },
    "dry-run": { type: "boolean" },
  },
  async run(words, options, config, interruptible) {
    const [command, ...subjects] = words;
    if (command === "export") return exportAccounts(subjects, options, config, VOICE, interruptible());
    const [file, ...more] = subjects;
    if (command !== "import" || file === undefined) return accountCommand(words, config, terminal(options));
    if (more.length > 0) throw new UsageError(ACCOUNT_USAGE);
    return importAccounts(file, options, config, VOICE, interruptible());
  },
};

const VOICE: Voice = {
  say: (line) => void process.stdout.write(`${line}\n`),
  async write(text) {
    if (!process.stdout.write(text)) await once(process.stdout, "drain");
  },
};

function terminal({ "password-file": file }: Options): Terminal {
  return {
    password: () => read(typeof file === "string" ? file : STANDARD_INPUT).replace(/\r?\n$/, ""),
    input: () => read(STANDARD_INPUT),
    print: (line) => void process.stdout.write(`${line}\n`),
  };
}

function read(file: string | number): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`the password cannot be read: ${(error as Error).message}`);
  }
}
