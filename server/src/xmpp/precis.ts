import saslprep from "@mongodb-js/saslprep";
import { JOINING_PASSES, JOINS_NEXT, JOINS_PREVIOUS } from "./joining-types.ts";

/**
 * PRECIS (RFC 8264) as far as XMPP needs it. Each profile answers undefined for a string that it disallows.
 *
 * Code points that this Node's Unicode does not know are disallowed, as RFC 8264 says: a later version might map them.
 * Emoji are symbols, so they may stand in resources and passwords, never in local parts; the joiner and the variation
 * selector of composed emoji are disallowed there too.
 */

const MAX_BYTES = 1023;
/** RFC 8264 7: a profile is applied again until its output no longer changes, at most this often. */
const MAX_ROUNDS = 4;

const ASCII_LOCAL = /^[!#-%(-.0-9;=?A-Z[-~]+$/;
const ASCII_PRINTABLE = /^[ -~]+$/;
/** RFC 7622 3.3.1: these would make an address ambiguous. */
const EXCLUDED_IN_LOCAL = /["&'/:<>@]/;

/** RFC 7622 3.3: the UsernameCaseMapped profile (RFC 8265 3.3), less the characters that have a meaning in a JID. */
export function prepareLocal(text: string): string | undefined {
  if (ASCII_LOCAL.test(text)) return text.length <= MAX_BYTES ? text.toLowerCase() : undefined;
  const local = settled(text, (round) => mapWidth(round).toLowerCase().normalize("NFC"));
  if (local === undefined || EXCLUDED_IN_LOCAL.test(local)) return undefined;
  // RFC 8265 3.3.1 checks the class before the case is mapped.
  return isIdentifier(mapWidth(text)) && isIdentifier(local) && obeysBidiRule(local) ? local : undefined;
}

/** RFC 7622 3.4: the OpaqueString profile (RFC 8265 4.2), without a leading space (RFC 7622 3.5, example 18). */
export function prepareResource(text: string): string | undefined {
  const resource = opaque(text);
  return resource?.startsWith(" ") ? undefined : resource;
}

/** A plain password as another service compares it: the OpaqueString profile (RFC 8265 4.2). */
export function preparePassword(text: string): string | undefined {
  return opaque(text);
}

/**
 * A password as SCRAM hashes it (RFC 5802 2.2): SASLprep (RFC 4013). What Unicode 3.2 had not assigned is let through,
 * or nobody could have an emoji or a younger script in a password; clients hash it as it is.
 */
export function prepareScramPassword(text: string): string | undefined {
  if (Buffer.byteLength(text) > MAX_BYTES) return undefined;
  if (ASCII_PRINTABLE.test(text)) return text;
  try {
    return saslprep(text, { allowUnassigned: true }) || undefined;
  } catch {
    return undefined;
  }
}

function opaque(text: string): string | undefined {
  if (ASCII_PRINTABLE.test(text)) return text.length <= MAX_BYTES ? text : undefined;
  const prepared = settled(text, (round) => round.replace(/\p{Zs}/gu, " ").normalize("NFC"));
  return prepared !== undefined && isFreeform(prepared) ? prepared : undefined;
}

function settled(text: string, prepare: (text: string) => string): string | undefined {
  // Longer than this in UTF-16 units is longer in UTF-8 too, and is not worth mapping.
  if (text === "" || text.length > MAX_BYTES) return undefined;
  let before = text;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const after = prepare(before);
    if (after === before) return Buffer.byteLength(after) <= MAX_BYTES ? after : undefined;
    before = after;
  }
  return undefined;
}

/** RFC 8264 5.2.1: fullwidth and halfwidth forms become what they are forms of. */
function mapWidth(text: string): string {
  return text.replace(/[\u3000\uff01-\uffee]/g, (form) => form.normalize("NFKC"));
}

// RFC 8264 8 and 9, in its order: exceptions, old Hangul jamo, ignorables and controls, compatibility forms, then
// general categories. Unassigned code points fall through to "disallowed".
const PVALID_EXCEPTION = /^[\u00df\u03c2\u06fd\u06fe\u0f0b\u3007]$/u;
const DISALLOWED_EXCEPTION = /^[\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b]$/u;
const OLD_HANGUL_JAMO = /^[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7c6\ud7cb-\ud7fb]$/u;
const IGNORABLE_OR_CONTROL = /^[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Cc}]$/u;
const LETTER_OR_DIGIT = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}]$/u;
const FREEFORM_ONLY = /^[\p{Lt}\p{Nl}\p{No}\p{Me}\p{Zs}\p{S}\p{P}]$/u;

/** RFC 8264 4.2: letters and digits of any script, and printable ASCII. */
export function isIdentifier(text: string): boolean {
  return isOfClass(text, false);
}

/** RFC 8264 4.3: the IdentifierClass, and also spaces, symbols and punctuation. */
function isFreeform(text: string): boolean {
  return isOfClass(text, true);
}

