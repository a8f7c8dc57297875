import { Element } from "../src/xml/element.ts";
import { StreamParser } from "../src/xml/parser.ts";

// How fast streams are read and stanzas written. Compare the columns of one run: the machine's load is in all of them.

const ROUNDS = 5;
const STANZAS = 8000;
const HEADER = Buffer.from(
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " +
    "to='example.org' version='1.0'>",
);

const STANZA_KINDS: readonly ((n: number) => string)[] = [
  (n) =>
    `<message from='alice${n % 97}@example.org/phone' to='bob${n % 89}@example.org' type='chat' id='m-${n}'>` +
    "<body>It is not in the stars to hold our destiny but in ourselves, and so to bed &amp; good night to all.</body>" +
    "<request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
  (n) =>
    `<presence from='alice${n % 97}@example.org/phone'><show>away</show><priority>5</priority>` +
    "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>" +
    "</presence>",
  (n) =>
    `<message to='bob${n % 89}@example.org/desk'><result xmlns='urn:xmpp:mam:2' queryid='q1' id='${n}'>` +
    "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-07-10T23:08:25Z'/>" +
    `<message xmlns='jabber:client' to='bob@example.org' from='alice@example.org/phone' type='chat' id='a${n}'>` +
    "<body>Call me but love, and I'll be new baptized; henceforth I never will be Romeo.</body></message>" +
    "</forwarded></result></message>",
  (n) => `<iq type='get' id='ping-${n}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>`,
];

const texts = Array.from({ length: STANZAS }, (_, n) => (STANZA_KINDS[n % STANZA_KINDS.length] ?? String)(n));
const bytes = Buffer.from(texts.join(""));

const cases: ReadonlyMap<string, () => void> = new Map([
  ["parse, 1448 B chunks", parsing(cut(bytes, 1448))],
  ["parse, a chunk a stanza", parsing(texts.map((text) => Buffer.from(text)))],
  ["parse, 37 B chunks", parsing(cut(bytes, 37))],
  ["parse, 64 KiB chunks", parsing(cut(bytes, 65_536))],
  ["serialise, nothing cached", serialising()],
  ["parse 1448 B and serialise", parsing(cut(bytes, 1448), (element) => element.toXml("jabber:client").length)],
]);

const best = new Map<string, number>();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of cases) {
    const start = performance.now();
    run();
    best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, performance.now() - start));
  }
}
const reference = best.values().next().value ?? Number.NaN;
console.log(`${STANZAS} stanzas, ${(bytes.length / 1e6).toFixed(1)} MB, best of ${ROUNDS}`);
for (const [name, ms] of best) {
  const rate = Math.round(STANZAS / ms);
  const speed = (bytes.length / ms / 1000).toFixed(0);
  console.log(
    `${name.padEnd(28)} ${`${rate}k`.padStart(6)} stanzas/s ${speed.padStart(5)} MB/s  ${(reference / ms).toFixed(2)}x`,
  );
}

function cut(whole: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size));
}

function parsing(chunks: readonly Buffer[], use: (element: Element) => number = () => 1): () => void {
  return () => {
    let used = 0;
    let count = 0;
    const parser = new StreamParser({
      open() {},
      element(element) {
        used += use(element);
        count++;
      },
      close() {},
    });
    parser.write(HEADER);
    for (const chunk of chunks) parser.write(chunk);
    if (count !== STANZAS || used < count) throw new Error("the bench does not read what it wrote");
  };
}

function serialising(): () => void {
  const elements: Element[] = [];
  const parser = new StreamParser({ open() {}, element: (element) => void elements.push(element), close() {} });
  parser.write(HEADER);
  parser.write(bytes);
  return () => {
    let length = 0;
    for (const element of elements) length += Buffer.byteLength(fresh(element).toXml("jabber:client"));
    if (length < elements.length) throw new Error("nothing was written");
  };
}

/** The same tree without the texts it keeps once it was serialised. */
function fresh(element: Element): Element {
  const children = element.children.map((node) => (typeof node === "string" ? node : fresh(node)));
  return new Element(element.name, element.xmlns, element.attrs, children);
}
