/**
 * How many items an archive takes and how many pages it gives, for each database, as ratios within this run to the
 * database's library alone: the same statements with the same batches, texts prepared, no values encoded. Databases that
 * need a container are left out where there is no Docker. BENCH_ROWS, BENCH_PAGES and BENCH_ROUNDS change how long it takes,
 * BENCH_STORES which are measured.
 */

import { archiveId, archiveIdAt } from "../src/storage/archive-id.ts";
import type { ArchiveStore, StorageDriver } from "../src/storage/specs.ts";
import { archive } from "../src/storage/specs.ts";
import { Jid } from "../src/xmpp/jid.ts";
import { type Contender, mariadb, memory, postgres, type Raw, type Row, riak, sqlite } from "./archive/contenders.ts";

const ROWS = Number(process.env.BENCH_ROWS ?? 5_000);
const PAGES = Number(process.env.BENCH_PAGES ?? 1000);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7);
const STORES = (process.env.BENCH_STORES ?? "memory,sqlite,postgres,mariadb,riak").split(",");

const BATCH = 100;
const WRITERS = 4;
/** Appends under way at a time: what four batches hold, and as many that wait. */
const APPENDS = 800;
/** More than appends, so that none waits for another of its owner. */
const OWNERS = 2000;
const PAGE = 50;
const PAGE_READERS = 4;
/** Items of the archive that pages are read from. */
const HISTORY = 1000;
const TEXT =
  "<message to='bob@example.org' type='chat' id='m1'><body>a message of some hundred bytes, as people write them, and then a few more words to it</body><origin-id xmlns='urn:xmpp:sid:0' id='de305d54-75b4-431b-adb2-eb6b9e546013'/><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>";

const bob = new Jid("bob", "example.org", "phone");
const owners = Array.from({ length: OWNERS }, (_, n) => new Jid(`user${n}`, "example.org"));
/** As the archive of messages keeps them. */
const text = { encode: (xml: string) => xml, decode: (stored: string) => stored };
const spec = archive<string>("bench", text);

/** Milliseconds; those of this thread's work where the database is within it, so that other work on the machine does not count. */
let clock: () => number = () => performance.now();

function atWork(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Runs so many tasks, some at a time; how many a second. */
async function rate(count: number, at: number, task: (n: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const started = clock();
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(at, count) }, worker));
  return (count * 1000) / (clock() - started);
}

function appending(store: ArchiveStore<string>, count: number, many: boolean): Promise<number> {
  const ids = Array.from({ length: count }, () => archiveId());
  return rate(count, APPENDS, (n) =>
    store.append(owners[many ? n % OWNERS : 0] as Jid, { id: ids[n] as string, with: bob, value: TEXT }),
  );
}

async function writing(raw: Raw, count: number, many: boolean): Promise<number> {
  const value = TEXT;
  const batches = Array.from({ length: count / BATCH }, (_, batch) =>
    Array.from({ length: BATCH }, (_, n): Row => {
      const owner = (owners[many ? (batch * BATCH + n) % OWNERS : 0] as Jid).bare;
      return { kind: "bench", owner, id: archiveId(), with_key: bob.bare, with_full: bob.full, value };
    }),
  );
  return BATCH * (await rate(batches.length, many ? WRITERS : 1, (n) => raw.write(batches[n] as Row[])));
}

interface Figures {
  readonly single: number;
  readonly many: number;
  readonly pages: number;
}

async function measured(store: ArchiveStore<string>, ids: readonly string[]): Promise<Figures> {
  return {
    single: await appending(store, ROWS, false),
    many: await appending(store, ROWS, true),
    pages: await rate(PAGES, PAGE_READERS, (n) =>
      store.page(reader(n), { from: "newest", max: PAGE, before: ids[place(n)] }),
    ),
  };
}

