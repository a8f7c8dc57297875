/**
 * A distinguished name (RFC 4514) in a form in which two that mean the same entry are the same text, as far as that can be told
 * without the schema: types and values without regard to case, each character written in one way.
 */
export function plainDn(dn: string): string {
  return parts(dn, /[,;]/)
    .map((rdn) =>
      parts(rdn, /\+/)
        .map((pair) => plainPair(pair))
        .sort()
        .join("+"),
    )
    .join(",");
}

function plainPair(pair: string): string {
  const at = pair.indexOf("=");
  const [type, value] = at === -1 ? ["", pair] : [pair.slice(0, at), pair.slice(at + 1)];
  const plain = unescaped(value.trimStart()).normalize("NFC").toLowerCase().replace(/ +/g, " ");
  // A separator inside a value is not one any more.
  return `${type.trim().toLowerCase()}=${plain.replace(/[\\,;+]/g, "\\$&")}`;
}

/** Split at what is neither escaped nor in quotation marks. */
function parts(text: string, separator: RegExp): string[] {
  const found: string[] = [];
  let from = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at] as string;
    if (sign === "\\") at++;
    else if (sign === '"') quoted = !quoted;
    else if (!quoted && separator.test(sign)) {
      found.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...found, text.slice(from)];
}

/** RFC 4514 3: a backslash stands before two digits of a byte, or before the character itself. */
function unescaped(value: string): string {
  const text = /^".*" *$/s.test(value) ? value.trimEnd().slice(1, -1) : value;
  const bytes: Buffer[] = [];
  let end = 0;
  for (const [whole, hex, escaped] of text.matchAll(/\\([0-9a-f]{2})|\\(.)|./gisu)) {
    bytes.push(hex === undefined ? Buffer.from(escaped ?? whole) : Buffer.from(hex, "hex"));
    // White space at the end counts only where it was escaped.
    if (whole !== " ") end = bytes.length;
  }
  return Buffer.concat(bytes.slice(0, end)).toString("utf8");
}
