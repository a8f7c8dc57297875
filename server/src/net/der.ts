/** The little of X.690's Distinguished Encoding Rules that a certificate is read with. */

/** One value: the byte that says what it is, and what it holds. */
export interface Der {
  readonly tag: number;
  readonly content: Uint8Array;
}

export const TAGS = { sequence: 0x30, oid: 0x06, octets: 0x04, utf8: 0x0c } as const;

export class DerError extends Error {
  override readonly name = "DerError";
}

/** The values that follow each other in `bytes`, to its very end; throws a DerError for anything else. */
export function readDer(bytes: Uint8Array): readonly Der[] {
  const values: Der[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    // X.690 8.1.2.4: tags of several bytes, which certificates have none of.
    if ((tag & 0x1f) === 0x1f) throw new DerError("a long tag");
    const { length, start } = readLength(bytes, at + 1);
    if (start + length > bytes.length) throw new DerError("cut off");
    values.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return values;
}

/** X.690 8.1.3, 10.1: definite, and as short as can be. */
function readLength(bytes: Uint8Array, at: number): { readonly length: number; readonly start: number } {
  const first = bytes[at];
  if (first === undefined) throw new DerError("cut off");
  if (first < 0x80) return { length: first, start: at + 1 };
  const size = first & 0x7f;
  if (size === 0 || size > 4) throw new DerError("a length that is indefinite or absurd");
  const digits = bytes.subarray(at + 1, at + 1 + size);
  if (digits.length < size) throw new DerError("cut off");
  const length = digits.reduce((sum, digit) => sum * 256 + digit, 0);
  if (length < 0x80 || digits[0] === 0) throw new DerError("a length that is longer than needed");
  return { length, start: at + 1 + size };
}

/** The values within one of this kind; throws a DerError for another. */
export function within(value: Der | undefined, tag: number = TAGS.sequence): readonly Der[] {
  return readDer(contentOf(value, tag));
}

export function contentOf(value: Der | undefined, tag: number): Uint8Array {
  if (value?.tag !== tag) throw new DerError(`not the tag ${tag}`);
  return value.content;
}

/** X.690 8.19, as "1.3.6.1". */
export function readOid(value: Der | undefined): string {
  const content = contentOf(value, TAGS.oid);
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new DerError("an arc that is absurd");
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...more] = arcs;
  if (arcs.length === 0 || (content.at(-1) as number) >= 0x80) throw new DerError("an object identifier cut off");
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...more].join(".");
}
