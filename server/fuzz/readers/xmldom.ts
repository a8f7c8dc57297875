import { DOMParser, type Element, Node } from "@xmldom/xmldom";
import { expanded, type Form, formOf, type Reader } from "./form.ts";

const XMLNS = "http://www.w3.org/2000/xmlns/";

/** Leaves a byte order mark out, which is the reader's to know only where it gets bytes. */
const text = new TextDecoder();

/** What Strophe reads with where there is no browser. */
export const xmldom: Reader = {
  name: "xmldom",
  outputOnly: false,
  // It takes the line ends of XML 1.1 for such.
  excuses: (form) => /[\u0085\u2028\u2029]/.test(JSON.stringify(form)),
  read(document) {
    const parser = new DOMParser({
      onError(level, message) {
        if (level !== "warning") throw new Error(message);
      },
    });
    try {
      const root = parser.parseFromString(text.decode(document), "application/xml").documentElement;
      return root === null ? "no element" : form(root);
    } catch (error) {
      return String(error);
    }
  },
  stop() {},
};

function form(element: Element): Form {
  const attributes = [...element.attributes]
    .filter(({ namespaceURI }) => namespaceURI !== XMLNS)
    .map((attribute): [string, string] => [
      expanded(attribute.namespaceURI ?? "", attribute.localName ?? "?"),
      attribute.value,
    ]);
  const children: (Form | string)[] = [];
  for (let node = element.firstChild; node !== null; node = node.nextSibling) {
    if (node.nodeType === Node.ELEMENT_NODE) children.push(form(node as Element));
    else if (node.nodeType === Node.TEXT_NODE || node.nodeType === Node.CDATA_SECTION_NODE)
      children.push(node.nodeValue ?? "");
    else children.push(`?${node.nodeName}`);
  }
  return formOf(element.namespaceURI ?? "", element.localName ?? "?", attributes, children);
}
