import { Jid } from "../../../xmpp/jid.ts";
import { archiveId, isArchiveId } from "../../archive-id.ts";
import type { Capability, Contents, StoredRecord } from "../../specs.ts";
import { checkedKind, checkedValue, positive } from "../bounds.ts";
import { storedJid } from "../stored-jid.ts";
import { ACCOUNT_SHAPE, ACCOUNTS, putAccount, readKeys } from "./accounts.ts";
import { ARCHIVE, ARCHIVE_SHAPE, type ArchiveDocument, itemPlace, putItem, replaced } from "./archive.ts";
import { BY_PLACE, forEach, type Ground } from "./ground.ts";
import { KEY_VALUE, putValue, VALUE_SHAPE } from "./key-value.ts";
import { changeItems } from "./map.ts";
import { MAP, mapShape } from "./map-document.ts";
import { past } from "./names.ts";
import { putWaiting, QUEUE, QUEUE_SHAPE, queuePlace } from "./queue.ts";
import { revise, seen } from "./revise.ts";
import type { Found } from "./wire.ts";

type Of<C extends Capability> = Extract<StoredRecord, { capability: C }>;

/** How one object becomes records: none for one that is gone, several for a map's. */
interface Kind {
  readonly bucket: string;
  /** Objects asked for at a time. */
  readonly page: number;
  records(found: Found): readonly StoredRecord[];
}

const KINDS: ReadonlyMap<Capability, Kind> = new Map<Capability, Kind>([
  ["accounts", { bucket: ACCOUNTS, page: 200, records: accountRecords }],
  ["keyValue", { bucket: KEY_VALUE, page: 50, records: valueRecords }],
  ["map", { bucket: MAP, page: 20, records: itemRecords }],
  ["archive", { bucket: ARCHIVE, page: 200, records: archiveRecords }],
  ["queue", { bucket: QUEUE, page: 200, records: queueRecords }],
]);

/** Before and behind all terms. */
const FIRST = "!";
const LAST = "~~";

/** A term of the index, and how many records of its object were read if there are more. */
interface Stop {
  readonly term: string;
  readonly behind?: string;
}

/** All objects, in the order of the index that each stands in. */
export function riakContents(ground: Ground): Contents {
  const { client, valueBytes } = ground;

  async function read(capability: Capability, max: number, after?: string) {
    positive("max", max, max);
    const kind = KINDS.get(capability);
    const records: StoredRecord[] = [];
    if (kind === undefined) return { records };
    let stop = after === undefined ? undefined : (JSON.parse(after) as Stop);
    for (;;) {
      const asked = Math.min(max - records.length, kind.page);
      const { entries } = await client.query(kind.bucket, BY_PLACE, [startBehind(stop), LAST], asked);
      const objects = await forEach(entries, ({ key }) => client.fetch({ bucket: kind.bucket, key }));
      for (const [index, { term }] of entries.entries()) {
        const behind = stop?.term === term ? stop.behind : undefined;
        for (const record of kind.records(objects[index] as Found)) {
          if (behind !== undefined && nameIn(record) <= behind) continue;
          if (records.length === max) return { records, next: JSON.stringify(stop) };
          records.push(record);
          stop = { term, behind: nameIn(record) };
        }
        stop = { term };
      }
      if (entries.length < asked) return { records };
      if (records.length === max) return { records, next: JSON.stringify(stop) };
    }
  }

  async function write(records: readonly StoredRecord[]): Promise<void> {
    // All are looked at before one is written.
    for (const record of records) {
      if (record.capability === "accounts") continue;
      checkedValue(record.value, checkedKind(record.table), valueBytes);
      if ("id" in record && !isArchiveId(record.id)) throw new TypeError(`"${record.id}" is no id of ${record.table}`);
    }
    // Of several of one name, the last is meant.
    const last = new Map(records.map((record) => [nameOf(record), record]));
    const maps = Map.groupBy([...last.values()].filter(isItem), ({ table, owner }) => JSON.stringify([table, owner]));
    await forEach([...last.values()], (record) => writeRecord(ground, record));
    await forEach([...maps.values()], async (items) => {
      const [{ table, owner }] = items as [Of<"map">];
      await changeItems(ground, { table, owner }, () => new Map(items.map(({ key, value }) => [key, value])));
    });
  }

  return { holds: [...KINDS.keys()], read, write };
}

