import { createHash } from "node:crypto";
import type { Capability, StoredRecord } from "../specs.ts";

/** How many records a table has, and a checksum of them that does not depend on their order. */
export interface Tally {
  readonly count: number;
  /** 128 bits, as 32 hexadecimal digits: the sum of the records' own checksums. */
  readonly sum: string;
}

export const EMPTY: Tally = { count: 0, sum: "0".repeat(32) };
const MASK = (1n << 128n) - 1n;

/** A table of one capability: "map roster", for instance, or "accounts" alone. */
export function tableOf(record: StoredRecord): string {
  return record.capability === "accounts" ? "accounts" : `${record.capability} ${record.table}`;
}

export function capabilityOf(table: string): Capability {
  return table.split(" ")[0] as Capability;
}

/** Tallies by table, of records as they come. */
export class Tallies {
  readonly #tables: Map<string, { count: number; sum: bigint }>;

  constructor(tallies: Readonly<Record<string, Tally>> = {}) {
    this.#tables = new Map(
      Object.entries(tallies).map(([table, { count, sum }]) => [table, { count, sum: BigInt(`0x${sum}`) }]),
    );
  }

  add(record: StoredRecord): void {
    const table = tableOf(record);
    let kept = this.#tables.get(table);
    if (kept === undefined) {
      kept = { count: 0, sum: 0n };
      this.#tables.set(table, kept);
    }
    kept.count++;
    kept.sum = (kept.sum + checksum(record)) & MASK;
  }

  toJSON(): Record<string, Tally> {
    return Object.fromEntries(
      [...this.#tables].map(([table, { count, sum }]) => [table, { count, sum: sum.toString(16).padStart(32, "0") }]),
    );
  }
}

/** A sum, unlike an exclusive or, notices a record that is there twice. */
function checksum(record: StoredRecord): bigint {
  const digest = createHash("sha256")
    .update(JSON.stringify(fields(record)))
    .digest();
  return (digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8);
}

/** What makes a record what it is, alike from every driver. */
function fields(record: StoredRecord): readonly unknown[] {
  switch (record.capability) {
    case "accounts":
      return [record.domain, record.local, ...keyTexts(record)];
    case "keyValue":
      return [record.table, record.owner, record.value];
    case "map":
      return [record.table, record.owner, record.key, record.value];
    case "archive":
      return [record.table, record.owner, record.id, record.with, record.value];
    case "queue":
      return [record.table, record.owner, record.id, record.value];
    case "expiring":
      return [record.table, record.key, record.value, record.expires];
  }
}

function keyTexts({ keys }: Extract<StoredRecord, { capability: "accounts" }>): string[] {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return keys
    .map(({ hash, salt, iterations, storedKey, serverKey }) =>
      [hash, iterations, base64(salt), base64(storedKey), base64(serverKey)].join(" "),
    )
    .sort();
}
