import { StringDecoder } from "node:string_decoder";
import { clone, Element as LtxElement, Parser as LtxParser } from "ltx";
import { Element, type Node } from "../src/xml/element.ts";
import { StreamParser } from "../src/xml/parser.ts";

// How fast streams are read and stanzas written, beside ltx, which checks next to nothing. Compare within one run only:
// the machine's load is in all of it. `node bench/xml.ts [rounds] [words of the rows wanted]`.

const ROUNDS = Number(process.argv[2] ?? 7);
const WANTED = process.argv[3] ?? "";
const STANZAS = 8000;
const HEADER = Buffer.from(
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " +
    "to='example.org' version='1.0'>",
);

type Kind = (n: number) => string;

const chat: Kind = (n) =>
  `<message from='alice${n % 97}@example.org/phone' to='bob${n % 89}@example.org' type='chat' id='m-${n}'>` +
  "<body>It is not in the stars to hold our destiny but in ourselves, and so to bed &amp; good night to all.</body>" +
  "<request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/></message>";
const unicode: Kind = (n) => chat(n).replace("good night to all", "gute N\u00e4chte \u{1f319}");
const presence: Kind = (n) =>
  `<presence from='alice${n % 97}@example.org/phone'><show>away</show><priority>5</priority>` +
  "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>" +
  "</presence>";
const archived: Kind = (n) =>
  `<message to='bob${n % 89}@example.org/desk'><result xmlns='urn:xmpp:mam:2' queryid='q1' id='${n}'>` +
  "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-07-10T23:08:25Z'/>" +
  `<message xmlns='jabber:client' to='bob@example.org' from='alice@example.org/phone' type='chat' id='a${n}'>` +
  "<body>Call me but love, and I'll be new baptized; henceforth I never will be Romeo.</body></message>" +
  "</forwarded></result></message>";
const ping: Kind = (n) => `<iq type='get' id='ping-${n}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>`;

const MIX: readonly Kind[] = [chat, presence, archived, ping];

interface Case {
  readonly name: string;
  readonly ours: () => void;
  readonly theirs: () => void;
}

const mixed = texts(MIX);
const chats = texts([chat]);
const whole = Buffer.from(mixed.join(""));

const all: readonly Case[] = [
  parsing("read, 1448 B chunks", cut(whole, 1448)),
  parsing(
    "read, a chunk a stanza",
    mixed.map((text) => Buffer.from(text)),
  ),
  parsing(
    "read, a chunk a chat message",
    chats.map((text) => Buffer.from(text)),
  ),
  parsing(
    "read, a chunk a message beyond ASCII",
    texts([unicode]).map((text) => Buffer.from(text)),
  ),
  parsing("read, 37 B chunks", cut(whole, 37)),
  parsing("read, 8 B chunks", cut(whole, 8)),
  parsing("read, 64 KiB chunks", cut(whole, 65_536)),
  writing(),
  fanOut(),
  relaying(),
];
const cases = all.filter(({ name }) => name.includes(WANTED));

const best = new Map<() => void, number>();
for (let round = 0; round < ROUNDS; round++) {
  for (const { ours, theirs } of cases) {
    for (const run of [ours, theirs]) {
      const start = performance.now();
      run();
      best.set(run, Math.min(best.get(run) ?? Number.POSITIVE_INFINITY, performance.now() - start));
    }
  }
}
console.log(`${STANZAS} stanzas, best of ${ROUNDS}`);
for (const { name, ours, theirs } of cases) {
  const [us, them] = [best.get(ours) ?? Number.NaN, best.get(theirs) ?? Number.NaN];
  const rate = (ms: number) => `${Math.round(STANZAS / ms)}k`.padStart(6);
  console.log(`${name.padEnd(38)} ${rate(us)}/s  ltx ${rate(them)}/s  ${(them / us).toFixed(2)}x`);
}

function texts(kinds: readonly Kind[]): string[] {
  return Array.from({ length: STANZAS }, (_, n) => (kinds[n % kinds.length] ?? String)(n));
}

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** Hands each child of the root to `use`. */
function read(chunks: readonly Buffer[], use: (element: Element) => void): void {
  const parser = new StreamParser({ open() {}, element: use, close() {} });
  parser.write(HEADER);
  for (const chunk of chunks) parser.write(chunk);
}

