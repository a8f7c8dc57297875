import { notWellFormed } from "./errors.ts";
import { Interned } from "./strings.ts";

/** A checked name as it stands in a tag, and its two halves (XML-NAMES 4). */
export interface QName {
  readonly text: string;
  /** "" when there is none. */
  readonly prefix: string;
  readonly local: string;
}

// XML 1.0 2.3, without the colon, which XML-NAMES gives its own meaning.
const START =
  "A-Z_a-z\\u{C0}-\\u{D6}\\u{D8}-\\u{F6}\\u{F8}-\\u{2FF}\\u{370}-\\u{37D}\\u{37F}-\\u{1FFF}\\u{200C}\\u{200D}" +
  "\\u{2070}-\\u{218F}\\u{2C00}-\\u{2FEF}\\u{3001}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFFD}\\u{10000}-\\u{EFFFF}";
const NC_NAME = `[${START}][-.0-9\\u{B7}\\u{300}-\\u{36F}\\u{203F}\\u{2040}${START}]*`;
const Q_NAME = new RegExp(`^(?:(${NC_NAME}):)?(${NC_NAME})$`, "u");

const names = new Interned<QName>(readQName, 2048, 128);
const namespaces = new Interned<string>((uri) => uri, 1024, 256);

/** The name's halves; throws unless it is a QName. */
export function qname(text: string): QName {
  return names.get(text);
}

/** One string for all mentions of a namespace. */
export function namespace(uri: string): string {
  return namespaces.get(uri);
}

function readQName(text: string): QName {
  const match = Q_NAME.exec(text);
  if (match === null) throw notWellFormed("not a name");
  const [, prefix = "", local = ""] = match;
  return { text, prefix, local };
}
