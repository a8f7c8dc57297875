import type { Capability, Contents, StoredRecord } from "../specs.ts";
import { checkedKind, checkedValue, positive } from "./bounds.ts";

type Of<C extends Capability> = Extract<StoredRecord, { capability: C }>;

/** The records of one capability, in any order, and the way back in. */
export interface Section<C extends Capability> {
  all(): Iterable<Of<C>>;
  put(record: Of<C>): void;
}
export type Sections = { readonly [C in Capability]?: Section<C> };

/** All that the maps of the memory driver hold. Each page is found anew among all records: it is for few of them. */
export function memoryContents(sections: Sections, limit: number): Contents {
  const section = (capability: Capability) => {
    const found = sections[capability] as Section<Capability> | undefined;
    if (found === undefined) throw new TypeError(`there are no records of ${capability}`);
    return found;
  };
  return {
    holds: Object.keys(sections) as Capability[],

    async read(capability, max, after) {
      positive("max", max, max);
      const named = [...section(capability).all()].map((record) => ({ record, name: recordName(record) }));
      const rest = named.filter(({ name }) => after === undefined || name > after);
      rest.sort((a, b) => (a.name < b.name ? -1 : 1));
      const page = rest.slice(0, max);
      return { records: page.map(({ record }) => record), next: rest.length > max ? page.at(-1)?.name : undefined };
    },

    async write(records) {
      // All are looked at before one is put, so that none is put when one cannot be.
      for (const record of records) {
        section(record.capability);
        if (record.capability !== "accounts") checkedValue(record.value, checkedKind(record.table), limit);
      }
      for (const record of records) section(record.capability).put(record);
    },
  };
}

/** What tells a record from the others of its capability. */
function recordName(record: StoredRecord): string {
  switch (record.capability) {
    case "accounts":
      return JSON.stringify([record.domain, record.local]);
    case "keyValue":
      return JSON.stringify([record.table, record.owner]);
    case "map":
      return JSON.stringify([record.table, record.owner, record.key]);
    case "archive":
    case "queue":
      return JSON.stringify([record.table, record.owner, record.id]);
    case "expiring":
      return JSON.stringify([record.table, record.key]);
  }
}
