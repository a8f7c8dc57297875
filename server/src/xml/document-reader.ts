import { Buffer } from "node:buffer";
import { referenceTail, resolveReferences } from "./characters.ts";
import { Element, type Node } from "./element.ts";
import { notWellFormed, XmlError } from "./errors.ts";
import type { XmlLimits } from "./limits.ts";
import { NamespaceScope } from "./namespaces.ts";
import { StartTagReader, skipSpace, TagEndFinder } from "./start-tag.ts";
import { Rope } from "./strings.ts";
import { checkXmlDeclaration } from "./xml-declaration.ts";

/** Hears what a document holds, each thing once it is complete. */
export interface StreamSink {
  /**
   * The root's start tag, as an element without children. `declared` has the prefixes that it bound, "" standing for
   * the default namespace.
   */
  open(root: Element, declared: ReadonlyMap<string, string>): void;
  /** One whole child of the root. */
  element(element: Element): void;
  /** The root's end tag. */
  close(): void;
  /**
   * Whether what would be one whole child is a root of its own, whose children are handed on one by one: for documents too
   * large to be built. The element has no children yet.
   */
  enter?(element: Element): boolean;
  /** The end tag of what was entered last. */
  leave?(): void;
}

/** How much of the document lies behind. `restarted` is `start`, but for white space that may come first. */
type Phase = "restarted" | "start" | "marked" | "prolog" | "content" | "epilog";

/** What was begun in an earlier text and goes on in this one. */
type Unfinished = "nothing" | "start tag" | "end tag" | "declaration" | "cdata";

const LESS_THAN = 0x3c;
const GREATER_THAN = 0x3e;
const SLASH = 0x2f;
const EXCLAMATION = 0x21;
const QUESTION = 0x3f;
const BRACKET = 0x5d;
const BYTE_ORDER_MARK = 0xfeff;
const CDATA = "<![CDATA[";

const NO_CHILDREN: readonly Node[] = Object.freeze([]);

/**
 * Turns the characters of one XML document, in any cut, into elements. RFC 6120 11.1 leaves little of XML over: no
 * DTD, no comment, no processing instruction, no entity but five. Each character is looked at a bounded number of times.
 */
export class DocumentReader {
  limits: XmlLimits;
  /** Set by the sink to get nothing more for now; what is left of the text stays. */
  paused = false;
  readonly #sink: StreamSink;
  /** How many elements are open around those that are built whole: 1 in a stream, 0 for a document of its own, more where the sink has entered some. */
  #base: number;
  readonly #roots: number;
  readonly #scope = new NamespaceScope();
  readonly #tag = new StartTagReader(this.#scope);
  readonly #tagEnd = new TagEndFinder();
  #phase: Phase = "start";

  #text = "";
  #at = 0;
  /** Whether each character of the text is one byte. */
  #ascii = true;
  #controls = false;

  /** The tags of the open elements, and those among them that are being built. */
  readonly #open: string[] = [];
  readonly #elements: Element[] = [];
  #rootIsEmpty = false;
  readonly #rope = new Rope();

  #unfinished: Unfinished = "nothing";
  #held = "";
  #heldBytes = 0;
  #heldControls = false;

  /** Bytes of the current child of the root in texts that are gone; in this text they begin at `#counted`. */
  #size = 0;
  #counted = 0;

  constructor(sink: StreamSink, limits: XmlLimits, base: number) {
    this.#sink = sink;
    this.limits = limits;
    this.#base = base;
    this.#roots = base;
  }

  /** Whether the document is over and nothing was begun after it. */
  get complete(): boolean {
    return this.#phase === "epilog" && this.#at === this.#text.length;
  }

  /** Bytes that came and were not taken yet. */
  get unread(): number {
    return this.#bytes(this.#at, this.#text.length);
  }

  /** Forgets the document, not the text that is left: a new one begins there (RFC 6120 4.3.3). */
  restart(): void {
    this.#scope.clear();
    this.#base = this.#roots;
    this.#open.length = 0;
    this.#elements.length = 0;
    this.#rootIsEmpty = false;
    this.#unfinished = "nothing";
    this.#held = "";
    this.#phase = "restarted";
  }

