import { CompiledQuery } from "kysely";
import type { Steps } from "./database.ts";

/** How a database spells what the tables are made of. */
export interface Spelling {
  /** Text of any length. Of MySQL's, trailing spaces do not count in comparisons. */
  readonly text: string;
  /** Text of at most so many bytes, compared and ordered by them: what stands in an index or is compared. */
  readonly key: (bytes: number) => string;
  /** Whole numbers of 64 bits. */
  readonly integer: string;
  readonly bytes: string;
  /** How a name is quoted that is a word of SQL: `key`, to MySQL. */
  readonly quote: (name: string) => string;
  /**
   * Whether a change of tables commits by itself. Then a start that died half-way through a migration is mended by the next,
   * which repeats it from its beginning: what is there already must do no harm.
   */
  readonly changesCommit: boolean;
  /** What follows the closing parenthesis of a table. */
  readonly tableOptions: string;
  /** Keeps other nodes' migrations out until this transaction ends; empty where beginning it does that. */
  readonly lock: string;
  /** The same of the table of archives, where it is kept otherwise: in parts by the time of its items, for instance. */
  readonly archiveOptions?: string;
}

/** Bytes of what stands in indexes: a kind, a bare JID (RFC 7622 3.1: 1023 bytes each part), a part or key of any text, an archive id. */
const KIND = 63;
const OWNER = 2047;
const PART = 1023;
const KEY = 255;
const ID = 24;
/** A full JID. */
const ADDRESS = 3071;

interface Migration {
  readonly name: string;
  readonly statements: (spelling: Spelling) => readonly string[];
}

/** In order and numbered from 1. Forward only: one that has been released never changes, another follows it. */
const MIGRATIONS: readonly Migration[] = [
  {
    name: "accounts, key_values, map_items",
    statements: (spelling) => {
      const { text, key, quote, bytes } = spelling;
      return [
        ...table(
          spelling,
          "accounts",
          `domain ${key(PART)} not null, local ${key(PART)} not null, primary key (domain, local)`,
        ),
        ...table(
          spelling,
          "account_keys",
          `domain ${key(PART)} not null, local ${key(PART)} not null, hash ${key(KIND)} not null,
          salt ${bytes} not null, iterations integer not null, stored_key ${bytes} not null, server_key ${bytes} not null,
          primary key (domain, local, hash),
          foreign key (domain, local) references accounts (domain, local) on delete cascade`,
        ),
        ...table(
          spelling,
          "key_values",
          `kind ${key(KIND)} not null, owner ${key(OWNER)} not null, value ${text} not null, primary key (kind, owner)`,
        ),
        ...table(
          spelling,
          "map_items",
          `kind ${key(KIND)} not null, owner ${key(OWNER)} not null, ${quote("key")} ${key(KEY)} not null, long_key ${text},
          value ${text} not null, primary key (kind, owner, ${quote("key")})`,
        ),
      ];
    },
  },
  {
    name: "archive_items, queue_items, queue_locks, expiring_items",
    statements: (spelling) => {
      const { text, key, quote, integer, archiveOptions } = spelling;
      return [
        ...table(
          spelling,
          "archive_items",
          `kind ${key(KIND)} not null, owner ${key(OWNER)} not null, id ${key(ID)} not null,
          with_key ${key(KEY)} not null, with_full ${key(ADDRESS)} not null, value ${text} not null,
          primary key (kind, owner, id)`,
          { archive_items_with: "kind, owner, with_key, id" },
          archiveOptions,
        ),
        ...table(
          spelling,
          "queue_items",
          `kind ${key(KIND)} not null, owner ${key(OWNER)} not null, id ${key(ID)} not null, value ${text} not null,
          primary key (kind, owner, id)`,
        ),
        ...table(spelling, "queue_locks", "number integer not null primary key"),
        ...table(
          spelling,
          "expiring_items",
          `kind ${key(KIND)} not null, ${quote("key")} ${key(KEY)} not null, long_key ${text}, value ${text} not null,
          expires ${integer} not null, primary key (kind, ${quote("key")})`,
          { expiring_items_expires: "expires" },
        ),
      ];
    },
  },
];

/** A table, and its indexes: apart from it, or where changes commit one by one, within its own statement. */
function table(
  { changesCommit, tableOptions }: Spelling,
  name: string,
  columns: string,
  indexes: Readonly<Record<string, string>> = {},
  options = tableOptions,
): readonly string[] {
  const each = Object.entries(indexes);
  if (changesCommit) {
    const within = each.map(([index, of]) => `, index ${index} (${of})`).join("");
    return [`create table if not exists ${name} (${columns}${within}) ${options}`];
  }
  return [
    `create table ${name} (${columns}) ${options}`,
    ...each.map(([index, of]) => `create index ${index} on ${name} (${of})`),
  ];
}

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
