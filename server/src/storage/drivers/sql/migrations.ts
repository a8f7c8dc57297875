import { CompiledQuery } from "kysely";
import type { Steps } from "./database.ts";

/** How a database spells what the tables are made of. */
export interface Spelling {
  /** Text compared and ordered by its bytes. */
  readonly text: string;
  readonly bytes: string;
  /** What follows the closing parenthesis of a table. */
  readonly tableOptions: string;
  /** Keeps other nodes' migrations out until this transaction ends; empty where beginning it does that. */
  readonly lock: string;
}

interface Migration {
  readonly name: string;
  readonly statements: (spelling: Spelling) => readonly string[];
}

/** In order and numbered from 1. Forward only: one that has been released never changes, another follows it. */
const MIGRATIONS: readonly Migration[] = [
  {
    name: "accounts, key_values, map_items",
    statements: ({ text, bytes, tableOptions }) => [
      `create table accounts (
        domain ${text} not null, local ${text} not null, primary key (domain, local)) ${tableOptions}`,
      `create table account_keys (
        domain ${text} not null, local ${text} not null, hash ${text} not null,
        salt ${bytes} not null, iterations integer not null, stored_key ${bytes} not null, server_key ${bytes} not null,
        primary key (domain, local, hash),
        foreign key (domain, local) references accounts (domain, local) on delete cascade) ${tableOptions}`,
      `create table key_values (
        kind ${text} not null, owner ${text} not null, value ${text} not null, primary key (kind, owner)) ${tableOptions}`,
      `create table map_items (
        kind ${text} not null, owner ${text} not null, key ${text} not null, long_key ${text}, value ${text} not null,
        primary key (kind, owner, key)) ${tableOptions}`,
    ],
  },
];

/**
 * Brings the tables up to date. A database that a newer server has already changed is refused with a plain Error:
 * trying again cannot help, only the newer server can.
 */
export function* migrations(spelling: Spelling): Steps<void> {
  if (spelling.lock !== "") yield CompiledQuery.raw(spelling.lock);
  yield CompiledQuery.raw(
    `create table if not exists schema_migrations (
      number integer primary key, name ${spelling.text} not null, applied_at ${spelling.text} not null)`,
  );
  const [found] = (yield CompiledQuery.raw("select max(number) as number from schema_migrations")) as [
    { number: number | null },
  ];
  const present = found.number ?? 0;
  if (present > MIGRATIONS.length) {
    throw new Error(
      `the database is at migration ${present}, this server knows ${MIGRATIONS.length}: run the newer server, ` +
        "or restore a backup made before it was upgraded",
    );
  }
  for (const [index, { name, statements }] of MIGRATIONS.entries()) {
    const number = index + 1;
    if (number <= present) continue;
    for (const statement of statements(spelling)) yield CompiledQuery.raw(statement);
    const applied = `insert into schema_migrations values (${number}, '${name}', '${new Date().toISOString()}')`;
    yield CompiledQuery.raw(applied);
  }
}
