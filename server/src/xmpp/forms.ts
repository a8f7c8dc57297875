/** XEP-0004: data forms, laid out for a peer to fill in, and read and checked when they come back. */
import { type Element, element, newAttrs } from "../xml/element.ts";
import { StanzaError } from "./errors.ts";
import { type Jid, parseJid } from "./jid.ts";
import { NS } from "./namespaces.ts";

export type FieldType =
  | "boolean"
  | "fixed"
  | "hidden"
  | "jid-multi"
  | "jid-single"
  | "list-multi"
  | "list-single"
  | "text-multi"
  | "text-private"
  | "text-single";

export interface Field {
  readonly name: string;
  /** "text-single" unless it says otherwise. */
  readonly type?: FieldType;
  readonly label?: string;
  readonly desc?: string;
  readonly required?: boolean;
  /** What it holds, or is to hold unless the peer says otherwise. */
  readonly values?: readonly string[];
  /** What a list is chosen from: labels by value. */
  readonly options?: Readonly<Record<string, string>>;
}

export interface Form {
  /** XEP-0068: what the names of the fields mean; "" for none. */
  readonly formType: string;
  readonly title?: string;
  readonly instructions?: string;
  readonly fields: readonly Field[];
}

const FORM_TYPE = "FORM_TYPE";
const MULTIPLE: ReadonlySet<FieldType> = new Set(["jid-multi", "list-multi", "text-multi", "hidden"]);
const FILLED_TYPES = ["submit", "cancel", "result", "form"] as const;

/** A form for the peer to fill in ("form"), or one that tells it something ("result"). */
export function formElement(type: "form" | "result", form: Form): Element {
  const { formType, title = "", instructions = "", fields } = form;
  const hidden: Field[] = formType === "" ? [] : [{ name: FORM_TYPE, type: "hidden", values: [formType] }];
  return element(
    "x",
    NS.data,
    { type },
    title === "" ? "" : element("title", NS.data, {}, title),
    instructions === "" ? "" : element("instructions", NS.data, {}, instructions),
    ...[...hidden, ...fields].map(fieldElement),
  );
}

/** XEP-0004 3.4: rows of a table, under the fields that head its columns. */
export function tableElement(columns: readonly Field[], rows: readonly Readonly<Record<string, string>>[]): Element {
  const heads = columns.map(fieldElement);
  const items = rows.map((row) => {
    const cells = columns.map(({ name }) => fieldElement({ name, type: undefined, values: [row[name] ?? ""] }));
    return element("item", NS.data, {}, ...cells);
  });
  return element("x", NS.data, { type: "result" }, element("reported", NS.data, {}, ...heads), ...items);
}

function fieldElement(field: Omit<Field, "type"> & { readonly type?: FieldType | undefined }): Element {
  const { name, type, label, desc = "", required = false, values = [], options = {} } = field;
  const attrs = newAttrs();
  if (type !== undefined) attrs.type = type;
  if (name !== "") attrs.var = name;
  if (label !== undefined) attrs.label = label;
  return element(
    "field",
    NS.data,
    attrs,
    desc === "" ? "" : element("desc", NS.data, {}, desc),
    required ? element("required", NS.data) : "",
    ...values.map(valueElement),
    ...Object.entries(options).map(([value, text]) => element("option", NS.data, { label: text }, valueElement(value))),
  );
}

function valueElement(value: string): Element {
  return element("value", NS.data, {}, value);
}

/** A form as a peer sent it, nothing about it checked but its shape. */
export interface FilledForm {
  readonly type: (typeof FILLED_TYPES)[number];
  /** "" when it names none. */
  readonly formType: string;
  /** Values by field, FORM_TYPE left out. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
}

/** Reads a form; throws bad-request where it is none. */
export function readForm(x: Element): FilledForm {
  const type = FILLED_TYPES.find((each) => each === x.attrs.type);
  if (x.name !== "x" || x.xmlns !== NS.data || type === undefined) throw malformed("a form has one of the form types");
  const fields = new Map<string, readonly string[]>();
  let formType = "";
  for (const child of x.elements()) {
    if (child.name !== "field" || child.xmlns !== NS.data || child.attrs.type === "fixed") continue;
    const name = child.attrs.var;
    if (name === undefined) throw malformed("a field has no name");
    if (fields.has(name)) throw malformed(`the field ${name} is there twice`);
    const values = child
      .elements()
      .filter((value) => value.name === "value" && value.xmlns === NS.data)
      .map((value) => value.text());
    // XEP-0068 3.4: in a form that is filled in, the type of the field need not be said.
    const isHidden = child.attrs.type === "hidden" || (child.attrs.type === undefined && type === "submit");
    if (name === FORM_TYPE && isHidden) formType = values[0] ?? "";
    else fields.set(name, values);
  }
  return { type, formType, fields };
}

/** What was filled in, checked against the form that was laid out; asked by the names of its fields. */
export class Answers {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** "" when nothing was filled in. */
  text(name: string): string {
    return this.all(name).join("\n");
  }
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
  flag(name: string): boolean {
    return isTrue(this.text(name));
  }
  /** Addresses of a field whose type is one for them, each once. */
  jids(name: string): readonly Jid[] {
    const jids = this.all(name).map((text) => parseJid(text) as Jid);
    return [...new Map(jids.map((jid) => [jid.full, jid])).values()];
  }
}

/**
 * Checks a filled form against its layout. Throws not-acceptable (XEP-0004 4), whose text says which field is wrong.
 * Fields that the layout does not have are ignored; those left out keep the values of the layout (XEP-0004 3.5).
 */
export function checkForm({ formType, fields }: Form, filled: FilledForm): Answers {
  if (filled.formType !== "" && filled.formType !== formType) throw wrong(`this is no form of type ${formType}`);
  const values = new Map<string, readonly string[]>();
  for (const field of fields) {
    if (field.type === "fixed") continue;
    const given = filled.fields.get(field.name);
    const present = (given ?? field.values ?? []).filter((value) => value !== "" || field.type === "text-multi");
    if (present.every((value) => value === "") && field.required) throw wrong(`${labelOf(field)} is missing`);
    if (given !== undefined) checkField(field, present);
    values.set(field.name, present);
  }
  return new Answers(values);
}

function checkField(field: Field, values: readonly string[]): void {
  const { type = "text-single", options = {} } = field;
  if (values.length > 1 && !MULTIPLE.has(type)) throw wrong(`${labelOf(field)} has more than one value`);
  for (const value of values) {
    if (type === "boolean" && !isTrue(value) && !isFalse(value))
      throw wrong(`${labelOf(field)} is neither true nor false`);
    if (type.startsWith("jid-") && parseJid(value) === undefined) throw wrong(`${labelOf(field)} has no valid address`);
    if (type.startsWith("list-") && !Object.hasOwn(options, value)) throw wrong(`${labelOf(field)} has no such choice`);
  }
}

function labelOf({ label, name }: Field): string {
  return `"${label ?? name}"`;
}

/** The two ways in which XML Schema writes each. */
function isTrue(text: string): boolean {
  return text === "true" || text === "1";
}
function isFalse(text: string): boolean {
  return text === "false" || text === "0";
}

function malformed(text: string): StanzaError {
  return new StanzaError("bad-request", text);
}
function wrong(text: string): StanzaError {
  return new StanzaError("not-acceptable", text);
}
