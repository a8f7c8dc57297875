import type { Element } from "../../src/xml/element.ts";
import { expanded, type Form, formOf, XML_NAMESPACE } from "./form.ts";

export function ourForm(element: Element): Form {
  const attributes = Object.entries(element.attrs)
    .filter(([key]) => !key.startsWith("xmlns:"))
    .map(([key, value]): [string, string] => {
      const [prefix, local] = key.split(":");
      if (local === undefined) return [key, value];
      return [expanded(prefix === "xml" ? XML_NAMESPACE : (element.attrs[`xmlns:${prefix}`] ?? "?"), local), value];
    });
  const children = element.children.map((child) => (typeof child === "string" ? child : ourForm(child)));
  return formOf(element.xmlns, element.name, attributes, children);
}
