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
  SubstringFilter,
} from "ldapts";
import type { Jid } from "../../../xmpp/jid.ts";

/**
 * Reads a filter (RFC 4515) in which `%u` stands for an account's local part, `%d` for its domain and `%%` for a
 * percent sign. The filter is parsed before anything is put in, so that nothing put in can change its shape.
 */
export function filterTemplate(text: string): (account: Jid) => Filter {
  const parsed = FilterParser.parseString(checkedFilter(text));
  if (!/%u/.test(text.replaceAll("%%", ""))) throw new TypeError(`the LDAP filter ${text} asks for no %u`);
  return (account) => filled(parsed, account);
}

/** The parser forgives a missing end; a parenthesis inside a value is written \28 or \29, so that they must pair. */
export function checkedFilter(text: string): string {
  if (text.split("(").length !== text.split(")").length) throw new TypeError(`the LDAP filter ${text} has an open end`);
  return text;
}

/** The filter with an account's name in it. */
export function filled(filter: Filter, account: Jid): Filter {
  const put = (value: string) => replaced(value, account);
  if (filter instanceof AndFilter)
    return new AndFilter({ filters: filter.filters.map((each) => filled(each, account)) });
  if (filter instanceof OrFilter) return new OrFilter({ filters: filter.filters.map((each) => filled(each, account)) });
  if (filter instanceof NotFilter) return new NotFilter({ filter: filled(filter.filter, account) });
  if (filter instanceof EqualityFilter) {
    // A value that was written with escapes of bytes that are no UTF-8 holds no place for a name.
    const value = Buffer.isBuffer(filter.value) ? filter.value : put(filter.value);
    return new EqualityFilter({ attribute: filter.attribute, value });
  }
  if (filter instanceof SubstringFilter) {
    const { attribute, initial, any, final } = filter;
    return new SubstringFilter({ attribute, initial: put(initial), any: any.map(put), final: put(final) });
  }
  if (filter instanceof ExtensibleFilter) {
    const { rule, matchType, value, dnAttributes } = filter;
    return new ExtensibleFilter({ rule, matchType, value: put(value), dnAttributes });
  }
  for (const Kind of [ApproximateFilter, GreaterThanEqualsFilter, LessThanEqualsFilter]) {
    if (filter instanceof Kind) return new Kind({ attribute: filter.attribute, value: put(filter.value) });
  }
  return filter;
}

function replaced(value: string, { local, domain }: Jid): string {
  return value.replace(/%[ud%]/g, (sign) => (sign === "%u" ? local : sign === "%d" ? domain : "%"));
}