function isOfClass(text: string, freeform: boolean): boolean {
  const points = Array.from(text);
  return points.every((point, at) => {
    if (point >= "!" && point <= "~") return true;
    if (PVALID_EXCEPTION.test(point)) return true;
    if (DISALLOWED_EXCEPTION.test(point)) return false;
    const fits = CONTEXT_RULES.get(point);
    if (fits !== undefined) return fits(points, at);
    if (OLD_HANGUL_JAMO.test(point) || IGNORABLE_OR_CONTROL.test(point)) return false;
    if (point.normalize("NFKC") !== point)
      return freeform && (LETTER_OR_DIGIT.test(point) || FREEFORM_ONLY.test(point));
    return LETTER_OR_DIGIT.test(point) || (freeform && FREEFORM_ONLY.test(point));
  });
}

// Canonical combining class 9, which no regular expression property names.
const VIRAMA =
  /^[\u{94d}\u{9cd}\u{a4d}\u{acd}\u{b4d}\u{bcd}\u{c4d}\u{ccd}\u{d3b}\u{d3c}\u{d4d}\u{dca}\u{e3a}\u{eba}\u{f84}\u{1039}\u{103a}\u{1714}\u{1715}\u{1734}\u{17d2}\u{1a60}\u{1b44}\u{1baa}\u{1bab}\u{1bf2}\u{1bf3}\u{2d7f}\u{a806}\u{a82c}\u{a8c4}\u{a953}\u{a9c0}\u{aaf6}\u{abed}\u{10a3f}\u{11046}\u{11070}\u{1107f}\u{110b9}\u{11133}\u{11134}\u{111c0}\u{11235}\u{112ea}\u{1134d}\u{11442}\u{114c2}\u{115bf}\u{1163f}\u{116b6}\u{1172b}\u{11839}\u{1193d}\u{1193e}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11c3f}\u{11d44}\u{11d45}\u{11d97}\u{113ce}-\u{113d0}\u{11f41}\u{11f42}\u{1612f}]$/u;

type ContextRule = (points: readonly string[], at: number) => boolean;

/** RFC 5892 appendix A: code points that are allowed only in good company. */
const CONTEXT_RULES: ReadonlyMap<string, ContextRule> = new Map<string, ContextRule>([
  ["\u200c", (points, at) => VIRAMA.test(points[at - 1] ?? "") || partsJoiningLetters(points, at)],
  ["\u200d", (points, at) => VIRAMA.test(points[at - 1] ?? "")],
  ["\u00b7", (points, at) => points[at - 1] === "l" && points[at + 1] === "l"],
  ["\u0375", (points, at) => /^\p{Script=Greek}$/u.test(points[at + 1] ?? "")],
  ["\u05f3", (points, at) => /^\p{Script=Hebrew}$/u.test(points[at - 1] ?? "")],
  ["\u05f4", (points, at) => /^\p{Script=Hebrew}$/u.test(points[at - 1] ?? "")],
  [
    "\u30fb",
    (points) => points.some((point) => /^[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]$/u.test(point)),
  ],
  ...digits(0x0660).map((digit): [string, ContextRule] => [
    digit,
    (points) => !points.some((p) => EXTENDED_DIGIT.test(p)),
  ]),
  ...digits(0x06f0).map((digit): [string, ContextRule] => [
    digit,
    (points) => !points.some((p) => ARABIC_DIGIT.test(p)),
  ]),
]);
/** RFC 5892 A.1: letters on both sides that would be written joined; what joining passes over may stand between. */
function partsJoiningLetters(points: readonly string[], at: number): boolean {
  let before = at - 1;
  while (JOINING_PASSES.test(points[before] ?? "")) before--;
  let after = at + 1;
  while (JOINING_PASSES.test(points[after] ?? "")) after++;
  return JOINS_NEXT.test(points[before] ?? "") && JOINS_PREVIOUS.test(points[after] ?? "");
}

const ARABIC_DIGIT = /^[\u0660-\u0669]$/;
const EXTENDED_DIGIT = /^[\u06f0-\u06f9]$/;

function digits(zero: number): string[] {
  return Array.from({ length: 10 }, (_, digit) => String.fromCodePoint(zero + digit));
}

const RIGHT_TO_LEFT_BLOCKS = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const ARABIC_NUMBER = /^[\u0660-\u0669\u{10d30}-\u{10d39}]$/u;
const EUROPEAN_NUMBER = /^[0-9\u06f0-\u06f9]$/;

type Direction = "left" | "right" | "arabic number" | "european number" | "mark" | "neutral";

/** RFC 5893 2, for the strings that it concerns: those with a right-to-left letter or an Arabic number. */
function obeysBidiRule(text: string): boolean {
  if (!RIGHT_TO_LEFT_BLOCKS.test(text)) return true;
  const directions = Array.from(text, direction);
  if (!directions.includes("right") && !directions.includes("arabic number")) return true;
  const last = directions.findLast((each) => each !== "mark");
  return (
    directions[0] === "right" &&
    !directions.includes("left") &&
    (last === "right" || last === "arabic number" || last === "european number") &&
    !(directions.includes("arabic number") && directions.includes("european number"))
  );
}

/** The Bidi_Class of a code point of the IdentifierClass, as coarsely as the rule needs it. */
function direction(point: string): Direction {
  if (/^\p{Mn}$/u.test(point)) return "mark";
  if (ARABIC_NUMBER.test(point)) return "arabic number";
  if (EUROPEAN_NUMBER.test(point)) return "european number";
  if (RIGHT_TO_LEFT_BLOCKS.test(point)) return "right";
  return /^[\p{L}\p{Nd}\p{Mc}]$/u.test(point) ? "left" : "neutral";
}
