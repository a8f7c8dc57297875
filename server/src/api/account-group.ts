/** `meerkatctl account …`, as the command line gives it. */
import { readFileSync } from "node:fs";
import { ACCOUNT_USAGE, accountCommand } from "./account-command.ts";
import { type Group, type Options, type Terminal, UsageError } from "./command.ts";

const STANDARD_INPUT = 0;

export const accountGroup: Group = {
  usage: ACCOUNT_USAGE,
  options: { "password-file": { type: "string" } },
  run: (words, options, config) => accountCommand(words, config, terminal(options)),
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
