import { putTogether } from "./strings.ts";

export type Node = Element | string;
export type Attrs = Readonly<Record<string, string>>;

/** Written children, and whether that is one piece yet. */
interface Inner {
  xml: string | undefined;
  flat: boolean;
}

/**
 * One XML element. Never changed once made: a change makes a new root over the same children.
 * `attrs` inherits nothing; a prefixed attribute keeps its prefix, and then the element also carries `xmlns:prefix`.
 */
export class Element {
  readonly name: string;
  readonly xmlns: string;
  readonly attrs: Attrs;
  readonly children: readonly Node[];
  /** Shared by all copies over the same children. */
  #inner: Inner | undefined;

  constructor(name: string, xmlns: string, attrs: Attrs, children: readonly Node[]) {
    this.name = name;
    this.xmlns = xmlns;
    this.attrs = attrs;
    this.children = children;
    this.#inner = undefined;
  }

  child(name: string, xmlns = this.xmlns): Element | undefined {
    for (const node of this.children) {
      if (typeof node !== "string" && node.name === name && node.xmlns === xmlns) return node;
    }
    return undefined;
  }

  /** The child elements, without the text between them. */
  elements(): Element[] {
    return this.children.filter((node) => typeof node !== "string");
  }

  text(): string {
    return this.children.filter((node) => typeof node === "string").join("");
  }

  childText(name: string, xmlns = this.xmlns): string {
    return this.child(name, xmlns)?.text() ?? "";
  }

  /** The same element under other attributes (`undefined` takes one away); children and their cached text are shared. */
  with(changes: Readonly<Record<string, string | undefined>>): Element {
    let attrs = copyOf(this.attrs);
    for (const key in changes) {
      const value = changes[key];
      if (value !== undefined) attrs[key] = value;
      else if (attrs[key] !== undefined) attrs = copyOf(attrs, key);
    }
    const copy = new Element(this.name, this.xmlns, attrs, this.children);
    this.#inner ??= { xml: undefined, flat: false };
    copy.#inner = this.#inner;
    return copy;
  }

  /** The same element over other children. */
  withChildren(children: readonly Node[]): Element {
    return new Element(this.name, this.xmlns, this.attrs, children);
  }

  /** The children serialised, for a place where this element's namespace is the default; made once for all copies. */
  innerXml(): string {
    this.#inner ??= { xml: undefined, flat: false };
    const inner = this.#inner;
    if (inner.xml === undefined) inner.xml = this.#joined();
    else if (!inner.flat) {
      // Else each copy would be joined from all the pieces anew.
      putTogether(inner.xml);
      inner.flat = true;
    }
    return inner.xml;
  }

  /** Serialised for a place where `scope` is the default namespace; the element declares its own where it differs. */
  toXml(scope = ""): string {
    return this.#around(this.innerXml(), scope);
  }

  #joined(): string {
    let xml = "";
    for (const node of this.children) {
      if (typeof node === "string") xml += escapeText(node);
      else xml += node.#around(node.#inner?.xml ?? node.#joined(), this.xmlns);
    }
    return xml;
  }

  #around(inner: string, scope: string): string {
    let open = `<${this.name}`;
    if (this.xmlns !== scope) open += ` xmlns='${escapeXml(this.xmlns)}'`;
    for (const key in this.attrs) open += ` ${key}='${escapeXml(this.attrs[key] as string)}'`;
    return inner === "" ? `${open}/>` : `${open}>${inner}</${this.name}>`;
  }
}

/** Makes an element; empty strings among the children are left out. */
export function element(name: string, xmlns: string, attrs: Attrs = {}, ...children: Node[]): Element {
  return new Element(
    name,
    xmlns,
    attrs,
    children.filter((node) => node !== ""),
  );
}

// `Object.create(null)` makes a hash table, three times as dear as an object whose only ancestor is one.
function Bare(): void {}
Bare.prototype = Object.create(null);
const BareAttrs = Bare as unknown as new () => Record<string, string>;

/** An empty set of attributes: nothing is inherited, so that any name, `__proto__` too, is just a key. */
export function newAttrs(): Record<string, string> {
  return new BareAttrs();
}

function copyOf(attrs: Attrs, except?: string): Record<string, string> {
  const copy = newAttrs();
  for (const key in attrs) if (key !== except) copy[key] = attrs[key] as string;
  return copy;
}

// Line ends and tabs as references, else the reader turns them into something else (XML 1.0 2.11, 3.3.3).
const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&apos;",
  '"': "&quot;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** Escapes for an attribute value in either kind of quotes, and so for anywhere. */
export function escapeXml(text: string): string {
  return /[&<>'"\t\n\r]/.test(text) ? text.replace(/[&<>'"\t\n\r]/g, escapeOne) : text;
}

function escapeText(text: string): string {
  return /[&<>\r]/.test(text) ? text.replace(/[&<>\r]/g, escapeOne) : text;
}

function escapeOne(character: string): string {
  return ESCAPES[character] as string;
}
