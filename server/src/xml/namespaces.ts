import { notWellFormed, XmlError } from "./errors.ts";

const XML = "http://www.w3.org/XML/1998/namespace";
const XMLNS = "http://www.w3.org/2000/xmlns/";

/** Which namespace each prefix means, element within element (XML-NAMES 6). */
export class NamespaceScope {
  /** The default namespace of each open element; the first is that of the outside. */
  readonly #defaults: string[] = [""];
  /** How many bindings are in force inside of each open element. */
  readonly #marks: number[] = [0];
  // A stack searched from its end: it is short, and a Map per element could be made to cost more than its bytes.
  readonly #prefixes: string[] = [];
  readonly #uris: string[] = [];

  get default(): string {
    return this.#defaults[this.#defaults.length - 1] as string;
  }

  /** How many prefixes are bound here. */
  get bindings(): number {
    return this.#prefixes.length;
  }

  /** Goes into an element whose declarations were bound since the last call. */
  enter(defaultNamespace: string): void {
    this.#defaults.push(defaultNamespace);
    this.#marks.push(this.#prefixes.length);
  }

  leave(): void {
    this.#defaults.pop();
    this.#marks.pop();
    this.rollBack();
  }

  /** Forgets what was bound for an element that was not entered. */
  rollBack(): void {
    const length = this.#marks[this.#marks.length - 1] as number;
    if (this.#prefixes.length > length) {
      this.#prefixes.length = length;
      this.#uris.length = length;
    }
  }

  clear(): void {
    this.#defaults.length = 1;
    this.#marks.length = 1;
    this.#prefixes.length = 0;
    this.#uris.length = 0;
  }

  bind(prefix: string, uri: string): void {
    // XML-NAMES 3: `xml` is bound for ever, `xmlns` cannot be declared, and only the default can be undone.
    if (prefix === "xmlns" || uri === XMLNS || (prefix === "xml") !== (uri === XML)) {
      throw notWellFormed("a reserved prefix or namespace");
    }
    if (uri === "") throw notWellFormed("a prefix without a namespace");
    const own = this.#marks[this.#marks.length - 1] as number;
    if (this.#prefixes.indexOf(prefix, own) >= 0) throw notWellFormed("a prefix declared twice");
    this.#prefixes.push(prefix);
    this.#uris.push(uri);
  }

  lookUp(prefix: string): string {
    if (prefix === "xml") return XML;
    const at = this.#prefixes.lastIndexOf(prefix);
    if (at < 0) throw notWellFormed("a prefix that is not declared");
    return this.#uris[at] as string;
  }

  /** What the element now being opened has declared so far. */
  declared(): Map<string, string> {
    const own = this.#marks[this.#marks.length - 1] as number;
    return new Map(this.#prefixes.slice(own).map((prefix, i) => [prefix, this.#uris[own + i] as string]));
  }
}

/** Checks a default namespace; "" undoes the one outside (XML-NAMES 6.2). */
export function checkDefault(uri: string): void {
  if (uri === XML || uri === XMLNS) throw notWellFormed("a reserved namespace as the default");
}

/** An element there would have to be written with its prefix, and elements here have none. */
export function checkElementPrefix(prefix: string): void {
  if (prefix === "xml" || prefix === "xmlns")
    throw new XmlError("bad-namespace-prefix", "an element in a reserved namespace");
}
