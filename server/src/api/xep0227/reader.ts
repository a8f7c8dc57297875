/** XEP-0227: reads a file of accounts piece by piece, however large it is, and those that it includes. */
import type { Element } from "../../xml/element.ts";
import type { XmlLimits } from "../../xml/limits.ts";
import { StreamParser, type StreamSink, XmlError } from "../../xml/parser.ts";
import { PIE, PIE_LIMITS } from "./names.ts";

/** What a file says, in its order. Every `user` has an `end`, whatever comes between. */
export type Piece =
  | { readonly kind: "host"; readonly domain: string }
  | { readonly kind: "user"; readonly name: string; readonly password: string | undefined }
  /** A child of the user: a roster, for instance. */
  | { readonly kind: "data"; readonly element: Element }
  | { readonly kind: "archived"; readonly element: Element }
  | { readonly kind: "offline"; readonly element: Element }
  | { readonly kind: "end" }
  /** What nobody here understands, outside of any user. */
  | { readonly kind: "foreign"; readonly name: string }
  /** The rest of a file cannot be read; if a user is open, it is not whole. */
  | { readonly kind: "broken"; readonly reason: string };

export interface Place {
  readonly file: string;
  readonly line: number;
}
export type PlacedPiece = Piece & { readonly place: Place };

/** Opens the files: the main one, and those that are included, by their path relative to the one that includes them. */
export interface Files {
  /** Rejects with a FileError. */
  open(
    href: string | undefined,
    from: string | undefined,
  ): Promise<{ readonly name: string; readonly bytes: AsyncIterable<Uint8Array> }>;
}

/** A file cannot be opened, or is not to be; the message says why. */
export class FileError extends Error {
  override readonly name = "FileError";
}

/** Files within files. */
const MAX_NESTED = 4;
const SLICE_BYTES = 16_384;

type Level = "server-data" | "host" | "user" | "archive" | "offline" | "data";

interface Include {
  readonly kind: "include";
  readonly element: Element;
  readonly level: Level;
  readonly place: Place;
}

/** All pieces of a file and of what it includes. Rejects with a FileError only when the main file cannot be opened. */
export async function* readPie(files: Files, limits: Partial<XmlLimits> = {}): AsyncGenerator<PlacedPiece> {
  const main = await files.open(undefined, undefined);
  yield* readFile(files, main, undefined, 0, { ...PIE_LIMITS, ...limits });
}

async function* readFile(
  files: Files,
  { name, bytes }: Awaited<ReturnType<Files["open"]>>,
  within: Level | undefined,
  nested: number,
  limits: XmlLimits,
): AsyncGenerator<PlacedPiece> {
  const cutter = new Cutter(name, within);
  const parser = new StreamParser(cutter, limits);
  let bytesRead = 0;
  try {
    for await (const chunk of bytes) {
      for (const slice of slices(chunk)) {
        parser.write(slice);
        bytesRead += slice.length;
        // The parser hands over its children one by one, but it is kept as a whole.
        if (cutter.isSingle && bytesRead > limits.maxStanzaBytes)
          throw new XmlError("policy-violation", `a child of a user has more than ${limits.maxStanzaBytes} bytes`);
        for (const piece of cutter.take()) {
          if (piece.kind === "include") yield* include(files, name, piece, nested, limits);
          else yield piece;
        }
        if (slice[slice.length - 1] === NEWLINE) cutter.line++;
      }
    }
    if (!cutter.closed) throw new XmlError("not-well-formed", "the file ends too soon");
  } catch (error) {
    if (!(error instanceof XmlError || error instanceof FileError || isFromFile(error))) throw error;
    // What was complete before the fault.
    for (const piece of cutter.take()) {
      if (piece.kind === "include") yield* include(files, name, piece, nested, limits);
      else yield piece;
    }
    const place = { file: name, line: cutter.line };
    yield { kind: "broken", reason: error.message, place };
    if (cutter.inUser) yield { kind: "end", place };
  }
}

