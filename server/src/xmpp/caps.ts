/** The hashes of what an entity can do: XEP-0115's verification string, and XEP-0390's, which cannot be read in two ways. */
import { createHash } from "node:crypto";
import type { Element } from "../xml/element.ts";
import { NS } from "./namespaces.ts";

/** By the names of XEP-0300, what Node calls them. SHA-1 is for XEP-0115 alone. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  "sha-1": "sha1",
  "sha-256": "sha256",
  "sha-512": "sha512",
  "sha3-256": "sha3-256",
  "sha3-512": "sha3-512",
};

export function isKnownHash(algorithm: string): boolean {
  return Object.hasOwn(ALGORITHMS, algorithm);
}

/** In base64. The algorithm must be a known one. */
export function hash(input: string | Uint8Array, algorithm: string): string {
  return createHash(ALGORITHMS[algorithm] as string)
    .update(input)
    .digest("base64");
}

export function featuresOf(info: Element): string[] {
  return childrenOf(info, "feature").map(({ attrs }) => attrs.var ?? "");
}

const SOFTWARE_INFO = "urn:xmpp:dataforms:softwareinfo";

/**
 * XEP-0115 5.1: what is hashed of a disco#info answer; undefined when the answer is ill-formed (5.4). `ambiguous` is set
 * when another answer could have the same string and yet other features, so that what it says holds for its sender alone.
 */
export function verificationString(info: Element): { readonly text: string; readonly ambiguous: boolean } | undefined {
  const identities = childrenOf(info, "identity")
    .map(({ attrs }) => [attrs.category ?? "", attrs.type ?? "", attrs["xml:lang"] ?? "", attrs.name ?? ""])
    .sort(compareLists);
  const features = featuresOf(info).sort(compare);
  const forms = formsOf(info);
  if (forms === undefined) return undefined;
  const shown = forms.filter(({ formType }) => formType !== "").sort((a, b) => compare(a.formType, b.formType));
  const lists = [identities.map((identity) => identity.join("/")), features, shown.map(({ formType }) => formType)];
  if (lists.some((list) => new Set(list).size < list.length)) return undefined;

  const parts = [...(lists[0] ?? []), ...features];
  for (const { formType, fields } of shown) {
    parts.push(formType);
    for (const { name, values } of fields.sort((a, b) => compare(a.name, b.name))) {
      parts.push(name, ...values.sort(compare));
    }
  }
  // A part of a form can be read as a feature and the other way round, and a "<" as the end of any part.
  const ambiguous =
    parts.some((part) => part.includes("<")) ||
    identities.length === 0 ||
    shown.some(({ formType }) => formType !== SOFTWARE_INFO);
  return { text: parts.map((part) => `${part}<`).join(""), ambiguous };
}

const ENDS = { part: "\x1f", field: "\x1e", form: "\x1d", section: "\x1c" };

/**
 * XEP-0390 4.1: what is hashed of a disco#info answer; undefined when it has something that cannot be. `lang` is the
 * language that the answer inherits from the stanza around it.
 */
export function hashInput(info: Element, lang = ""): Buffer | undefined {
  const own = info.attrs["xml:lang"] ?? lang;
  const others = info.elements().filter(({ name, xmlns }) => {
    const isInfo = xmlns === NS.discoInfo && (name === "feature" || name === "identity");
    return !isInfo && !(xmlns === NS.data && name === "x");
  });
  const forms = formsOf(info);
  if (others.length > 0 || forms === undefined || forms.some(({ formType }) => formType === "")) return undefined;

  const features = featuresOf(info).map((variable) => variable + ENDS.part);
  const identities = childrenOf(info, "identity").map(({ attrs }) => {
    const parts = [attrs.category ?? "", attrs.type ?? "", attrs["xml:lang"] ?? own, attrs.name ?? ""];
    return parts.map((part) => part + ENDS.part).join("") + ENDS.field;
  });
  const extensions = forms.map(({ formType, fields }) => {
    const all = [...fields, { name: "FORM_TYPE", values: [formType] }];
    const written = all.map(
      ({ name, values }) => name + ENDS.part + joined(values.map((value) => value + ENDS.part)) + ENDS.field,
    );
    return joined(written) + ENDS.form;
  });
  return Buffer.from([features, identities, extensions].map((section) => joined(section) + ENDS.section).join(""));
}

interface InfoForm {
  /** "" for a form that does not say in the right way what it is. */
  readonly formType: string;
  /** Without FORM_TYPE. */
  readonly fields: { readonly name: string; readonly values: string[] }[];
}

/** Undefined when a form is one that no hash can be made of: with a table, or with two types. */
function formsOf(info: Element): InfoForm[] | undefined {
  const forms: InfoForm[] = [];
  for (const x of info.elements()) {
    if (x.name !== "x" || x.xmlns !== NS.data) continue;
    const children = x.elements().filter(({ xmlns }) => xmlns === NS.data);
    if (children.some(({ name }) => name === "reported" || name === "item")) return undefined;
    let formType = "";
    const fields: InfoForm["fields"] = [];
    for (const field of children.filter(({ name }) => name === "field")) {
      const values = field
        .elements()
        .filter(({ name, xmlns }) => name === "value" && xmlns === NS.data)
        .map((value) => value.text());
      if (field.attrs.var !== "FORM_TYPE") fields.push({ name: field.attrs.var ?? "", values });
      else if (formType !== "" || new Set(values).size > 1) return undefined;
      else if (field.attrs.type === "hidden") formType = values[0] ?? "";
    }
    forms.push({ formType, fields });
  }
  return forms;
}

function childrenOf(info: Element, name: string): Element[] {
  return info.elements().filter((child) => child.name === name && child.xmlns === NS.discoInfo);
}

/** The i;octet collation of RFC 4790. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareLists(a: readonly string[], b: readonly string[]): number {
  for (const [at, part] of a.entries()) {
    const order = compare(part, b[at] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}

function joined(parts: string[]): string {
  return parts.sort(compare).join("");
}
