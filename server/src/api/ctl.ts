#!/usr/bin/env node
/** meerkatctl: what an operator does to a server from the command line, over the same functions as the server's own. */
import { parseArgs } from "node:util";
import { ConfigError, loadConfig } from "../config/load.ts";
import { StorageError } from "../storage/specs.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { accountGroup } from "./account-group.ts";
import { type Group, Unfinished, UsageError } from "./command.ts";
import { storageGroup } from "./storage-command.ts";

const GROUPS: Readonly<Record<string, Group>> = { account: accountGroup, storage: storageGroup };

const USAGE = `usage: meerkatctl GROUP COMMAND …

  account  makes, changes, lists and removes accounts, and moves them between servers
  storage  copies from one store into another

meerkatctl GROUP --help tells the commands of a group.
`;

async function main(words: readonly string[]): Promise<void> {
  const [name = "", ...rest] = words;
  const group = Object.hasOwn(GROUPS, name) ? GROUPS[name] : undefined;
  if (group === undefined) {
    if (name === "--help" || name === "-h") return void process.stdout.write(USAGE);
    throw new UsageError(USAGE);
  }
  const { positionals, values } = parsed(rest, group);
  if (values.help === true) return void process.stdout.write(group.usage);
  await group.run(positionals, values, loadConfig(), interruptible);
}

function parsed(args: readonly string[], group: Group) {
  const help = { type: "boolean", short: "h" } as const;
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: { ...group.options, help } });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${group.usage}`);
  }
}

/** Given at the first Ctrl-C, so that a command ends where it can go on from; the second ends it as usual. */
function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

/** What the operator is to read, without the stack that a bug comes with. */
const EXPECTED = [UsageError, Unfinished, ConfigError, StanzaError, StorageError];

try {
  await main(process.argv.slice(2));
} catch (error) {
  const expected = EXPECTED.some((kind) => error instanceof kind);
  const text = error instanceof Error && !expected ? error.stack : (error as Error).message;
  process.stderr.write(`${text?.trimEnd()}\n`);
  process.exitCode = 1;
}