async function* include(
  files: Files,
  from: string,
  { element, level, place }: Include,
  nested: number,
  limits: XmlLimits,
): AsyncGenerator<PlacedPiece> {
  try {
    const { href, parse, xpointer } = element.attrs;
    if (href === undefined || parse !== undefined || xpointer !== undefined) {
      throw new FileError("an include has an href, and neither parse nor xpointer");
    }
    if (nested >= MAX_NESTED) throw new FileError(`more than ${MAX_NESTED} files within files`);
    yield* readFile(files, await files.open(href, from), level, nested + 1, limits);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    yield { kind: "broken", reason: error.message, place };
  }
}

const NEWLINE = 0x0a;

/** Line by line, so that a fault has one; long lines in parts. */
function* slices(chunk: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < chunk.length; ) {
    const newline = chunk.indexOf(NEWLINE, start);
    const end = Math.min(newline < 0 ? chunk.length : newline + 1, start + SLICE_BYTES);
    yield chunk.subarray(start, end);
    start = end;
  }
}

function isFromFile(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}

/** Tells the levels of a file apart: what is read through, and what is a piece. */
class Cutter implements StreamSink {
  line = 1;
  closed = false;
  readonly #file: string;
  readonly #within: Level | undefined;
  readonly #levels: Level[] = [];
  #pieces: (PlacedPiece | Include)[] = [];
  /** A file that is one child of a user. */
  #single: { readonly root: Element; readonly children: Element[] } | undefined;

  constructor(file: string, within: Level | undefined) {
    this.#file = file;
    this.#within = within;
  }

  /** Whether the file has begun a user that it has not ended. */
  get inUser(): boolean {
    return this.#levels.includes("user");
  }

  /** Whether the file is one child of a user. */
  get isSingle(): boolean {
    return this.#single !== undefined;
  }

  take(): readonly (PlacedPiece | Include)[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  open(root: Element): void {
    if (this.#within === undefined && root.name === "server-data" && root.xmlns === PIE.data) {
      this.#levels.push("server-data");
    } else if (this.#within === "user" && levelOf("user", root) === undefined) {
      this.#levels.push("data");
      this.#single = { root, children: [] };
    } else if (this.#within === undefined || !this.#begin(this.#within, root)) {
      throw new XmlError("bad-format", `<${root.name}/> of "${root.xmlns}" is not what belongs here`);
    }
  }

  enter(element: Element): boolean {
    return this.#begin(this.#levels.at(-1) as Level, element);
  }

  element(element: Element): void {
    const level = this.#levels.at(-1) as Level;
    // XEP-0227 3: below the children of a user, an include is the user's own data.
    const included = level === "server-data" || level === "host" || level === "user";
    if (included && element.name === "include" && element.xmlns === PIE.include) {
      this.#pieces.push({ kind: "include", element, level, place: this.#place() });
    } else if (level === "data") this.#single?.children.push(element);
    else if (level === "user") this.#add({ kind: "data", element });
    else if (level === "archive") this.#add({ kind: "archived", element });
    else if (level === "offline") this.#add({ kind: "offline", element });
    else this.#add({ kind: "foreign", name: `<${element.name}/> of "${element.xmlns}"` });
  }

  leave(): void {
    if (this.#levels.pop() === "user") this.#add({ kind: "end" });
  }

  close(): void {
    const single = this.#single;
    if (single !== undefined) this.#add({ kind: "data", element: single.root.withChildren(single.children) });
    this.leave();
    this.closed = true;
  }

  #begin(within: Level, element: Element): boolean {
    const level = levelOf(within, element);
    if (level === undefined) return false;
    this.#levels.push(level);
    const { jid = "", name = "", password } = element.attrs;
    if (level === "host") this.#add({ kind: "host", domain: jid });
    if (level === "user") this.#add({ kind: "user", name, password });
    return true;
  }

  #add(piece: Piece): void {
    this.#pieces.push({ ...piece, place: this.#place() });
  }

  #place(): Place {
    return { file: this.#file, line: this.line };
  }
}

function levelOf(within: Level, { name, xmlns }: Element): Level | undefined {
  if (within === "server-data" && name === "host" && xmlns === PIE.data) return "host";
  if (within === "host" && name === "user" && xmlns === PIE.data) return "user";
  if (within === "user" && name === "archive" && xmlns === PIE.archive) return "archive";
  if (within === "user" && name === "offline-messages" && xmlns === PIE.data) return "offline";
  return undefined;
}