  /** Forgets everything. */
  clear(): void {
    this.restart();
    this.#text = "";
    this.#at = 0;
  }

  /** Takes the next characters; `run` must have come to the end of the last. */
  load(text: string, ascii: boolean, controls: boolean): void {
    const rest = this.#text.length - this.#at;
    this.#text = rest === 0 ? text : this.#text.slice(this.#at) + text;
    this.#ascii = ascii && (rest === 0 || this.#ascii);
    this.#controls = controls || (rest > 0 && this.#controls);
    this.#at = 0;
    this.#counted = 0;
  }

  /** Reads on until the text ends or the sink pauses. */
  run(): void {
    while (!this.paused) {
      if (this.#rootIsEmpty) this.#closeEmptyRoot();
      else if (this.#at >= this.#text.length || !this.#step()) {
        this.#countText();
        return;
      }
    }
  }

  /** Takes the next piece of the document; false when the text ends before it can be told what it is. */
  #step(): boolean {
    if (this.#unfinished === "cdata") return this.#readCdata();
    if (this.#unfinished !== "nothing") return this.#continueTag();
    if (this.#text.charCodeAt(this.#at) !== LESS_THAN) return this.#readCharacters();
    if (this.#at + 1 === this.#text.length) return false;
    const next = this.#text.charCodeAt(this.#at + 1);
    if (next === SLASH) return this.#readEndTag();
    if (next === EXCLAMATION) return this.#readDeclarationOrCdata();
    if (next === QUESTION) return this.#readXmlDeclaration();
    return this.#readStartTag();
  }

  // Characters

  #readCharacters(): boolean {
    if (this.#open.length <= this.#base) return this.#readOutsideText();
    const next = this.#text.indexOf("<", this.#at);
    const end = next < 0 ? this.#textEnd() : next;
    if (end === this.#at) return false;
    const raw = this.#text.slice(this.#at, end);
    // XML 1.0 2.4.
    if (raw.includes("]]>")) throw notWellFormed("`]]>` in text");
    this.#checkSize(end);
    this.#append(resolveReferences(raw));
    this.#at = end;
    return true;
  }

  /** Where text that goes on in the next chunk can be cut: before a reference or a `]]>` that may be under way. */
  #textEnd(): number {
    const length = this.#text.length;
    const end = this.#bracketsAt(length);
    return end < length ? end : referenceTail(this.#text, this.#at, length);
  }

  /** The index of the brackets, at most two, that stand at the end of the text. */
  #bracketsAt(end: number): number {
    let at = end;
    while (at > this.#at && end - at < 2 && this.#text.charCodeAt(at - 1) === BRACKET) at--;
    return at;
  }

  /** White space around the root and between its children is a keepalive (RFC 6120 4.6.1); nothing else may be there. */
  #readOutsideText(): boolean {
    const start = this.#at;
    this.#at = skipSpace(this.#text, start);
    if (this.#at > start) {
      if (this.#phase === "start" || this.#phase === "marked") this.#phase = "prolog";
      return true;
    }
    if (this.#text.charCodeAt(start) === BYTE_ORDER_MARK && (this.#phase === "start" || this.#phase === "restarted")) {
      this.#phase = "marked";
      this.#at++;
      return true;
    }
    if (this.#phase === "content") throw new XmlError("bad-format", "text between stanzas");
    throw notWellFormed("text outside of the root");
  }

  /** XML 1.0 2.7. */
  #readCdata(): boolean {
    const end = this.#text.indexOf("]]>", this.#at);
    const stop = end < 0 ? this.#bracketsAt(this.#text.length) : end;
    this.#checkSize(stop);
    if (stop > this.#at) this.#append(this.#text.slice(this.#at, stop));
    this.#at = stop;
    if (end < 0) return false;
    this.#at += 3;
    this.#unfinished = "nothing";
    return true;
  }

  #append(text: string): void {
    const siblings = this.#siblings();
    const last = siblings.length - 1;
    const previous = siblings[last];
    if (typeof previous === "string") siblings[last] = this.#rope.join(previous, text);
    else siblings.push(text);
  }

  /** What the innermost open element holds so far. */
  #siblings(): Node[] {
    return (this.#elements[this.#elements.length - 1] as Element).children as Node[];
  }

  // Markup

  #readStartTag(): boolean {
    if (this.#phase === "epilog") throw notWellFormed("an element after the root");
    if (this.#open.length >= this.limits.maxDepth) throw new XmlError("policy-violation", "elements too deep");
    const start = this.#at;
    if (this.#open.length <= this.#base) {
      this.#size = 0;
      this.#counted = start;
    }
    // In small chunks most tags go on in the next one, and are not worth a look.
    if (this.#text.length - start < 64 && this.#text.indexOf(">", start) < 0) return this.#hold("start tag");
    const end = this.#tag.read(this.#text, start, this.limits, this.#controls);
    if (end < 0) return this.#hold("start tag");
    this.#checkTag(start, end);
    this.#checkSize(end);
    this.#at = end;
    this.#startElement();
    return true;
  }

  #readEndTag(): boolean {
    const start = this.#at;
    const name = this.#openName();
    const end = start + 2 + name.length;
    if (this.#text.charCodeAt(end) === GREATER_THAN && this.#text.startsWith(name, start + 2)) {
      this.#at = end + 1;
      this.#endElement();
      return true;
    }
    const close = this.#text.indexOf(">", start + 2);
    if (close < 0) return this.#hold("end tag");
    this.#checkTag(start, close + 1);
    this.#at = close + 1;
    this.#endElementOf(this.#text.slice(start, close + 1));
    return true;
  }

  #readDeclarationOrCdata(): boolean {
    if (this.#text.startsWith(CDATA, this.#at)) {
      if (this.#open.length <= this.#base) {
        throw new XmlError(this.#phase === "content" ? "bad-format" : "not-well-formed", "text outside of a stanza");
      }
      this.#unfinished = "cdata";
      this.#at += CDATA.length;
      return true;
    }
    if (CDATA.startsWith(this.#text.slice(this.#at, this.#at + CDATA.length))) return false;
    throw new XmlError("restricted-xml", "a comment or a document type");
  }

  #readXmlDeclaration(): boolean {
    if (this.#phase !== "start" && this.#phase !== "restarted" && this.#phase !== "marked") {
      throw new XmlError("restricted-xml", "a processing instruction");
    }
    const close = this.#text.indexOf(">", this.#at);
    if (close < 0) return this.#hold("declaration");
    const start = this.#at;
    this.#checkTag(start, close + 1);
    this.#at = close + 1;
    this.#takeXmlDeclaration(this.#text.slice(start, close + 1));
    return true;
  }

  #takeXmlDeclaration(text: string): void {
    checkXmlDeclaration(text);
    this.#phase = "prolog";
  }

  // Markup that the text ends in. It is put aside and read in one go once it is whole.

  #hold(kind: Unfinished): boolean {
    this.#unfinished = kind;
    this.#held = "";
    this.#heldBytes = 0;
    this.#heldControls = false;
    this.#tagEnd.reset();
    if (this.#tagEnd.find(this.#text, this.#at + 1) >= 0) throw notWellFormed("a tag that is none");
    this.#holdUpTo(this.#text.length);
    return true;
  }

  #continueTag(): boolean {
    const end = this.#tagEnd.find(this.#text, this.#at);
    this.#holdUpTo(end < 0 ? this.#text.length : end);
    if (end >= 0) this.#takeHeld();
    return true;
  }

  #holdUpTo(end: number): void {
    this.#heldBytes += this.#bytes(this.#at, end);
    if (this.#heldBytes > this.limits.maxTagBytes) throw new XmlError("policy-violation", "a tag too long");
    this.#held = this.#rope.join(this.#held, this.#text.slice(this.#at, end));
    this.#heldControls ||= this.#controls;
    this.#at = end;
  }

  #takeHeld(): void {
    const kind = this.#unfinished;
    const tag = this.#held;
    this.#unfinished = "nothing";
    this.#held = "";
    if (kind === "end tag") {
      this.#endElementOf(tag);
    } else if (kind === "declaration") {
      this.#takeXmlDeclaration(tag);
    } else {
      const end = this.#tag.read(tag, 0, this.limits, this.#heldControls);
      if (end !== tag.length) throw notWellFormed("a tag that is none");
      this.#checkSize(this.#at);
      this.#startElement();
    }
  }

  // Elements

  /** Opens the element of the start tag that was just read. */
  #startElement(): void {
    const { name, xmlns, attrs, empty } = this.#tag;
    if (this.#open.length < this.#base) {
      this.#openRoot(new Element(name.local, xmlns, attrs, NO_CHILDREN));
      return;
    }
    this.#phase = "content";
    if (this.#open.length === this.#base && this.#sink.enter?.(new Element(name.local, xmlns, attrs, NO_CHILDREN))) {
      this.#base++;
      this.#scope.enter(this.#tag.defaultNamespace);
      this.#open.push(name.text);
      this.#rootIsEmpty = empty;
      return;
    }
    const children: Node[] = empty ? (NO_CHILDREN as Node[]) : [];
    const element = new Element(name.local, xmlns, attrs, children);
    if (this.#elements.length > 0) this.#siblings().push(element);
    if (!empty) {
      this.#scope.enter(this.#tag.defaultNamespace);
      this.#open.push(name.text);
      this.#elements.push(element);
      return;
    }
    this.#scope.rollBack();
    if (this.#open.length === this.#base) this.#handOver(element);
  }

  #openRoot(root: Element): void {
    const declared = this.#scope.declared();
    if (this.#tag.declaresDefault) declared.set("", this.#tag.defaultNamespace);
    this.#scope.enter(this.#tag.defaultNamespace);
    this.#open.push(this.#tag.name.text);
    this.#rootIsEmpty = this.#tag.empty;
    this.#phase = "content";
    this.#sink.open(root, declared);
  }

  #closeEmptyRoot(): void {
    this.#rootIsEmpty = false;
    this.#endElement();
  }

  #openName(): string {
    if (this.#open.length === 0) throw notWellFormed("an end tag that ends nothing");
    return this.#open[this.#open.length - 1] as string;
  }

  /** XML 1.0 3.1: an end tag has the name, perhaps white space, and nothing more. */
  #endElementOf(tag: string): void {
    const name = this.#openName();
    if (!tag.startsWith(name, 2) || skipSpace(tag, 2 + name.length) !== tag.length - 1) {
      throw notWellFormed("an end tag that does not match");
    }
    this.#endElement();
  }

  #endElement(): void {
    this.#open.pop();
    this.#scope.leave();
    if (this.#open.length < this.#base) {
      this.#leaveRoot();
      return;
    }
    const element = this.#elements.pop() as Element;
    if (this.#open.length === this.#base) this.#handOver(element);
  }

  #leaveRoot(): void {
    if (this.#base > this.#roots) {
      this.#base--;
      this.#sink.leave?.();
      return;
    }
    this.#phase = "epilog";
    this.#sink.close();
  }

  #handOver(element: Element): void {
    const most = this.#size + (this.#at - this.#counted) * 3;
    if (
      most > this.limits.maxStanzaBytes &&
      this.#size + this.#bytes(this.#counted, this.#at) > this.limits.maxStanzaBytes
    )
      throw tooLarge();
    if (this.#base === 0) this.#phase = "epilog";
    this.#sink.element(element);
  }

  // Sizes. A character is at least one byte, so counting characters refuses nothing that fits; the exact count
  // follows at the end of the text and of the stanza.

  #bytes(from: number, to: number): number {
    return this.#ascii ? to - from : Buffer.byteLength(this.#text.slice(from, to));
  }

  #checkSize(end: number): void {
    if (this.#size + end - this.#counted > this.limits.maxStanzaBytes) throw tooLarge();
  }

  #checkTag(start: number, end: number): void {
    if ((end - start) * 3 <= this.limits.maxTagBytes) return;
    if (this.#bytes(start, end) > this.limits.maxTagBytes) throw new XmlError("policy-violation", "a tag too long");
  }

  /** Counts what was taken of this text before the next one comes. */
  #countText(): void {
    if (this.#open.length <= this.#base && this.#unfinished === "nothing") return;
    this.#size += this.#bytes(this.#counted, this.#at);
    this.#counted = this.#at;
    if (this.#size > this.limits.maxStanzaBytes) throw tooLarge();
  }
}

function tooLarge(): XmlError {
  return new XmlError("policy-violation", "a stanza too large");
}