/** A map's object is read again while there are records in it that were not. */
function startBehind(stop: Stop | undefined): string {
  if (stop === undefined) return FIRST;
  return stop.behind === undefined ? past(stop.term) : stop.term;
}

async function writeRecord(ground: Ground, record: StoredRecord): Promise<void> {
  switch (record.capability) {
    case "accounts":
      await putAccount(ground, new Jid(record.local, record.domain), record.keys, "replace");
      return;
    case "keyValue": {
      const { table, owner, value } = record;
      return putValue(ground, { table, owner, set: archiveId(), value });
    }
    case "archive":
      return writeArchived(ground, record);
    case "queue":
      return writeQueued(ground, record);
    default:
  }
}

async function writeArchived(ground: Ground, { table, owner, id, with: party, value }: Of<"archive">): Promise<void> {
  const { local, domain, resource } = storedJid(party);
  const document: ArchiveDocument = {
    table,
    owner,
    id,
    with: [local, domain, resource],
    version: 0,
    changes: [],
    value,
  };
  if ((await putItem(ground, document)) === "stored") return;
  await revise(ground, itemPlace(table, owner, id), ARCHIVE_SHAPE, (found, change) =>
    found?.value === value ? "as it is" : replaced(found ?? document, value, change),
  );
}

async function writeQueued(ground: Ground, { table, owner, id, value }: Of<"queue">): Promise<void> {
  if ((await putWaiting(ground, { table, owner, id, value })) === "stored") return;
  const place = queuePlace(table, owner, id);
  const present = seen(QUEUE_SHAPE, await ground.client.fetch(place));
  if (present !== undefined && present.value === value && present.taken === undefined) return;
  const { vclock } = await ground.client.fetch(place);
  const { body, indexes } = QUEUE_SHAPE.write({ table, owner, id, value });
  await ground.client.put(place, body, indexes, vclock);
}

function accountRecords(found: Found): readonly StoredRecord[] {
  const document = seen(ACCOUNT_SHAPE, found);
  if (document === undefined) return [];
  const { domain, local, keys } = document;
  return [{ capability: "accounts", domain, local, keys: keys.map(readKeys) }];
}

function valueRecords(found: Found): readonly StoredRecord[] {
  const document = seen(VALUE_SHAPE, found);
  if (document === undefined) return [];
  const { table, owner, value } = document;
  return [{ capability: "keyValue", table, owner, value }];
}

function itemRecords(found: Found): readonly StoredRecord[] {
  const document = seen(mapShape(), found);
  if (document === undefined) return [];
  const { table, owner, items } = document;
  const records = [...items].flatMap(([key, { value }]) =>
    value === undefined ? [] : [{ capability: "map" as const, table, owner, key, value }],
  );
  return records.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function archiveRecords(found: Found): readonly StoredRecord[] {
  const document = seen(ARCHIVE_SHAPE, found);
  if (document === undefined) return [];
  const { table, owner, id, with: party, value } = document;
  return [{ capability: "archive", table, owner, id, with: new Jid(...party).full, value }];
}

function queueRecords(found: Found): readonly StoredRecord[] {
  const document = seen(QUEUE_SHAPE, found);
  if (document === undefined || document.taken !== undefined) return [];
  const { table, owner, id, value } = document;
  return [{ capability: "queue", table, owner, id, value }];
}

function isItem(record: StoredRecord): record is Of<"map"> {
  return record.capability === "map";
}

/** What tells a record from the others of its object. */
function nameIn(record: StoredRecord): string {
  return record.capability === "map" ? record.key : "";
}

function nameOf(record: StoredRecord): string {
  const { capability } = record;
  if (record.capability === "accounts") return JSON.stringify([capability, record.domain, record.local]);
  const { table } = record;
  if (record.capability === "expiring") return JSON.stringify([capability, table, record.key]);
  const id = "id" in record ? record.id : nameIn(record);
  return JSON.stringify([capability, table, record.owner, id]);
}
