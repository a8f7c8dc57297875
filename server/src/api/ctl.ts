#!/usr/bin/env node
/** meerkatctl: what an operator does to a server from the command line, over the same functions as the server's own. */
import { readFileSync } from "node:fs";
import type { Accounts } from "../auth/accounts.ts";
import { closeDrivers, openAccounts, openDrivers } from "../auth/stores.ts";
import { ConfigError, loadConfig } from "../config/load.ts";
import { forgetAccount } from "../module/forget.ts";
import { MODULES } from "../modules/catalogue.ts";
import { silentLog } from "../observe/log.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { Jid, parseJid } from "../xmpp/jid.ts";

const USAGE = `usage: meerkatctl account COMMAND

  add JID        makes an account; says so when there is one already
  ensure JID     makes an account, or gives the one there is this password
  passwd JID     gives an account a new password
  remove JID     removes an account, and all that is kept under its name
  list DOMAIN    prints the accounts of a domain
  import         adds accounts from standard input: a line each, JID, space, password

add, ensure and passwd take the password from --password-file FILE, or from standard input.
The server's configuration is the file named by MEERKAT_CONFIG.
`;

class UsageError extends Error {}

type Command = (accounts: Accounts, local: string, forget: (account: Jid) => Promise<void>) => Promise<string>;

const COMMANDS: Readonly<Record<string, Command>> = {
  async add(accounts, local) {
    const outcome = await accounts.create(local, password());
    if (outcome === "exists") throw new UsageError(`${local}@${accounts.domain} exists already`);
    return `${local}@${accounts.domain} created`;
  },
  async ensure(accounts, local) {
    const wanted = password();
    if ((await accounts.create(local, wanted)) === "created") return `${local}@${accounts.domain} created`;
    await accounts.setPassword(local, wanted);
    return `${local}@${accounts.domain} has this password now`;
  },
  async passwd(accounts, local) {
    if ((await accounts.setPassword(local, password())) === "missing") throw new UsageError("there is no such account");
    return `${local}@${accounts.domain} has a new password`;
  },
  async remove(accounts, local, forget) {
    if (!(await accounts.exists(local))) throw new UsageError("there is no such account");
    await accounts.remove(local);
    await forget(new Jid(local, accounts.domain));
    return `${local}@${accounts.domain} removed`;
  },
};

async function main([group, command = "", subject = ""]: readonly string[]): Promise<void> {
  if (group !== "account") throw new UsageError(USAGE);
  const config = loadConfig();
  const drivers = await openDrivers(config, silentLog);
  try {
    for (const driver of drivers.values()) await driver.migrate();
    const accounts = openAccounts(config, drivers);
    if (command === "list") await list(served(accounts, subject));
    else if (command === "import") await importAll(accounts);
    else {
      const run = COMMANDS[command];
      const jid = parseJid(subject);
      if (run === undefined || subject === "") throw new UsageError(USAGE);
      if (jid === undefined || jid.local === "" || !jid.isBare)
        throw new UsageError(`"${subject}" is not an account's JID`);
      const type = config.host_types[config.hosts.find(({ domain }) => domain === jid.domain)?.type ?? ""];
      const driver = drivers.get(type?.storage ?? "");
      const forget = async (account: Jid) => {
        if (driver !== undefined) await forgetAccount(MODULES.values(), driver, account);
      };
      print(await run(served(accounts, jid.domain), jid.local, forget));
    }
  } finally {
    await closeDrivers(drivers);
  }
}

async function list(accounts: Accounts): Promise<void> {
  for (let after = ""; ; ) {
    const page = await accounts.list(after, 500);
    for (const local of page) print(`${local}@${accounts.domain}`);
    if (page.length < 500) return;
    after = page.at(-1) as string;
  }
}

async function importAll(accounts: ReadonlyMap<string, Accounts>): Promise<void> {
  let created = 0;
  let present = 0;
  for (const line of readFileSync(0, "utf8").split("\n")) {
    if (line.trim() === "") continue;
    const space = line.indexOf(" ");
    const jid = parseJid(line.slice(0, space));
    if (space < 1 || jid === undefined || jid.local === "")
      throw new UsageError(`not "JID password": ${line.slice(0, space)}`);
    const outcome = await served(accounts, jid.domain).create(jid.local, line.slice(space + 1).trimEnd());
    if (outcome === "created") created++;
    else present++;
  }
  print(`${created} created, ${present} present already`);
}

function served(accounts: ReadonlyMap<string, Accounts>, domain: string): Accounts {
  const found = accounts.get(domain);
  if (found === undefined)
    throw new UsageError(`"${domain}" is not served here; there are ${[...accounts.keys()].join(", ")}`);
  return found;
}

function password(): string {
  const flag = process.argv.indexOf("--password-file");
  const file = flag === -1 ? "standard input" : (process.argv[flag + 1] ?? "");
  try {
    return readFileSync(flag === -1 ? 0 : file, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new UsageError(`the password cannot be read from ${file}: ${(error as Error).message}`);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  await main(
    process.argv.slice(2).filter((word, i, words) => word !== "--password-file" && words[i - 1] !== "--password-file"),
  );
} catch (error) {
  const expected = error instanceof UsageError || error instanceof StanzaError || error instanceof ConfigError;
  process.stderr.write(`${expected ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`);
  process.exitCode = 1;
}
