import assert from "node:assert/strict";
import { type Element, escapeXml, type Node } from "../../src/xml/element.ts";
import { CHECKED_BEFORE } from "../../src/xml/limits.ts";
import { parseElement, StreamParser, XmlError } from "../../src/xml/parser.ts";
import { someDocument } from "../documents.ts";
import type { Target } from "../target.ts";

/** What was read and is written reads the same, wherever it is put. */
export const element: Target = {
  name: "element",
  make: someDocument,

  check(input) {
    const read = tryParse(input);
    const streamed = inStream(input);
    if (read === undefined) return false;
    const expected = shape(read);
    // A document of its own may begin with an XML declaration, which a child of the root must not.
    if (!/^[\s\ufeff]*<\?|^\ufeff/.test(input.toString()))
      assert.deepEqual(streamed && shape(streamed), expected, "in a stream");
    for (const scope of ["", "jabber:client", "urn:x", read.xmlns]) {
      const around: string = `<w xmlns='${escapeXml(scope)}' xmlns:p='urn:other'>${read.toXml(scope)}</w>`;
      const again: readonly Node[] = parseElement(Buffer.from(around), CHECKED_BEFORE).children;
      assert.deepEqual(again.map(shape), [expected], `written for the default namespace ${JSON.stringify(scope)}`);
    }
    const copy = read.with({ from: "a'b" }).with({ from: read.attrs.from });
    assert.deepEqual(shape(parseElement(Buffer.from(copy.toXml()), CHECKED_BEFORE)), expected, "copied");
    return true;
  },
};

function tryParse(input: Buffer): Element | undefined {
  try {
    return parseElement(input);
  } catch (error) {
    if (error instanceof XmlError) return undefined;
    throw error;
  }
}

/** The first element of a stream without a default namespace. */
function inStream(input: Buffer): Element | undefined {
  const heard: Element[] = [];
  const parser = new StreamParser({ open() {}, element: (each) => void heard.push(each), close() {} });
  try {
    parser.write(Buffer.from("<r>"));
    parser.write(input);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
  }
  return heard[0];
}

type Shape = string | readonly [string, string, readonly [string, string][], readonly Shape[]];

function shape(node: Node): Shape {
  if (typeof node === "string") return node;
  return [node.name, node.xmlns, Object.entries(node.attrs).sort(), node.children.map(shape)];
}