async function measuredRaw(raw: Raw, ids: readonly string[]): Promise<Figures> {
  return {
    single: await writing(raw, ROWS, false),
    many: await writing(raw, ROWS, true),
    pages: await rate(PAGES, PAGE_READERS, (n) =>
      raw.page("history", reader(n).bare, ids[place(n)] as string, PAGE + 1),
    ),
  };
}

const reader = (n: number) => owners[n % 10] as Jid;
const place = (n: number) => (n * 7919) % HISTORY;

/** The archives that pages are read from: a year, an item every nine hours. */
async function fill(driver: StorageDriver): Promise<{ history: ArchiveStore<string>; ids: string[] }> {
  const history = archive<string>("history", text).open(driver) as ArchiveStore<string>;
  const start = Date.now() - 365 * 86_400_000;
  const ids = Array.from({ length: HISTORY }, (_, n) => archiveIdAt(start + n * 31_536_000));
  await rate(HISTORY * 10, APPENDS, (n) =>
    history.append(reader(n), { id: ids[Math.floor(n / 10)] as string, with: bob, value: TEXT }),
  );
  return { history, ids };
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const shown = (value: number) => Math.round(value).toLocaleString("en").padStart(9);

async function run(contender: Contender): Promise<void> {
  clock = contender.within ? atWork : () => performance.now();
  const driver = await contender.open({ batchRows: BATCH, batchWriters: WRITERS });
  const store = spec.open(driver) as ArchiveStore<string>;
  const { history, ids } = await fill(driver);
  const raw = await contender.raw?.();
  const ours: Figures[] = [];
  const alone: Figures[] = [];
  // In turns, and the first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const both = [
      async () => ours.push(await measured({ ...store, page: history.page }, ids)),
      async () => raw && alone.push(await measuredRaw(raw, ids)),
    ];
    for (const half of round % 2 === 0 ? both : both.reverse()) await half();
  }
  const single = await contender.open({ batchRows: 1, batchWriters: WRITERS });
  const oneByOne = await appending(spec.open(single) as ArchiveStore<string>, Math.ceil(ROWS / 10), true);
  const of = (figures: readonly Figures[], name: keyof Figures) => figures.slice(1).map((each) => each[name]);
  for (const [name, words] of [
    ["single", "items a second, one owner"],
    ["many", `items a second, ${OWNERS} owners`],
    ["pages", `pages a second of ${PAGE} items`],
  ] as const) {
    const mine = of(ours, name);
    const theirs = of(alone, name);
    const ratio = median(mine.map((value, n) => value / (theirs[n] ?? Number.NaN)));
    const compared = raw === undefined ? "" : `${shown(median(theirs))} alone   ${ratio.toFixed(2)}`;
    console.log(`${contender.name.padEnd(9)} ${words.padEnd(30)} ${shown(median(mine))}   ${compared}`);
  }
  if (contender.name !== "memory") {
    const times = (median(of(ours, "many")) / oneByOne).toFixed(1);
    console.log(
      `${contender.name.padEnd(9)} ${"items a second, one at a time".padEnd(30)} ${shown(oneByOne)}   batches: ${times} times`,
    );
  }
  await raw?.close();
  await single.close();
  await driver.close();
  await contender.close();
}

const contenders: Readonly<Record<string, () => Contender | Promise<Contender>>> = {
  memory,
  sqlite,
  postgres,
  mariadb,
  riak: () => riak(process.env.RIAK_URL ?? ""),
};
for (const name of STORES) {
  const open = contenders[name];
  if (open === undefined) throw new Error(`"${name}" is none of ${Object.keys(contenders).join(", ")}`);
  if (name === "riak" && !process.env.RIAK_URL) {
    console.log("riak      left out: RIAK_URL is not set");
    continue;
  }
  let contender: Contender;
  try {
    contender = await open();
  } catch (error) {
    console.log(`${name.padEnd(9)} left out: ${error instanceof Error ? error.message : String(error)}`);
    continue;
  }
  await run(contender);
}