/** The same with ltx's tokenizer and its elements; the root stays empty, as a stream's has to. */
function readByLtx(chunks: readonly Buffer[], use: (element: LtxElement) => void): void {
  const tokens = new LtxParser.prototype.DefaultParser();
  const decoder = new StringDecoder("utf8");
  let depth = 0;
  let open: LtxElement | undefined;
  tokens.on("startElement", (name: string, attrs: Record<string, string>) => {
    if (depth++ === 0) return;
    const element = new LtxElement(name, attrs);
    open = open === undefined ? element : (open.cnode(element) as LtxElement);
  });
  tokens.on("text", (text: string) => void open?.t(text));
  tokens.on("endElement", () => {
    if (--depth === 0 || open === undefined) return;
    const parent = open.parent as LtxElement | undefined;
    if (!parent) use(open);
    open = parent ?? undefined;
  });
  tokens.write(decoder.write(HEADER));
  for (const chunk of chunks) tokens.write(decoder.write(chunk));
}

function counted(count: number): void {
  if (count !== STANZAS) throw new Error(`${count} stanzas came of ${STANZAS}`);
}

function parsing(name: string, chunks: readonly Buffer[]): Case {
  const run = (reader: (chunks: readonly Buffer[], use: () => void) => void) => () => {
    let count = 0;
    reader(chunks, () => void count++);
    counted(count);
  };
  return { name, ours: run(read), theirs: run(readByLtx) };
}

/** Trees that were never written before. */
function writing(): Case {
  const ours: Element[] = [];
  const theirs: LtxElement[] = [];
  read([whole], (element) => void ours.push(element));
  readByLtx([whole], (element) => void theirs.push(element));
  return {
    name: "write",
    ours: () => sent(ours.map((element) => fresh(element).toXml("jabber:client"))),
    theirs: () => sent(theirs.map((element) => clone(element).toString())),
  };
}

/** One message to many addresses. */
function fanOut(): Case {
  const message = first(read, Buffer.from(chat(0)));
  const theirs = first(readByLtx, Buffer.from(chat(0)));
  const addresses = Array.from({ length: STANZAS }, (_, n) => `bob${n}@example.org/desk`);
  return {
    name: "write one message to many",
    ours: () => {
      const once = fresh(message);
      sent(addresses.map((to) => once.with({ to }).toXml("jabber:client")));
    },
    theirs: () =>
      sent(
        addresses.map((to) => {
          const copy = clone(theirs);
          copy.attrs.to = to;
          return copy.toString();
        }),
      ),
  };
}

/** What a chat message costs a server at least: read, stamped with its sender, written. */
function relaying(): Case {
  const chunks = chats.map((text) => Buffer.from(text));
  return {
    name: "read, stamp and write a chat message",
    ours: () => {
      const out: string[] = [];
      read(chunks, (stanza) => void out.push(stanza.with({ from: "alice@example.org/phone" }).toXml("jabber:client")));
      sent(out);
    },
    theirs: () => {
      const out: string[] = [];
      readByLtx(chunks, (stanza) => {
        stanza.attrs.from = "alice@example.org/phone";
        out.push(stanza.toString());
      });
      sent(out);
    },
  };
}

/** A string that was only joined is not yet written: the bytes are. */
function sent(written: readonly string[]): void {
  counted(written.length);
  for (const text of written) if (Buffer.from(text).length < 20) throw new Error("nothing was written");
}

function first<T>(reader: (chunks: readonly Buffer[], use: (element: T) => void) => void, chunk: Buffer): T {
  let found: T | undefined;
  reader([chunk], (element) => {
    found = element;
  });
  return found as T;
}

/** The same tree without the texts it keeps once it was written. */
function fresh(element: Element): Element {
  const children = element.children.map((node: Node) => (typeof node === "string" ? node : fresh(node)));
  return new Element(element.name, element.xmlns, element.attrs, children);
}
