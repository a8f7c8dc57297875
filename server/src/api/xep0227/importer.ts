/** Makes the accounts of a file. What is wrong with one of them leaves the others alone. */
import { forgetAccount } from "../../module/forget.ts";
import { MODULES } from "../../modules/catalogue.ts";
import { type AccountStore, type ArchivedItem, StorageError } from "../../storage/specs.ts";
import type { Jid } from "../../xmpp/jid.ts";
import { makeJid, prepareDomain } from "../../xmpp/jid.ts";
import { prepareLocal } from "../../xmpp/precis.ts";
import type { ScramHash, ScramKeys } from "../../xmpp/sasl/scram-keys.ts";
import { Unfinished, UsageError } from "../command.ts";
import type { Place } from "../places.ts";
import { PieError } from "./credentials.ts";
import { Draft } from "./draft.ts";
import { MessageReader } from "./messages.ts";
import type { PlacedPiece } from "./reader.ts";
import { addTo, type Brought, putInto } from "./store-account.ts";
import { type Tables, tablesOf } from "./tables.ts";

export type Outcome = "made" | "would be made" | "there already" | "added to" | "would be added to" | "failed";

export interface ImportOptions {
  /** Adds to accounts that are there already what they do not have. */
  readonly merge: boolean;
  readonly dryRun: boolean;
  /** The keys that are kept of a password. Throws a PieError for one that cannot be. */
  keysOf(password: string): Promise<readonly ScramKeys[]>;
  /** Hashes whose SCRAM mechanisms are offered. */
  readonly offered: readonly ScramHash[];
  readonly signal: AbortSignal;
}

export interface ImportReport {
  account(outcome: Outcome, account: string, details: string): void;
  /** What concerns no single account, or one that has come in all the same. */
  remark(text: string): void;
}

/** Messages that are written at once, and accounts. */
const BATCH = 100;
const MAX_PENDING = 8;

interface Open {
  readonly draft: Draft;
  readonly place: Place;
  readonly tables: Tables;
  readonly present: boolean;
  readonly messages: MessageReader;
  readonly batch: ArchivedItem<string>[];
  readonly where: string;
  archived: number;
  /** Whether anything of it may be in the stores. */
  written: boolean;
  failure: string | undefined;
}

export class Importer {
  readonly counts = new Map<Outcome, number>();
  /** Accounts whose clients may ask for a mechanism that they have no keys for. */
  lackingKeys = 0;
  /** Files, hosts and accounts without a name that could not be taken. */
  faults = 0;
  readonly #foreign = new Map<string, number>();
  readonly #find: (domain: string) => Promise<Place>;
  readonly #options: ImportOptions;
  readonly #report: ImportReport;
  readonly #pending = new Set<Promise<void>>();
  /** Whose accounts are under way. */
  readonly #busy = new Set<string>();
  #stopped: { readonly error: unknown } | undefined;
  #host: { readonly domain: string; readonly place: Place } | undefined;
  #open: Open | undefined;

  constructor(find: (domain: string) => Promise<Place>, options: ImportOptions, report: ImportReport) {
    this.#find = find;
    this.#options = options;
    this.#report = report;
  }

