/** `meerkatctl account …`: makes, changes, lists and removes accounts, where the configuration says they are kept. */
import type { Accounts } from "../auth/accounts.ts";
import type { Config } from "../config/schema.ts";
import { forgetAccount } from "../module/forget.ts";
import { MODULES } from "../modules/catalogue.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { type Terminal, UsageError } from "./command.ts";
import { openPlaces, type Place } from "./places.ts";

export const ACCOUNT_USAGE = `usage: meerkatctl account COMMAND

  add JID        makes an account; says so when there is one already
  ensure JID     makes an account, or gives the one there is this password
  passwd JID     gives an account a new password
  remove JID …   removes accounts, and all that is kept under their names
  list DOMAIN    prints the accounts of a domain
  import         adds accounts from standard input: a line each, JID, space, password
  import FILE    adds accounts, with contacts, private data, vCard and messages, from a file of another
                 server (XEP-0227), and what it includes; "-" is standard input
  export [JID …] writes accounts as such a file, all of them or those named

add, ensure and passwd take the password from --password-file FILE, or from standard input.

  --dry-run          of import FILE: says what would be done, and does nothing
  --merge            of import FILE: gives accounts that are there already what they do not have
  --domain DOMAIN    of export: the accounts of this domain
  --output FILE      of export: a new file, in place of standard output
  --per-account DIR  of export: a new file for each account, as Prosody wants them
  --for ejabberd     of export: keys as ejabberd wants them

The server's configuration is the file named by MEERKAT_CONFIG.
`;

type Command = (place: Place, account: Jid, terminal: Terminal) => Promise<string>;

const COMMANDS: Readonly<Record<string, Command>> = {
  async add({ accounts }, { local, bare }, terminal) {
    const outcome = await accounts.create(local, terminal.password());
    if (outcome === "exists") throw new UsageError(`${bare} exists already`);
    return `${bare} created`;
  },
  async ensure({ accounts }, { local, bare }, terminal) {
    const wanted = terminal.password();
    if ((await accounts.create(local, wanted)) === "created") return `${bare} created`;
    await accounts.setPassword(local, wanted);
    return `${bare} has this password now`;
  },
  async passwd({ accounts }, { local, bare }, terminal) {
    if ((await accounts.setPassword(local, terminal.password())) === "missing") throw absent(bare);
    return `${bare} has a new password`;
  },
  async remove({ accounts, keptBy }, account) {
    const wasThere = await accounts.exists(account.local);
    await accounts.remove(account.local);
    if (await accounts.isKept(account.local)) {
      throw new UsageError(`${account.bare} is kept elsewhere, and can be removed there alone`);
    }
    // Also where an earlier removal was cut short.
    await forgetAccount(MODULES.values(), keptBy, account);
    if (!wasThere) throw absent(account.bare);
    return `${account.bare} removed`;
  },
};

/** Runs one command. Rejects with a UsageError, StanzaError or StorageError that the operator is to read. */
export async function accountCommand(
  [command = "", ...subjects]: readonly string[],
  config: Config,
  terminal: Terminal,
): Promise<void> {
  const run = COMMANDS[command];
  const wanted = command === "import" ? 0 : 1;
  const fits = subjects.length === wanted || (command === "remove" && subjects.length > wanted);
  if (!fits || (run === undefined && command !== "list" && command !== "import")) throw new UsageError(ACCOUNT_USAGE);
  const places = await openPlaces(config);
  const { place } = places;
  try {
    if (run !== undefined) {
      for (const account of subjects.map(accountOf)) {
        terminal.print(await run(await place(account.domain), account, terminal));
      }
    } else if (command === "list") {
      await list((await place(subjects[0] ?? "")).accounts, terminal);
    } else {
      await importAll(place, terminal);
    }
  } finally {
    await places.close();
  }
}

async function list(accounts: Accounts, { print }: Terminal): Promise<void> {
  const pageSize = 500;
  for (let after = ""; ; ) {
    const page = await accounts.list(after, pageSize);
    for (const local of page) print(`${local}@${accounts.domain}`);
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last;
  }
}

async function importAll(place: (domain: string) => Promise<Place>, terminal: Terminal): Promise<void> {
  const counts = { created: 0, exists: 0 };
  for (const line of terminal.input().split("\n")) {
    if (line.trim() === "") continue;
    const [, jid = "", password = ""] = /^(\S+) (.*?)\r?$/.exec(line) ?? [];
    // The line is not shown: it holds a password.
    if (jid === "") throw new UsageError(`line ${counts.created + counts.exists + 1} is not "JID password"`);
    const account = accountOf(jid);
    const { accounts } = await place(account.domain);
    counts[await accounts.create(account.local, password)]++;
  }
  terminal.print(`${counts.created} created, ${counts.exists} present already`);
}

function accountOf(text: string): Jid {
  const jid = parseJid(text);
  if (jid === undefined || jid.local === "" || !jid.isBare) throw new UsageError(`"${text}" is not an account's JID`);
  return jid;
}

function absent(bare: string): UsageError {
  return new UsageError(`there is no account ${bare}`);
}
