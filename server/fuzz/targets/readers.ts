import assert from "node:assert/strict";
import type { Element } from "../../src/xml/element.ts";
import { parseElement, XmlError } from "../../src/xml/parser.ts";
import { someDocument } from "../documents.ts";
import { expat } from "../readers/expat.ts";
import type { Form, Reader } from "../readers/form.ts";
import { ltx } from "../readers/ltx.ts";
import { ourForm } from "../readers/ours.ts";
import { xmldom } from "../readers/xmldom.ts";
import type { Target } from "../target.ts";

/**
 * No stanza can be smuggled past us: what we take, other people's readers take too, and they read the same in it, both as it
 * came and as we send it on. A stanza that a client's reader refuses would end that client's stream.
 */
export function readers(): Target {
  let all: readonly Reader[] = [];
  return {
    name: "readers",
    start() {
      all = [ltx, xmldom, expat()].filter((reader) => reader !== undefined);
    },
    make: someDocument,

    async check(input) {
      const ours = tryParse(input);
      if (ours === undefined) return false;
      const expected = ourForm(ours);
      const output = Buffer.from(ours.toXml());
      for (const reader of all) {
        if (reader.excuses(expected)) continue;
        if (!reader.outputOnly) agree(reader, await reader.read(input), expected, "as it came");
        agree(reader, await reader.read(output), expected, "as we send it on");
      }
      return true;
    },

    remarks: () => `against ${all.map(({ name }) => name).join(", ")}${all.length < 3 ? "; expat needs python3" : ""}`,
    stop() {
      for (const reader of all) reader.stop();
    },
  };
}

function tryParse(input: Buffer): Element | undefined {
  try {
    return parseElement(input);
  } catch (error) {
    if (error instanceof XmlError) return undefined;
    throw error;
  }
}

function agree(reader: Reader, theirs: Form | string, ours: Form, when: string): void {
  if (typeof theirs === "string") assert.fail(`${reader.name} refuses it ${when}: ${theirs}`);
  assert.deepEqual(theirs, ours, `${reader.name} reads it differently ${when}`);
}
