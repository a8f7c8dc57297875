/** What an XML document says, apart from how it is written; every reader is asked for it. */
export type Form = readonly [
  namespace: string,
  name: string,
  /** Expanded names and values, in order. */
  attributes: readonly (readonly [name: string, value: string])[],
  children: readonly (Form | string)[],
];

export interface Reader {
  readonly name: string;
  /** Whether it is to be given what the server sends only, as it checks next to nothing. */
  readonly outputOnly: boolean;
  /** Known faults of the reader, that a document may run into; each is said in words where it is tested for. */
  excuses(form: Form): boolean;
  /** What the document says, or why the reader does not take it. */
  read(document: Buffer): Promise<Form | string> | Form | string;
  stop(): void;
}

export function formOf(
  namespace: string,
  name: string,
  attributes: Iterable<readonly [string, string]>,
  children: Iterable<Form | string>,
): Form {
  const merged: (Form | string)[] = [];
  for (const child of children) {
    const last = merged.at(-1);
    if (typeof child === "string" && typeof last === "string") merged[merged.length - 1] = last + child;
    else if (child !== "") merged.push(child);
  }
  return [namespace, name, [...attributes].sort(([a], [b]) => (a < b ? -1 : 1)), merged];
}

/** James Clark's way to write an expanded name. */
export function expanded(namespace: string, local: string): string {
  return namespace === "" ? local : `{${namespace}}${local}`;
}

export const XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace";

/** Whether something holds for an element or any in it. */
export function holdsFor(form: Form, test: (form: Form) => boolean): boolean {
  return test(form) || form[3].some((child) => typeof child !== "string" && holdsFor(child, test));
}
