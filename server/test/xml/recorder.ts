import type { Element } from "../../src/xml/element.ts";
import { StreamParser, type StreamSink, XmlError, type XmlLimits } from "../../src/xml/parser.ts";

export const HEADER =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org'>";

/** A sink that writes down what it hears. */
export class Recorder implements StreamSink {
  readonly heard: string[] = [];
  readonly elements: Element[] = [];
  root: Element | undefined;
  declared: ReadonlyMap<string, string> = new Map();
  /** What to do inside of each `element` call. */
  onElement: (element: Element) => void = () => {};

  open(root: Element, declared: ReadonlyMap<string, string>): void {
    this.root = root;
    this.declared = declared;
    this.heard.push(`open ${root.toXml()}`);
  }

  element(element: Element): void {
    this.elements.push(element);
    this.heard.push(element.toXml("jabber:client"));
    this.onElement(element);
  }

  close(): void {
    this.heard.push("close");
  }
}

export interface Outcome {
  readonly heard: readonly string[];
  readonly elements: readonly Element[];
  readonly condition: string | undefined;
}

/** What a stream of these chunks comes to. */
export function read(chunks: Iterable<string | Uint8Array>, limits: Partial<XmlLimits> = {}): Outcome {
  const recorder = new Recorder();
  const parser = new StreamParser(recorder, limits);
  let condition: string | undefined;
  try {
    for (const chunk of chunks) parser.write(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    condition = error.condition;
  }
  return { heard: recorder.heard, elements: recorder.elements, condition };
}

const SINGLE_BYTES = Array.from({ length: 256 }, (_, byte) => Buffer.of(byte));

/** The bytes, one at a time. */
export function drip(text: string | Uint8Array): Uint8Array[] {
  return Array.from(Buffer.from(text as string), (byte) => SINGLE_BYTES[byte] as Buffer);
}

/** The elements of a stream that is in order. */
export function elementsOf(...stanzas: string[]): readonly Element[] {
  const { elements, condition } = read([HEADER, ...stanzas]);
  if (condition !== undefined) throw new Error(`refused: ${condition}`);
  return elements;
}
