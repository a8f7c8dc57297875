/** `meerkatctl account export` and `account import FILE`: accounts from and to other servers (XEP-0227). */
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { parseJid } from "../xmpp/jid.ts";
import { prepareScramPassword } from "../xmpp/precis.ts";
import { deriveKeys } from "../xmpp/sasl/scram-keys.ts";
import { type Options, Unfinished, UsageError } from "./command.ts";
import { openPlaces, type Place, type Places } from "./places.ts";
import { grouped } from "./table.ts";
import { PieError } from "./xep0227/credentials.ts";
import { FILE_END, FILE_START, HOST_END, hostStart, userXml } from "./xep0227/exporter.ts";
import { filesAt } from "./xep0227/files.ts";
import { Importer, type Outcome } from "./xep0227/importer.ts";
import { FileError, readPie } from "./xep0227/reader.ts";

/** What the commands say, and where an export goes that names no file. */
export interface Voice {
  /** One line for the operator. */
  say(line: string): void;
  /** Resolves when more may be written. */
  write(text: string): Promise<void>;
}

export async function importAccounts(
  path: string,
  options: Options,
  config: Config,
  { say }: Voice,
  signal: AbortSignal,
): Promise<void> {
  const places = await openPlaces(config);
  try {
    const { scram_hashes, scram_iterations, scram_offered } = config.auth;
    const importer = new Importer(
      places.place,
      {
        merge: options.merge === true,
        dryRun: options["dry-run"] === true,
        offered: scram_offered,
        signal,
        async keysOf(password) {
          const prepared = prepareScramPassword(password);
          if (prepared === undefined) throw new PieError("the password has a forbidden character, or none");
          return Promise.all(scram_hashes.map((hash) => deriveKeys(prepared, hash, scram_iterations)));
        },
      },
      {
        account: (outcome, account, details) =>
          say(`${outcome.padEnd("would be added to".length)}  ${account}${details && `  ${details}`}`),
        remark: say,
      },
    );
    await importer.run(readPie(filesAt(path)));
    summary(importer, config, say);
  } catch (error) {
    throw error instanceof FileError ? new UsageError(error.message) : error;
  } finally {
    await places.close();
  }
}

function summary({ counts, lackingKeys, faults }: Importer, config: Config, say: (line: string) => void): void {
  if (lackingKeys > 0) {
    const offered = config.auth.scram_offered.map((hash) => `"${hash}"`).join(", ");
    say(
      `${grouped(lackingKeys)} accounts have no keys for some of the mechanisms that are offered (auth.scram_offered = [${offered}]): ` +
        "clients that choose one of those cannot log in; see docs/moving.md",
    );
  }
  const outcomes: Outcome[] = ["made", "would be made", "added to", "would be added to", "there already", "failed"];
  const told = outcomes.flatMap((outcome) =>
    counts.has(outcome) ? [`${grouped(counts.get(outcome) ?? 0)} ${outcome}`] : [],
  );
  const line = told.length === 0 ? "no accounts" : told.join(", ");
  if ((counts.get("failed") ?? 0) > 0 || faults > 0) {
    throw new Unfinished(`${line}${faults === 0 ? "" : `, ${grouped(faults)} faults in the files`}`);
  }
  say(line);
}

export async function exportAccounts(
  subjects: readonly string[],
  options: Options,
  config: Config,
  voice: Voice,
  signal: AbortSignal,
): Promise<void> {
  const twice = forWhom(options.for);
  const folder = options["per-account"];
  const file = options.output;
  if (folder !== undefined && file !== undefined) throw new UsageError("either --output or --per-account");
  const places = await openPlaces(config);
  const output = typeof file === "string" ? fileOutput(file) : voice.write;
  try {
    let written = 0;
    const chosen = await domainsOf(subjects, options.domain, places);
    if (folder === undefined) await output(FILE_START);
    for (const [domain, locals] of chosen) {
      const place = await places.place(domain);
      if (folder === undefined) await output(hostStart(domain));
      for await (const local of locals ?? every(place)) {
        if (signal.aborted) throw new Unfinished(`interrupted: the export is not whole (${grouped(written)} accounts)`);
        const parts = userXml(place, local, { twice });
        if (typeof folder === "string") await writeOne(folder, domain, local, parts);
        else for await (const part of parts) await output(part);
        written++;
      }
      if (folder === undefined) await output(HOST_END);
    }
    if (folder === undefined) await output(FILE_END);
    if (folder !== undefined || file !== undefined)
      voice.say(`${grouped(written)} accounts exported to ${String(folder ?? file)}`);
  } finally {
    if (output !== voice.write) (output as FileOutput).close();
    await places.close();
  }
}

/** Which accounts of which domains; undefined for all of one. */
async function domainsOf(
  subjects: readonly string[],
  domain: Options[string],
  places: Places,
): Promise<ReadonlyMap<string, readonly string[] | undefined>> {
  if (typeof domain === "string" && subjects.length > 0) throw new UsageError("either --domain or addresses");
  if (typeof domain === "string") return new Map([[(await places.place(domain)).accounts.domain, undefined]]);
  if (subjects.length === 0) return new Map(places.domains.map((each) => [each, undefined]));
  const chosen = new Map<string, string[]>();
  for (const text of subjects) {
    const jid = parseJid(text);
    if (jid === undefined || jid.local === "" || !jid.isBare) throw new UsageError(`"${text}" is not an account's JID`);
    const { accounts } = await places.place(jid.domain);
    if (!(await accounts.exists(jid.local))) throw new UsageError(`there is no account ${jid.bare}`);
    chosen.set(jid.domain, [...(chosen.get(jid.domain) ?? []), jid.local]);
  }
  return chosen;
}

async function* every({ accounts }: Place): AsyncGenerator<string> {
  const pageSize = 500;
  for (let after = ""; ; ) {
    const page = await accounts.list(after, pageSize);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last;
  }
}

interface FileOutput {
  (text: string): Promise<void>;
  close(): void;
}

/** A file that its owner alone may read: it holds what logs people in. */
function fileOutput(path: string): FileOutput {
  const file = opened(path);
  const write = async (text: string) => {
    for (let bytes = Buffer.from(text); bytes.length > 0; ) bytes = bytes.subarray(writeSync(file, bytes));
  };
  return Object.assign(write, {
    close() {
      fsyncSync(file);
      closeSync(file);
    },
  });
}

function opened(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    throw new UsageError(`nothing is exported: ${(error as Error).message}`);
  }
}

/** As Prosody looks for them. */
async function writeOne(folder: string, domain: string, local: string, parts: AsyncIterable<string>): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const output = fileOutput(join(folder, `${local}@${domain}.xml`));
  try {
    await output(FILE_START + hostStart(domain));
    for await (const part of parts) await output(part);
    await output(HOST_END + FILE_END);
  } finally {
    output.close();
  }
}

function forWhom(server: Options[string]): boolean {
  if (server === undefined) return false;
  if (server === "ejabberd") return true;
  throw new UsageError("--for takes ejabberd, the only server that needs anything else");
}
