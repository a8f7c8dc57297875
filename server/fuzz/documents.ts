import { mutate, type Random } from "./random.ts";

/** Pieces of markup that break things, or ought to be refused. */
export const FRAGMENTS: readonly string[] = [
  ..."< > / ' \" = & ; ]]> <![CDATA[ <!-- --> <?xml ?> <!DOCTYPE &#65; &lt; &foo; &#0; &#xD800; xmlns: xml: <a> </a> ] : \\0".split(
    " ",
  ),
  "\r",
  "\n",
  "\t",
  "\u00e9",
  "\u{1f600}",
  "\ufeff",
  "\ufffe",
  "\u0085",
  "\u2028",
  " xmlns='jabber:client'",
  " xmlns=''",
  " xmlns:p='u'",
  " xmlns:q='u'",
  " p:k='v'",
  " q:k='v'",
  " from='mallory@example.org'",
  "</stream:stream>",
  "<stream:stream>",
];

const NAMES = ["message", "body", "iq", "x", "_", "a.b-c", "constructor", "__proto__", "xmlx", "A", "element\u00e9"];
const NAMESPACES = ["jabber:client", "urn:x", "urn:y", "http://etherx.jabber.org/streams", "urn:\u00e9", "urn:x#'&"];
const PREFIXES = ["p", "q", "stream", "Client", "_"];
const TEXTS = [
  "hi",
  " ",
  "a&amp;b",
  "&#x1f600;",
  "&lt;body/&gt;",
  "\r\n",
  "\t",
  "\u00e9\u{1f600}",
  "]]&gt;",
  "&#13;",
  "]]",
];
const WILD_TEXTS = [
  "&",
  "]]>",
  "&#0;",
  "&foo;",
  "<!-- -->",
  "<?x?>",
  "\u0001",
  "\uffff",
  "&#xFFFE;",
  "\u{1ffff}",
  "\u007f",
];
const SPACES = [" ", "\n", "\t ", "\r\n"];

/** An XML document that is mostly in order; its elements use prefixes, namespaces and attributes in all the ways there are. */
export function someDocument(random: Random): Buffer {
  const text = someElement(random, 4, []);
  const bytes = Buffer.from(random.chance(5) ? `<?xml version='1.0'?>${text}` : text);
  return random.chance(35) ? mutate(random, bytes, FRAGMENTS) : bytes;
}

function someElement(random: Random, depth: number, outer: readonly string[]): string {
  const prefixes = [...outer];
  const declarations = random.many(2, () => someDeclaration(random, prefixes));
  const name = someQName(random, prefixes);
  const attributes = [...declarations, ...random.many(3, () => someAttribute(random, prefixes))]
    .sort(() => random.below(3) - 1)
    .map((attribute) => (random.chance(97) ? random.pick(SPACES) : "") + attribute);
  const open = `<${name}${attributes.join("")}${random.chance(5) ? " " : ""}`;
  if (random.chance(20)) return `${open}/>`;
  const children = random.many(depth > 0 ? 4 : 1, () =>
    depth > 0 && random.chance(50) ? someElement(random, depth - 1, prefixes) : someText(random),
  );
  return `${open}>${children.join("")}</${name}${random.chance(3) ? "\n" : ""}>`;
}

function someDeclaration(random: Random, prefixes: string[]): string {
  const uri = quoted(random, random.chance(5) ? `urn:${someCharacters(random)}x` : random.pick(NAMESPACES));
  if (random.chance(50)) return `xmlns=${random.chance(10) ? "''" : uri}`;
  const prefix = random.pick(PREFIXES);
  prefixes.push(prefix);
  return `xmlns:${prefix}=${uri}`;
}

function someAttribute(random: Random, prefixes: readonly string[]): string {
  const name = random.chance(10) ? "xml:lang" : someQName(random, prefixes);
  return `${name}${random.chance(3) ? " = " : "="}${quoted(random, someText(random))}`;
}

function quoted(random: Random, text: string): string {
  const safe = text.replaceAll("<", "&lt;").replaceAll(/&(?![#a-z])/g, "&amp;");
  return random.chance(50) ? `'${safe.replaceAll("'", "&apos;")}'` : `"${safe.replaceAll('"', "&quot;")}"`;
}

function someQName(random: Random, prefixes: readonly string[]): string {
  const prefix = prefixes.length > 0 && random.chance(30) ? `${random.pick(prefixes)}:` : "";
  if (random.chance(4)) return `${prefix}a${String.fromCodePoint(someCodePoint(random))}`;
  if (random.chance(4)) return prefix + String.fromCodePoint(someCodePoint(random));
  return prefix + random.pick(NAMES);
}

function someText(random: Random): string {
  if (random.chance(15)) return `<![CDATA[${random.pick(["", "<a/>", "&amp;", "]]", "]", "\r\n", "\u00e9"])}]]>`;
  if (random.chance(3)) return random.pick(WILD_TEXTS);
  return random.chance(10) ? someCharacters(random) : random.pick(TEXTS);
}

function someCharacters(random: Random): string {
  return String.fromCodePoint(...random.many(6, () => someCodePoint(random))).replaceAll(/[&<\]]/g, "x");
}

function someCodePoint(random: Random): number {
  const below = random.pick([0x80, 0x250, 0x800, 0x3200, 0xd800, 0x30000]);
  const code = random.below(below);
  return code >= 0xd800 && code < 0xe000 ? 0xe9 : code;
}