  /** Rejects with an Unfinished when a store does not answer, or the signal is given; what was made until then stays. */
  async run(pieces: AsyncIterable<PlacedPiece>): Promise<void> {
    try {
      for await (const piece of pieces) {
        if (this.#options.signal.aborted) throw new Unfinished("interrupted; give the same command again to go on");
        await this.#take(piece);
        if (this.#stopped !== undefined) throw this.#stopped.error;
      }
      await Promise.all(this.#pending);
      if (this.#stopped !== undefined) throw this.#stopped.error;
    } catch (error) {
      if (this.#open !== undefined) await this.#undo(this.#open).catch(() => {});
      throw error;
    } finally {
      await Promise.allSettled(this.#pending);
    }
    for (const [name, times] of this.#foreign)
      this.#report.remark(`left out, as nobody here understands it: ${name} (${times} times)`);
  }

  async #take(piece: PlacedPiece): Promise<void> {
    const open = this.#open;
    const where = `${piece.place.file}, line ${piece.place.line}`;
    switch (piece.kind) {
      case "host":
        return this.#enterHost(piece.domain, where);
      case "user":
        return this.#begin(piece.name, piece.password, where);
      case "data":
        if (open !== undefined) this.#guard(open, () => open.draft.take(piece.element));
        return;
      case "archived":
        if (open !== undefined) await this.#archive(open, () => open.messages.result(piece.element));
        return;
      case "offline":
        if (open !== undefined) await this.#archive(open, () => open.messages.offline(piece.element));
        return;
      case "end":
        this.#open = undefined;
        if (open !== undefined) await this.#later(open);
        return;
      case "foreign":
        this.#note(piece.name);
        return;
      case "broken":
        if (open !== undefined) open.failure ??= `${where}: ${piece.reason}`;
        else this.#fault(`${where}: ${piece.reason}`);
    }
  }

  async #enterHost(text: string, where: string): Promise<void> {
    this.#host = undefined;
    try {
      const domain = prepareDomain(text);
      if (domain === undefined) throw new UsageError(`"${text}" is no domain`);
      this.#host = { domain, place: await this.#find(domain) };
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#fault(`${where}: ${error.message}; its accounts are left out`);
    }
  }

  async #begin(name: string, password: string | undefined, where: string): Promise<void> {
    if (this.#host === undefined) return;
    const { domain, place } = this.#host;
    const local = prepareLocal(name);
    const account = local === undefined ? undefined : makeJid(local, domain);
    if (account === undefined) return this.#fault(`${where}: "${name}" is no account's name`);
    // The file has it twice.
    if (this.#busy.has(account.bare)) await Promise.all(this.#pending);
    const present = await place.accounts.exists(account.local);
    if (present && !this.#options.merge) return this.#tell("there already", account, "");
    const tables = tablesOf(place);
    const draft = new Draft(account, password);
    const messages = new MessageReader(account);
    // Before anything is written under a name that others give.
    const failure = present || makerOf(place) !== undefined ? undefined : `${where}: ${ELSEWHERE}`;
    this.#open = { draft, place, tables, present, messages, batch: [], where, archived: 0, written: false, failure };
  }

  #guard(open: Open, run: () => void): void {
    if (open.failure !== undefined) return;
    try {
      run();
    } catch (error) {
      if (!(error instanceof PieError)) throw error;
      open.failure = `${open.where}: ${error.message}`;
    }
  }

  async #archive(open: Open, read: () => ArchivedItem<string> | undefined): Promise<void> {
    if (open.failure !== undefined) return;
    try {
      const item = read();
      if (item === undefined) return;
      open.archived++;
      if (open.tables.messages !== undefined && !this.#options.dryRun) open.batch.push(item);
    } catch (error) {
      if (!(error instanceof PieError)) throw error;
      open.draft.remark(error.message);
    }
    if (open.batch.length >= BATCH) await this.#attempt(open, () => this.#flush(open));
  }

  async #flush(open: Open): Promise<void> {
    const { draft, tables, batch } = open;
    open.written = true;
    const items = batch.splice(0);
    await Promise.all(items.map((item) => tables.messages?.append(draft.account, item)));
  }

  async #finish(open: Open): Promise<void> {
    const { draft, present, tables, place } = open;
    const { dryRun } = this.#options;
    const notes: string[] = [];
    let brought: Brought | undefined;
    let created = true;
    await this.#attempt(open, async () => {
      const keys = await this.#keysOf(open, notes);
      if (dryRun) return;
      await this.#flush(open);
      brought = await (present ? addTo : putInto)(draft, tables);
      // Last, so that an account that is there is whole.
      if (!present) created = await create(place, draft.account, keys);
    });
    if (open.failure !== undefined) {
      await this.#undo(open).catch(() => {});
      return this.#tell("failed", draft.account, open.failure);
    }
    for (const name of draft.foreign) this.#note(name);
    if (open.archived > 0 && tables.messages === undefined)
      notes.push("no archive is kept here: the messages are left out");
    for (const text of [...draft.remarks, ...notes, ...(brought?.remarks ?? [])])
      this.#report.remark(`${draft.account.bare}: ${text}`);
    if (!created) return this.#tell("there already", draft.account, "made by someone else meanwhile");
    const outcome = present ? (dryRun ? "would be added to" : "added to") : dryRun ? "would be made" : "made";
    this.#tell(outcome, draft.account, details(draft, open.archived, tables));
  }

  async #keysOf({ draft, present }: Open, notes: string[]): Promise<readonly ScramKeys[]> {
    if (present) return [];
    const keys = draft.password === undefined ? [...draft.keys.values()] : await this.#options.keysOf(draft.password);
    if (this.#options.offered.some((hash) => keys.every((each) => each.hash !== hash))) this.lackingKeys++;
    if (keys.length === 0) notes.push("it has no password: give it one, or nobody can log in");
    return keys;
  }

  /** A store that refuses one account may take the next; one that does not answer takes none. */
  async #attempt(open: Open, run: () => Promise<void>): Promise<void> {
    if (open.failure !== undefined) return;
    try {
      await run();
    } catch (error) {
      if (!(error instanceof PieError || error instanceof StorageError)) throw error;
      open.failure = `${open.where}: ${error.message}`;
      if (error instanceof StorageError && !(await open.place.healthy())) {
        throw new Unfinished(`${error.message}; give the same command again: accounts that are made stay as they are`);
      }
    }
  }

  /** Takes away what a new account has left behind. */
  async #undo({ draft, present, place, written }: Open): Promise<void> {
    if (present || !written || (await place.accounts.exists(draft.account.local))) return;
    await forgetAccount(MODULES.values(), place.keptBy, draft.account);
  }

