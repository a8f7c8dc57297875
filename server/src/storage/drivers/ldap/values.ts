/** What an entry says under an attribute, whatever the case of the attribute's name and however many values it has. */
import type { Entry } from "ldapts";

type Value = string | Buffer;

export function valuesOf(entry: Entry, attribute: string): readonly Value[] {
  const wanted = attribute.toLowerCase();
  const key = Object.keys(entry).find((name) => name.toLowerCase() === wanted);
  if (key === undefined || wanted === "dn") return [];
  const values = entry[key] as Value | Value[];
  return Array.isArray(values) ? values : [values];
}

/** The values that are text which XML can carry (XML 1.0 2.2), without white space around them. */
export function textsOf(entry: Entry, attribute: string, maxBytes: number): readonly string[] {
  return valuesOf(entry, attribute)
    .filter((value) => typeof value === "string")
    .map((value) => value.toWellFormed().replace(ILLEGAL, "").trim())
    .filter((text) => text !== "" && Buffer.byteLength(text) <= maxBytes);
}

/** The values of the first of the attributes that has any. */
export function firstTexts(entry: Entry, attributes: readonly string[], maxBytes: number): readonly string[] {
  for (const attribute of attributes) {
    const texts = textsOf(entry, attribute, maxBytes);
    if (texts.length > 0) return texts;
  }
  return [];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
const ILLEGAL = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;
