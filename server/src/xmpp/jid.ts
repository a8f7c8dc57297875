import { isIPv4, isIPv6 } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { Lru } from "../util/lru.ts";
import { isIdentifier, prepareLocal, prepareResource } from "./precis.ts";

/** An XMPP address whose parts are already prepared (RFC 7622). Compare `full` or `bare`, never parts by hand. */
export class Jid {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
  readonly bare: string;
  readonly full: string;

  /** Takes prepared parts as they are; `parseJid` takes a peer's text. */
  constructor(local: string, domain: string, resource = "") {
    this.local = local;
    this.domain = domain;
    this.resource = resource;
    this.bare = local === "" ? domain : `${local}@${domain}`;
    this.full = resource === "" ? this.bare : `${this.bare}/${resource}`;
  }

  get isBare(): boolean {
    return this.resource === "";
  }

  toBare(): Jid {
    return this.resource === "" ? this : new Jid(this.local, this.domain);
  }

  withResource(resource: string): Jid {
    return new Jid(this.local, this.domain, resource);
  }

  toString(): string {
    return this.full;
  }
}

const MAX_BYTES = 1023;
/** Three parts and two separators. */
const MAX_LENGTH = 3 * MAX_BYTES + 2;
/** Longer texts are parsed anew each time, so that nobody can fill the cache with kilobytes. */
const MAX_CACHED_LENGTH = 256;

let cache = new Lru<string, Jid>(10_000);

/** Sets how many parsed addresses the process remembers (10,000 unless set); 0 remembers none. */
export function rememberJids(count: number): void {
  cache = new Lru(count);
}

/** Parses and prepares an address from a peer (RFC 7622 3); undefined if it is none. Never throws. */
export function parseJid(text: string): Jid | undefined {
  const known = cache.get(text);
  if (known !== undefined) return known;
  if (text.length > MAX_LENGTH || !text.isWellFormed()) return undefined;
  if (text.length > MAX_CACHED_LENGTH) return parse(text);
  // A copy: the peer's text may be a slice that keeps a whole chunk of its stream in memory.
  const own = Buffer.from(text).toString();
  const jid = parse(own);
  if (jid !== undefined) cache.set(own, jid);
  return jid;
}

/** Prepares parts into an address; undefined if a part is not allowed. "" means no local part, or no resource. */
export function makeJid(local: string, domain: string, resource = ""): Jid | undefined {
  const preparedLocal = local === "" ? "" : prepareLocal(local);
  const preparedDomain = prepareDomain(domain);
  const preparedResource = resource === "" ? "" : prepareResource(resource);
  if (preparedLocal === undefined || preparedDomain === undefined || preparedResource === undefined) return undefined;
  return new Jid(preparedLocal, preparedDomain, preparedResource);
}

// RFC 7622 3.1: the resource starts at the first slash, and only before it does an at sign end the local part.
function parse(text: string): Jid | undefined {
  const slash = text.indexOf("/");
  const bare = slash === -1 ? text : text.slice(0, slash);
  const at = bare.indexOf("@");
  if (at === 0 || slash === text.length - 1) return undefined;
  return makeJid(at === -1 ? "" : bare.slice(0, at), bare.slice(at + 1), slash === -1 ? "" : text.slice(slash + 1));
}

/** ASCII that no domain has; domainToASCII parses a URL's host, in which some of these have a meaning. */
const NOT_IN_DOMAIN = /[\0-,/:-@[-^`{-\x7f]/;
const ASCII_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** What nearly every domain is: prepared already, with no A-label, and no address since its last label is no number. */
const PREPARED_DOMAIN =
  /^(?!.*xn--)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * RFC 7622 3.2: a domain as lower-case U-labels without the trailing dot, or an IP address literal; undefined if it is
 * neither. Underscores are let through: container and component names have them.
 */
export function prepareDomain(text: string): string | undefined {
  if (text.length > MAX_BYTES) return undefined;
  if (PREPARED_DOMAIN.test(text)) return text;
  if (text.startsWith("[")) return isIPv6(text.slice(1, -1)) && text.endsWith("]") ? ipv6(text) : undefined;
  // Compatibility forms first: some of them hide a slash or a dot.
  const plain = isPlain(text) ? text : text.normalize("NFKC");
  if (NOT_IN_DOMAIN.test(plain)) return undefined;
  const mapped = isPlain(plain) ? plain.toLowerCase() : toUnicode(plain);
  const domain = mapped.endsWith(".") ? mapped.slice(0, -1) : mapped;
  if (isIPv4(domain)) return domain;
  const labels = domain.split(".");
  // An all-digit last label is a badly written IPv4 address.
  if (/^\d+$/.test(labels.at(-1) ?? "")) return undefined;
  return labels.every(isLabel) && Buffer.byteLength(domain) <= MAX_BYTES ? domain : undefined;
}

function isPlain(text: string): boolean {
  return /^[A-Za-z0-9_.-]*$/.test(text) && !/xn--/i.test(text);
}

/** RFC 4291's compressed form; a zone index is not part of an address. */
function ipv6(text: string): string | undefined {
  return domainToASCII(text) || undefined;
}

function toUnicode(text: string): string {
  return text
    .split(/[.\u3002]/)
    .map((label) => (isPlain(label) ? label.toLowerCase() : toUnicodeLabel(label)))
    .join(".");
}

function toUnicodeLabel(label: string): string {
  const unicode = domainToUnicode(domainToASCII(label));
  // A label that is a number to a URL comes back as an IPv4 address.
  return unicode.includes(".") ? "" : unicode;
}

function isLabel(label: string): boolean {
  if (ASCII_LABEL.test(label)) return !label.startsWith("xn--");
  // RFC 5890 2.3.2.1: a U-label is one that survives the way to its A-label and back, and has no symbols.
  const ascii = domainToASCII(label);
  return ascii.startsWith("xn--") && ASCII_LABEL.test(ascii) && domainToUnicode(ascii) === label && isIdentifier(label);
}
