/** An entry as a vCard (XEP-0054). */
import type { Entry } from "ldapts";
import { type Element, element } from "../../../xml/element.ts";
import { NS } from "../../../xmpp/namespaces.ts";
import { positive } from "../bounds.ts";
import { VCARD_ATTRIBUTES, VCARD_FIELDS, type VcardField } from "./defaults.ts";
import { firstTexts, textsOf, valuesOf } from "./values.ts";

export interface VcardOptions {
  /** Attributes for each field; the first that an entry has counts, of `units` all. */
  readonly attributes?: Partial<Readonly<Record<VcardField, readonly string[]>>> | undefined;
  /** Bytes of a picture; a larger one is left out. Default 128 KiB. */
  readonly photoBytes?: number | undefined;
  /** Bytes of any other value, in UTF-8; a longer one is left out. Default 4 KiB. */
  readonly fieldBytes?: number | undefined;
}

/** Addresses and numbers of one kind. */
const MAX_OF_A_KIND = 10;

export interface VcardReader {
  /** What has to be asked for. */
  readonly attributes: readonly string[];
  read(entry: Entry): Element;
}

export function vcardReader(options: VcardOptions = {}): VcardReader {
  const attributes = { ...VCARD_ATTRIBUTES, ...options.attributes } as Readonly<Record<VcardField, readonly string[]>>;
  const photoBytes = positive("photo_size", options.photoBytes, 128 * 1024);
  const fieldBytes = positive("field_size", options.fieldBytes, 4096);

  return {
    attributes: [...new Set(VCARD_FIELDS.flatMap((field) => attributes[field]))],
    read(entry) {
      const all = (field: VcardField) => firstTexts(entry, attributes[field], fieldBytes).slice(0, MAX_OF_A_KIND);
      const one = (field: VcardField) => all(field)[0] ?? "";
      const units = attributes.units.flatMap((name) => textsOf(entry, name, fieldBytes).slice(0, MAX_OF_A_KIND));
      const phones = (field: VcardField, ...kinds: string[]) =>
        all(field).map((number) => holder("TEL", ...kinds.map((kind) => leaf(kind)), leaf("NUMBER", number)));
      return holder(
        "vCard",
        // XEP-0054 3.1: every vCard has both.
        leaf("FN", one("full_name")),
        holder(
          "N",
          leaf("FAMILY", one("family_name")),
          leaf("GIVEN", one("given_name")),
          ...some("MIDDLE", one("middle_name")),
        ),
        ...some("NICKNAME", one("nickname")),
        ...photo(
          attributes.photo.flatMap((name) => valuesOf(entry, name)),
          photoBytes,
        ),
        ...some("BDAY", day(one("birthday"))),
        ...address({
          STREET: one("street"),
          LOCALITY: one("locality"),
          REGION: one("region"),
          PCODE: one("postal_code"),
          CTRY: one("country"),
        }),
        ...phones("work_phone", "WORK", "VOICE"),
        ...phones("mobile_phone", "WORK", "CELL"),
        ...phones("home_phone", "HOME", "VOICE"),
        ...phones("fax", "WORK", "FAX"),
        ...all("email").map((mail) => holder("EMAIL", leaf("WORK"), leaf("INTERNET"), leaf("USERID", mail))),
        ...some("TITLE", one("title")),
        ...some("ROLE", one("role")),
        ...organization(one("organization"), [...new Set(units)]),
        // RFC 2079: what follows the address is its label.
        ...some("URL", one("url").split(/\s/)[0] ?? ""),
        ...some("DESC", one("description")),
      );
    },
  };
}

function holder(name: string, ...children: Element[]): Element {
  return element(name, NS.vcard, {}, ...children);
}

function leaf(name: string, text = ""): Element {
  return element(name, NS.vcard, {}, text);
}

function some(name: string, text: string): Element[] {
  return text === "" ? [] : [leaf(name, text)];
}

function address(parts: Readonly<Record<string, string>>): Element[] {
  const given = Object.entries(parts).flatMap(([name, text]) => some(name, text));
  return given.length === 0 ? [] : [holder("ADR", leaf("WORK"), ...given)];
}

function organization(name: string, units: readonly string[]): Element[] {
  if (name === "" && units.length === 0) return [];
  return [holder("ORG", leaf("ORGNAME", name), ...units.map((unit) => leaf("ORGUNIT", unit)))];
}

/** Generalized time (RFC 4517 3.3.13), or a date as it is written everywhere else, as an ISO date; else nothing. */
function day(text: string): string {
  const [, year, month, date] = /^(\d{4})-?(\d{2})-?(\d{2})(?:$|[\dTZ.+-])/.exec(text) ?? [];
  return year === undefined ? "" : `${year}-${month}-${date}`;
}

/** The first picture that is small enough and of a kind that clients know. */
function photo(values: readonly (string | Buffer)[], maxBytes: number): Element[] {
  for (const value of values) {
    if (typeof value === "string" || value.length > maxBytes) continue;
    const type = pictureType(value);
    if (type === undefined) continue;
    return [holder("PHOTO", leaf("TYPE", type), leaf("BINVAL", value.toString("base64")))];
  }
  return [];
}

/** Told by the first bytes: what an attribute is called says little about what is in it. */
function pictureType(bytes: Buffer): string | undefined {
  const begins = (signature: string, at = 0) => bytes.toString("latin1", at, at + signature.length) === signature;
  if (begins("\xff\xd8\xff")) return "image/jpeg";
  if (begins("\x89PNG\r\n\x1a\n")) return "image/png";
  if (begins("GIF87a") || begins("GIF89a")) return "image/gif";
  if (begins("RIFF") && begins("WEBP", 8)) return "image/webp";
  return undefined;
}