  /** Some accounts at a time: the keys of a password take a while to make. */
  async #later(open: Open): Promise<void> {
    const { bare } = open.draft.account;
    this.#busy.add(bare);
    const settled = this.#finish(open)
      .catch((error: unknown) => {
        this.#stopped ??= { error };
      })
      .finally(() => {
        this.#pending.delete(settled);
        this.#busy.delete(bare);
      });
    this.#pending.add(settled);
    if (this.#pending.size >= MAX_PENDING) await Promise.race(this.#pending);
  }

  #tell(outcome: Outcome, account: Jid, text: string): void {
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1);
    this.#report.account(outcome, account.bare, text);
  }

  #note(name: string): void {
    if (this.#foreign.size < 1000 || this.#foreign.has(name))
      this.#foreign.set(name, (this.#foreign.get(name) ?? 0) + 1);
  }

  #fault(text: string): void {
    this.faults++;
    this.#report.remark(text);
  }
}

const ELSEWHERE = "accounts of this domain are kept elsewhere, and cannot be made here";

function makerOf({ accountStores }: Place): AccountStore | undefined {
  return accountStores.find((each) => each.create !== undefined);
}

async function create(place: Place, account: Jid, keys: readonly ScramKeys[]): Promise<boolean> {
  const store = makerOf(place);
  if (store?.create === undefined) throw new PieError(ELSEWHERE);
  return (await store.create(account, keys)) === "created";
}

function details({ contacts, privateXml, vcard }: Draft, messages: number, tables: Tables): string {
  const counted = (count: number, one: string, many: string) =>
    count === 0 ? [] : [`${count} ${count === 1 ? one : many}`];
  return [
    ...counted(contacts.size, "contact", "contacts"),
    ...counted(privateXml.size, "private element", "private elements"),
    ...(vcard === undefined || tables.vcards === undefined ? [] : ["vCard"]),
    ...counted(tables.messages === undefined ? 0 : messages, "message", "messages"),
  ].join(", ");
}
