/** LDIF (RFC 2849) as far as a backup needs it: entries one by one, in an order that can be loaded, and sums over them. */
import { createHash } from "node:crypto";
import type { TableSum, Tables } from "./manifest.ts";

export interface Entry {
  readonly dn: string;
  /** "attribute: value" as written, the first being the dn. */
  readonly lines: readonly string[];
}

/** Made by the server when it is asked; no server takes them. */
const VIRTUAL = new Set(["entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"]);
/** How far a provider is, not what it holds. */
const NOT_CONTENT = new Set(["contextcsn"]);
/** An entry with a photo has a few hundred KiB. */
const ENTRY_LIMIT = 16 * 1024 * 1024;

/** The entries of a text that comes in pieces, and whose long lines may be folded. */
export async function* entriesOf(pieces: AsyncIterable<string> | Iterable<string>): AsyncGenerator<Entry> {
  let text = "";
  for await (const piece of pieces) {
    text += piece.replaceAll("\r", "");
    const end = text.lastIndexOf("\n\n");
    if (end < 0) {
      if (text.length > ENTRY_LIMIT) throw new Error(`an entry of more than ${ENTRY_LIMIT} bytes`);
      continue;
    }
    yield* blocks(text.slice(0, end));
    text = text.slice(end);
  }
  yield* blocks(text);
}

function* blocks(text: string): Generator<Entry> {
  for (const block of text.replaceAll("\n ", "").split(/\n\n+/)) {
    const lines = block.split("\n").filter((line) => line !== "" && !/^(?:#|version:)/.test(line));
    const dn = lines[0] === undefined ? undefined : split(lines[0]);
    if (dn?.name !== "dn") continue;
    const kept = lines.filter((line) => !VIRTUAL.has(split(line).name));
    yield { dn: Buffer.from(dn.value, "latin1").toString("utf8"), lines: kept };
  }
}

/** Parents before children, as slapadd wants them; an entry whose parent has not come yet waits for it. */
export async function* loadable(all: AsyncIterable<Entry>, base: string): AsyncGenerator<Entry> {
  const come = new Set<string>();
  const waiting = new Map<string, Entry[]>();
  const released = function* (entry: Entry): Generator<Entry> {
    const known = key(entry.dn);
    come.add(known);
    yield entry;
    const children = waiting.get(known) ?? [];
    waiting.delete(known);
    for (const child of children) yield* released(child);
  };
  for await (const entry of all) {
    const parent = key(rdns(entry.dn).slice(1).join(","));
    if (key(entry.dn) === key(base) || come.has(parent)) yield* released(entry);
    else waiting.set(parent, [...(waiting.get(parent) ?? []), entry]);
  }
  const [orphan] = waiting.values().next().value ?? [];
  if (orphan !== undefined) throw new Error(`${orphan.dn} has come without what is above it`);
}

export function written({ lines }: Entry): string {
  return `${lines.join("\n")}\n\n`;
}

/** A count and a sum for each branch right below the base, which do not depend on the order of entries, attributes or values. */
export class Sums {
  readonly #base: string;
  readonly #tables = new Map<string, { rows: number; sum: bigint }>();

  constructor(base: string) {
    this.#base = base;
  }

  add({ dn, lines }: Entry): void {
    const parts = rdns(dn);
    const branch = parts[parts.length - rdns(this.#base).length - 1] ?? this.#base;
    const { rows, sum } = this.#tables.get(branch) ?? { rows: 0, sum: 0n };
    const content = lines.map(split).filter(({ name }) => !NOT_CONTENT.has(name));
    const text = content.map(({ name, value }) => `${name}: ${value}`).sort();
    const digest = createHash("sha256").update(text.join("\n"), "latin1").digest().readBigUInt64BE();
    this.#tables.set(branch, { rows: rows + 1, sum: BigInt.asUintN(64, sum + digest) });
  }

  get tables(): Tables {
    const entries = [...this.#tables].map(([name, { rows, sum }]): [string, TableSum] => [
      name,
      { rows, sum: sum.toString(16) },
    ]);
    return Object.fromEntries(entries);
  }
}

export async function sums(all: AsyncIterable<Entry>, base: string): Promise<Tables> {
  const counted = new Sums(base);
  for await (const entry of all) counted.add(entry);
  return counted.tables;
}

/** The value as bytes, in latin1: one server writes base64 where another does not. */
function split(line: string): { name: string; value: string } {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon).toLowerCase();
  const base64 = line[colon + 1] === ":";
  const value = line.slice(colon + (base64 ? 2 : 1)).replace(/^ */, "");
  return { name, value: Buffer.from(value, base64 ? "base64" : "utf8").toString("latin1") };
}

/** The parts of a DN; a comma after a backslash is part of a value. */
function rdns(dn: string): string[] {
  return dn.split(/(?<!\\),/);
}

function key(dn: string): string {
  return dn.toLowerCase().replaceAll(/(?<!\\), +/g, ",");
}
