#!/usr/bin/env node
/** meerkatctl: what an operator does to a server from the command line, over the same functions as the server's own. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ConfigError, loadConfig } from "../config/load.ts";
import { StorageError } from "../storage/specs.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { ACCOUNT_USAGE, accountCommand, UsageError } from "./account-command.ts";

const STANDARD_INPUT = 0;

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    strict: false,
    options: { "password-file": { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  const [group, ...rest] = positionals;
  if (values.help === true) return void process.stdout.write(ACCOUNT_USAGE);
  if (group !== "account") throw new UsageError(ACCOUNT_USAGE);
  const file = values["password-file"];
  await accountCommand(rest, loadConfig(), {
    password: () => read(typeof file === "string" ? file : STANDARD_INPUT).replace(/\r?\n$/, ""),
    input: () => read(STANDARD_INPUT),
    print: (line) => void process.stdout.write(`${line}\n`),
  });
}

function read(file: string | number): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`the password cannot be read: ${(error as Error).message}`);
  }
}

/** What the operator is to read, without the stack that a bug comes with. */
const EXPECTED = [UsageError, ConfigError, StanzaError, StorageError];

try {
  await main();
} catch (error) {
  const expected = EXPECTED.some((kind) => error instanceof kind);
  const text = error instanceof Error && !expected ? error.stack : (error as Error).message;
  process.stderr.write(`${text?.trimEnd()}\n`);
  process.exitCode = 1;
}
