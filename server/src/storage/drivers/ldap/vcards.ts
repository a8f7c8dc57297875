import { type Codec, type KeyValueStore, ReadOnlyError } from "../../specs.ts";
import type { People } from "./people.ts";
import type { VcardReader } from "./vcard.ts";

/** The vCards of the people in a directory; what the codec reads is XML. */
export function vcards<T>(people: People, reader: VcardReader, name: string, codec: Codec<T>): KeyValueStore<T> {
  const refuse = async (): Promise<never> => {
    throw new ReadOnlyError(`${name}: a vCard is changed in the directory`);
  };
  return {
    async get(owner) {
      const entry = await people.find(owner, reader.attributes);
      return entry && codec.decode(reader.read(entry).toXml());
    },
    set: refuse,
    remove: refuse,
  };
}
