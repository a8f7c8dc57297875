/** A filter that asks for one account, turned into one that asks for all of them, and back to their names. */
import {
  AndFilter,
  ApproximateFilter,
  EqualityFilter,
  ExtensibleFilter,
  type Filter,
  FilterParser,
  GreaterThanEqualsFilter,
  LessThanEqualsFilter,
  NotFilter,
  OrFilter,
  PresenceFilter,
  SubstringFilter,
} from "ldapts";
import { Jid } from "../../../xmpp/jid.ts";
import { filled } from "./filter.ts";

/** Where a filter has an account's name: as an attribute's whole value, or between the texts before and after it. */
export interface NamePlace {
  readonly attribute: string;
  /** The local part in a value of the attribute, as an account of this domain has it. */
  localIn(value: string, domain: string): string | undefined;
}

/**
 * The same filter for anybody's name, and where the name is then read; undefined where it compares no attribute with one, so
 * that names could not be read from entries.
 */
export function everybody(text: string): { filter: (domain: string) => Filter; place: NamePlace } | undefined {
  const parsed = FilterParser.parseString(text);
  const named = nameComparison(parsed);
  if (named === undefined) return undefined;
  const place: NamePlace = {
    attribute: named.attribute,
    localIn(value, domain) {
      const [before, after] = pieces(String(named.value), domain) as [string, string];
      const [lower, start, end] = [value, before, after].map((each) => each.toLowerCase()) as [string, string, string];
      const fits = lower.length > start.length + end.length && lower.startsWith(start) && lower.endsWith(end);
      return fits ? value.slice(start.length, value.length - end.length) : undefined;
    },
  };
  return { filter: (domain) => anybody(parsed, domain), place };
}

function nameComparison(filter: Filter): EqualityFilter | undefined {
  if (filter instanceof AndFilter || filter instanceof OrFilter) {
    for (const each of filter.filters) {
      const found = nameComparison(each);
      if (found !== undefined) return found;
    }
  }
  const isName = filter instanceof EqualityFilter && !Buffer.isBuffer(filter.value);
  return isName && pieces(String(filter.value), "").length === 2 ? filter : undefined;
}

function anybody(filter: Filter, domain: string): Filter {
  const each = (inner: Filter) => anybody(inner, domain);
  if (filter instanceof AndFilter) return new AndFilter({ filters: filter.filters.map(each) });
  if (filter instanceof OrFilter) return new OrFilter({ filters: filter.filters.map(each) });
  if (filter instanceof NotFilter) return new NotFilter({ filter: each(filter.filter) });
  if (filter instanceof SubstringFilter) {
    const { attribute, initial, any, final } = filter;
    const all = [pieces(initial, domain), ...any.map((part) => pieces(part, domain)), pieces(final, domain)].flat();
    return withAnything(attribute, all);
  }
  for (const Kind of [
    EqualityFilter,
    ExtensibleFilter,
    ApproximateFilter,
    GreaterThanEqualsFilter,
    LessThanEqualsFilter,
  ]) {
    if (!(filter instanceof Kind) || Buffer.isBuffer(filter.value)) continue;
    const parts = pieces(String(filter.value), domain);
    if (parts.length > 1)
      return withAnything(filter instanceof ExtensibleFilter ? filter.matchType : filter.attribute, parts);
  }
  return filled(filter, new Jid("", domain));
}

/** Texts that stand in this order in a value, with anything between them. */
function withAnything(attribute: string, parts: readonly string[]): Filter {
  const [initial = "", final = ""] = [parts[0], parts.at(-1)];
  const any = parts.slice(1, -1).filter((part) => part !== "");
  if (initial === "" && final === "" && any.length === 0) return new PresenceFilter({ attribute });
  return new SubstringFilter({ attribute, initial, any, final });
}

/** A template's texts before, between and after the places of a name. */
function pieces(value: string, domain: string): string[] {
  const found = [""];
  for (const part of value.split(/(%[ud%])/)) {
    if (part === "%u") found.push("");
    else found[found.length - 1] += part === "%d" ? domain : part === "%%" ? "%" : part;
  }
  return found;
}
