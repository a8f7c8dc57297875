/** LDIF (RFC 2849) as far as a backup needs it: entries apart, in an order that can be loaded, and sums over them. */
import { createHash } from "node:crypto";
import type { Tables } from "./manifest.ts";

export interface Entry {
  readonly dn: string;
  /** "attribute: value" as written, the first being the dn. */
  readonly lines: readonly string[];
}

/** Made by the server when it is asked; no server takes them. */
const VIRTUAL = new Set(["entrydn", "subschemasubentry", "hassubordinates", "numsubordinates"]);
/** How far a provider is, not what it holds. */
const NOT_CONTENT = new Set(["contextcsn"]);

/** The entries of a text whose long lines may be folded. */
export function entries(text: string): Entry[] {
  return text
    .replaceAll(/\r?\n /g, "")
    .split(/\r?\n(?:\r?\n)+/)
    .flatMap((block) => {
      const lines = block
        .split(/\r?\n/)
        .filter((line) => line !== "" && !line.startsWith("#") && !line.startsWith("version:"));
      const dn = lines[0] === undefined ? undefined : split(lines[0]);
      if (dn?.name !== "dn") return [];
      return [
        {
          dn: Buffer.from(dn.value, "latin1").toString("utf8"),
          lines: lines.filter((line) => !VIRTUAL.has(split(line).name)),
        },
      ];
    });
}

/** Parents before children, as slapadd wants them; else as they come. */
export function loadable(all: readonly Entry[]): Entry[] {
  return all.toSorted((one, other) => rdns(one.dn).length - rdns(other.dn).length);
}

export function write(all: readonly Entry[]): string {
  return all.map(({ lines }) => `${lines.join("\n")}\n\n`).join("");
}

/** A count and a sum for each branch right below the base, which do not depend on the order of entries, attributes or values. */
export function sums(all: readonly Entry[], base: string): Tables {
  const depth = rdns(base).length;
  const tables = new Map<string, { rows: number; sum: bigint }>();
  for (const { dn, lines } of all) {
    const parts = rdns(dn);
    const branch = parts[parts.length - depth - 1] ?? base;
    const table = tables.get(branch) ?? { rows: 0, sum: 0n };
    const content = lines.map(split).filter(({ name }) => !NOT_CONTENT.has(name));
    const text = content
      .map(({ name, value }) => `${name}: ${value}`)
      .sort()
      .join("\n");
    const digest = createHash("sha256").update(text, "latin1").digest().readBigUInt64BE();
    tables.set(branch, { rows: table.rows + 1, sum: BigInt.asUintN(64, table.sum + digest) });
  }
  return Object.fromEntries([...tables].map(([name, { rows, sum }]) => [name, { rows, sum: sum.toString(16) }]));
}

/** The value as bytes, in latin1: one server writes base64 where another does not. */
function split(line: string): { name: string; value: string } {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon).toLowerCase();
  if (line[colon + 1] === ":")
    return { name, value: Buffer.from(line.slice(colon + 2).trim(), "base64").toString("latin1") };
  return { name, value: Buffer.from(line.slice(colon + 1).replace(/^ */, ""), "utf8").toString("latin1") };
}

/** The parts of a DN; a comma after a backslash is part of a value. */
function rdns(dn: string): string[] {
  return dn.split(/(?<!\\),/);
}
