import { isSpace, resolveReferences } from "./characters.ts";
import type { Attrs } from "./element.ts";
import { newAttrs } from "./element.ts";
import { notWellFormed, XmlError } from "./errors.ts";
import type { XmlLimits } from "./limits.ts";
import { nameAt, namespace, type QName } from "./names.ts";
import { checkDefault, checkElementPrefix, type NamespaceScope } from "./namespaces.ts";

const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const LESS_THAN = 0x3c;
const EQUALS = 0x3d;
const GREATER_THAN = 0x3e;

/** Shared by the many elements that have none. */
const NO_ATTRS: Attrs = Object.freeze(newAttrs());

/** Reads start tags and empty-element tags (XML 1.0 3.1). What it read last is in its fields. */
export class StartTagReader {
  name: QName = { text: "", prefix: "", local: "" };
  xmlns = "";
  attrs: Attrs = NO_ATTRS;
  /** The default namespace inside of the element. */
  defaultNamespace = "";
  declaresDefault = false;
  empty = false;
  readonly #scope: NamespaceScope;
  #attributes = 0;
  #prefixed: QName[] | undefined = undefined;

  constructor(scope: NamespaceScope) {
    this.#scope = scope;
  }

  /**
   * Reads the tag whose `<` is at `start`, and binds what it declares in the scope.
   * Returns where the tag ends, or -1 when the text ends first; then nothing stays bound.
   */
  read(text: string, start: number, limits: XmlLimits, controls: boolean): number {
    const name = nameAt(text, start + 1);
    if (name === undefined) return -1;
    this.name = name;
    this.attrs = NO_ATTRS;
    this.defaultNamespace = this.#scope.default;
    this.declaresDefault = false;
    this.#attributes = 0;
    this.#prefixed = undefined;
    const end = this.#readAttributes(text, start + 1 + name.text.length, limits, controls);
    if (end < 0) {
      this.#scope.rollBack();
      return -1;
    }
    if (this.#prefixed !== undefined) this.#resolvePrefixed(this.#prefixed);
    if (this.name.prefix === "") {
      this.xmlns = this.defaultNamespace;
    } else {
      checkElementPrefix(this.name.prefix);
      this.xmlns = this.#scope.lookUp(this.name.prefix);
    }
    return end;
  }

  #readAttributes(text: string, from: number, limits: XmlLimits, controls: boolean): number {
    let at = from;
    for (;;) {
      const next = skipSpace(text, at);
      if (next === text.length) return -1;
      const code = text.charCodeAt(next);
      if (code === GREATER_THAN) {
        this.empty = false;
        return next + 1;
      }
      if (code === SLASH) {
        if (next + 1 === text.length) return -1;
        if (text.charCodeAt(next + 1) !== GREATER_THAN) throw notWellFormed("a slash inside a tag");
        this.empty = true;
        return next + 2;
      }
      if (next === at) throw notWellFormed("no space before an attribute");
      at = this.#readAttribute(text, next, limits, controls);
      if (at < 0) return -1;
    }
  }

  #readAttribute(text: string, start: number, limits: XmlLimits, controls: boolean): number {
    const name = nameAt(text, start);
    if (name === undefined) return -1;
    // Space around the equals sign is rare.
    let equals = start + name.text.length;
    if (text.charCodeAt(equals) !== EQUALS) equals = skipSpace(text, equals);
    if (equals === text.length) return -1;
    if (text.charCodeAt(equals) !== EQUALS) throw notWellFormed("an attribute without a value");
    let open = equals + 1;
    if (text.charCodeAt(open) <= 0x20) open = skipSpace(text, open);
    if (open === text.length) return -1;
    const quote = text.charCodeAt(open);
    if (quote !== QUOTE && quote !== APOSTROPHE) throw notWellFormed("an attribute value without quotes");
    const close = text.indexOf(quote === QUOTE ? '"' : "'", open + 1);
    if (close < 0) return -1;
    if (++this.#attributes > limits.maxAttributes) throw new XmlError("policy-violation", "too many attributes");
    this.#add(name, readValue(text.slice(open + 1, close), controls), limits);
    return close + 1;
  }

  #add(name: QName, value: string, limits: XmlLimits): void {
    if (name.prefix === "") {
      if (name.local === "xmlns") this.#declareDefault(value);
      else this.#set(name.local, value);
    } else if (name.prefix === "xmlns") {
      if (this.#scope.bindings >= limits.maxAttributes) throw new XmlError("policy-violation", "too many prefixes");
      this.#scope.bind(name.local, namespace(value));
    } else {
      this.#set(name.text, value);
      this.#prefixed ??= [];
      this.#prefixed.push(name);
    }
  }

  #set(key: string, value: string): void {
    if (this.attrs === NO_ATTRS) this.attrs = newAttrs();
    if (this.attrs[key] !== undefined) throw notWellFormed("an attribute given twice");
    (this.attrs as Record<string, string>)[key] = value;
  }

  #declareDefault(uri: string): void {
    if (this.declaresDefault) throw notWellFormed("the default namespace declared twice");
    checkDefault(uri);
    this.declaresDefault = true;
    this.defaultNamespace = namespace(uri);
  }

  /** A prefixed attribute keeps its key, so the element must carry the declaration wherever it is put. */
  #resolvePrefixed(names: readonly QName[]): void {
    const uris = names.map((name) => this.#scope.lookUp(name.prefix));
    names.forEach((name, i) => {
      // XML-NAMES 6.3: two prefixes of one namespace do not make two names.
      const twin = names.findIndex((other, j) => other.local === name.local && uris[j] === uris[i]);
      if (twin !== i) throw notWellFormed("an attribute given twice");
      if (name.prefix !== "xml") (this.attrs as Record<string, string>)[`xmlns:${name.prefix}`] = uris[i] as string;
    });
  }
}

/** XML 1.0 3.3.3: a literal tab or line end in a value reads as a space; one that was referred to stays. */
function readValue(raw: string, controls: boolean): string {
  if (raw.includes("<")) throw notWellFormed("a `<` in an attribute value");
  return resolveReferences(controls ? raw.replace(/[\t\n]/g, " ") : raw);
}

export function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Finds the end of a tag that comes in pieces, so that each piece is looked at once. */
export class TagEndFinder {
  #quote = 0;
  #valueDue = false;

  reset(): void {
    this.#quote = 0;
    this.#valueDue = false;
  }

  /** The index after the tag's `>`, or -1 when it is not in this piece. */
  find(piece: string, from: number): number {
    let at = from;
    while (at < piece.length) {
      if (this.#quote !== 0) {
        const close = piece.indexOf(this.#quote === QUOTE ? '"' : "'", at);
        if (close < 0) return -1;
        this.#quote = 0;
        at = close + 1;
        continue;
      }
      const code = piece.charCodeAt(at++);
      if (code === GREATER_THAN) return at;
      if (code === LESS_THAN) throw notWellFormed("a `<` inside a tag");
      if (code === QUOTE || code === APOSTROPHE) {
        if (!this.#valueDue) throw notWellFormed("a quote where no value is due");
        this.#quote = code;
        this.#valueDue = false;
      } else if (code === EQUALS) this.#valueDue = true;
      else if (!isSpace(code)) this.#valueDue = false;
    }
    return -1;
  }
}
