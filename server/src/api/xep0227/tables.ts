/** The modules' stores that a file's accounts come from, or go into. */
import { privateXml } from "../../modules/private-xml.ts";
import type { Stored } from "../../modules/roster/book.ts";
import { roster } from "../../modules/roster.ts";
import { vcard } from "../../modules/vcard.ts";
import { type ArchiveStore, archive, type KeyValueStore, type MapStore, type StoreSpec } from "../../storage/specs.ts";
import type { Element } from "../../xml/element.ts";
import type { Place } from "../places.ts";

/** Those that are there; a module that the domain does not run has none. */
export interface Tables {
  readonly roster: MapStore<Stored> | undefined;
  /** By name and namespace, with a space between. */
  readonly privateXml: MapStore<string> | undefined;
  readonly vcards: KeyValueStore<Element> | undefined;
  readonly messages: ArchiveStore<string> | undefined;
}

/** As the module mam keeps them. */
const MESSAGES = archive<string>("mam", { encode: (xml) => xml, decode: (stored) => stored });

export function tablesOf({ keptBy, runs }: Place): Tables {
  const opened = <S>(module: string, spec: StoreSpec<S>) => (runs(module) ? spec.open(keptBy(spec.table)) : undefined);
  return {
    roster: opened(roster.name, roster.stores?.items as StoreSpec<MapStore<Stored>>),
    privateXml: opened(privateXml.name, privateXml.stores?.items as StoreSpec<MapStore<string>>),
    vcards: opened(vcard.name, vcard.stores?.vcards as StoreSpec<KeyValueStore<Element>>),
    messages: opened("mam", MESSAGES),
  };
}
