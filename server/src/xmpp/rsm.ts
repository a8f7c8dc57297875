/** XEP-0059: which page of a long list is wanted, and which one was given. */
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "./errors.ts";
import { NS } from "./namespaces.ts";

export interface PageRequest {
  /** Items at most; undefined when it does not say. */
  readonly max: number | undefined;
  /** The page behind this item. */
  readonly after: string | undefined;
  /** The page before this item, or the last one of all when it is empty. */
  readonly before: string | undefined;
}

const LONGEST_ITEM = 1024;

/** Reads the `<set/>` of a request; throws bad-request where it makes no sense. */
export function readPage(request: Element): PageRequest {
  const set = request.child("set", NS.rsm);
  const part = (name: string) => set?.child(name)?.text();
  const [max, after, before] = [part("max"), part("after"), part("before")];
  if (max !== undefined && !/^\d{1,9}$/.test(max)) throw new StanzaError("bad-request", "max is a number");
  if (part("index") !== undefined) throw new StanzaError("feature-not-implemented", "pages are not found by index");
  if (after !== undefined && before !== undefined) {
    throw new StanzaError("bad-request", "a page is after an item or before one");
  }
  if ([after, before].some((item) => item !== undefined && item.length > LONGEST_ITEM)) {
    throw new StanzaError("item-not-found");
  }
  return { max: max === undefined ? undefined : Number(max), after, before };
}

/** The `<set/>` of an answer. */
export function pageElement(items: readonly { readonly id: string }[], count?: number): Element {
  const [first, last] = [items[0], items.at(-1)];
  return element(
    "set",
    NS.rsm,
    {},
    first === undefined ? "" : element("first", NS.rsm, {}, first.id),
    last === undefined ? "" : element("last", NS.rsm, {}, last.id),
    count === undefined ? "" : element("count", NS.rsm, {}, `${count}`),
  );
}
