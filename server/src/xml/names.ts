import { notWellFormed, XmlError } from "./errors.ts";
import { OLD_LETTERS, OLD_OTHERS } from "./old-names.ts";
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

/** A name by the editions before the fifth. */
const OLD_NAME = new RegExp(`^[A-Z_a-z${OLD_LETTERS}][-.0-9A-Z_a-z${OLD_LETTERS}${OLD_OTHERS}]*$`, "u");

const EQUALS = 0x3d;
const LESS_THAN = 0x3c;
const GREATER_THAN = 0x3e;
const SLASH = 0x2f;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;

const names = new Interned<QName>(readQName, 1024, 128);
const namespaces = new Interned<string>(checkUri, 512, 256);

/** The name that begins there, which must be a QName; undefined when the text may go on with it. */
export function nameAt(text: string, from: number): QName | undefined {
  let hash = 0;
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code <= GREATER_THAN) {
      if (code <= 0x20 || code === GREATER_THAN || code === EQUALS || code === SLASH) {
        return names.at(text, from, at, hash);
      }
      if (code === LESS_THAN || code === QUOTE || code === APOSTROPHE) throw notWellFormed("a tag that is none");
    }
    hash = (Math.imul(hash, 31) + code) | 0;
  }
  return undefined;
}

/** One string for all mentions of a namespace. */
export function namespace(uri: string): string {
  const { length } = uri;
  // Namespaces have their beginnings in common, and mostly differ in length or near the end.
  const hash = Math.imul(length, 0x9e3b) ^ Math.imul(uri.charCodeAt(length - 1), 0x1f35) ^ uri.charCodeAt(length >> 1);
  return namespaces.at(uri, 0, length, hash ^ (hash >>> 9));
}

function readQName(text: string): QName {
  const match = Q_NAME.exec(text);
  if (match === null) throw notWellFormed("not a name");
  const [, prefix = "", local = ""] = match;
  // Well-formed by the fifth edition (RFC 6120's), but whoever is sent it may have to end its stream.
  if (!isOld(prefix || "_") || !isOld(local))
    throw new XmlError("policy-violation", "a name that not every reader takes");
  return { text, prefix, local };
}

function isOld(name: string): boolean {
  return /^[\0-\x7f]*$/.test(name) || OLD_NAME.test(name);
}

/**
 * No URI holds these (RFC 3986 2). Readers that join namespace and name, with a space or a brace between them, either
 * refuse such a namespace or take a part of it for the name.
 */
function checkUri(uri: string): string {
  if (/[\0-\x20"<>\\^`{|}\x7f]/.test(uri)) throw new XmlError("policy-violation", "a namespace that is no URI");
  return uri;
}
