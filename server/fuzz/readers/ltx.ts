import { type Element, Parser } from "ltx";
import { expanded, type Form, formOf, holdsFor, type Reader, XML_NAMESPACE } from "./form.ts";

/** What @xmpp/client reads with. It takes nearly anything, so it is asked about what the server sends only. */
export const ltx: Reader = {
  name: "ltx",
  outputOnly: true,
  // An attribute `__proto__` vanishes from an object; an empty default namespace is passed over for that outside.
  excuses: (form) =>
    holdsFor(form, ([, , attributes]) => attributes.some(([name]) => name === "__proto__")) ||
    holdsFor(form, undoesDefault),
  read(document) {
    const parser = new Parser();
    let tree: Element | undefined;
    let fault: string | undefined;
    parser.on("tree", (element: Element) => {
      tree = element;
    });
    parser.on("error", (error: Error) => {
      fault = error.message;
    });
    try {
      parser.end(document.toString());
    } catch (error) {
      fault = String(error);
    }
    return fault ?? (tree === undefined ? "no element" : form(tree));
  },
  stop() {},
};

function form(element: Element): Form {
  const attributes: [string, string][] = [];
  for (const [key, value] of Object.entries(element.attrs)) {
    if (key === "xmlns" || key.startsWith("xmlns:")) continue;
    const [prefix = "", local] = key.split(":");
    const uri = prefix === "xml" ? XML_NAMESPACE : (element.findNS(prefix) ?? "?");
    attributes.push([local === undefined ? key : expanded(uri, local), value]);
  }
  const children = element.children.map((child) => (typeof child === "string" ? child : form(child)));
  return formOf(element.getNS() ?? "", element.getName(), attributes, children);
}

function undoesDefault([namespace, , , children]: Form): boolean {
  return namespace !== "" && children.some((child) => typeof child !== "string" && child[0] === "");
}
