import { CompiledQuery } from "kysely";
import type { Steps } from "./database.ts";

/** How a database spells what the tables are made of. */
export interface Spelling {
  /** Text compared and ordered by its bytes. */
  readonly text: string;
  /** The same, where it stands in an index, of at most so many bytes. */
  readonly key: (bytes: number) => string;
  /** Whole numbers of 64 bits. */
  readonly integer: string;
  readonly bytes: string;
  /** What follows the closing parenthesis of a table. */
  readonly tableOptions: string;
  /** Keeps other nodes' migrations out until this transaction ends; empty where beginning it does that. */
  readonly lock: string;
  /** What follows the options of the table of archives, so that it is kept in parts by the time of its items. */
  readonly archiveParts: string;
}

/** Bytes of what stands in indexes: a kind, a bare JID (RFC 7622 3.1: 1023 bytes each part), a part or key of any text, an archive id. */
const KIND = 63;
const OWNER = 2047;
const PART = 1023;
const KEY = 255;
const ID = 24;

interface Migration {
  readonly name: string;
  readonly statements: (spelling: Spelling) => readonly string[];
}

/** In order and numbered from 1. Forward only: one that has been released never changes, another follows it. */
const MIGRATIONS: readonly Migration[] = [
  {
    name: "accounts, key_values, map_items",
    statements: ({ text, key, bytes, tableOptions }) => [
      `create table accounts (
        domain ${key(PART)} not null, local ${key(PART)} not null, primary key (domain, local)) ${tableOptions}`,
      `create table account_keys (
        domain ${key(PART)} not null, local ${key(PART)} not null, hash ${key(KIND)} not null,
        salt ${bytes} not null, iterations integer not null, stored_key ${bytes} not null, server_key ${bytes} not null,
        primary key (domain, local, hash),
        foreign key (domain, local) references accounts (domain, local) on delete cascade) ${tableOptions}`,
      `create table key_values (
        kind ${key(KIND)} not null, owner ${key(OWNER)} not null, value ${text} not null,
        primary key (kind, owner)) ${tableOptions}`,
      `create table map_items (
        kind ${key(KIND)} not null, owner ${key(OWNER)} not null, key ${key(KEY)} not null, long_key ${text},
        value ${text} not null, primary key (kind, owner, key)) ${tableOptions}`,
    ],
  },
  {
    name: "archive_items, queue_items, expiring_items",
    statements: ({ text, key, integer, tableOptions, archiveParts }) => [
      `create table archive_items (
        kind ${key(KIND)} not null, owner ${key(OWNER)} not null, id ${key(ID)} not null,
        with_key ${key(KEY)} not null, with_full ${text} not null, value ${text} not null,
        primary key (kind, owner, id)) ${tableOptions} ${archiveParts}`,
      "create index archive_items_with on archive_items (kind, owner, with_key, id)",
      `create table queue_items (
        kind ${key(KIND)} not null, owner ${key(OWNER)} not null, id ${key(ID)} not null, value ${text} not null,
        primary key (kind, owner, id)) ${tableOptions}`,
      `create table expiring_items (
        kind ${key(KIND)} not null, key ${key(KEY)} not null, long_key ${text}, value ${text} not null,
        expires ${integer} not null, primary key (kind, key)) ${tableOptions}`,
      "create index expiring_items_expires on expiring_items (expires)",
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
