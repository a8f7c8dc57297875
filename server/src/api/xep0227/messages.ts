/** XEP-0227 2.5 and 2.11: archived messages, and those that waited for their reader, between a file and an archive. */
import { createHash } from "node:crypto";
import { archiveIdOf, archiveTime } from "../../storage/archive-id.ts";
import type { ArchivedItem } from "../../storage/specs.ts";
import { type Element, element } from "../../xml/element.ts";
import { CHECKED_BEFORE } from "../../xml/limits.ts";
import { parseElement } from "../../xml/parser.ts";
import { type Jid, parseJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { PieError } from "./credentials.ts";
import { PIE } from "./names.ts";

const STANZA_ID = "urn:xmpp:sid:0";
/** How far a later message may be dated before an earlier one and still stand behind it, microseconds. */
const DISORDER = 1_000_000;
/** The newest messages of an archive that are known again among those that waited: of a large one, not all fit into memory. */
const MAX_SEEN = 100_000;

/** Reads the messages of one account in their order, which their ids keep where times are alike. */
export class MessageReader {
  readonly #account: Jid;
  #last = 0;
  /** The archive's messages, which may be among those that waited as well, and the other way round. */
  readonly #archived = new Set<string>();
  readonly #waited = new Set<string>();

  constructor(account: Jid) {
    this.#account = account;
  }

  /** One result of an archive; undefined when it has come in as one that waited. Throws a PieError for what is none. */
  result(result: Element): ArchivedItem<string> | undefined {
    const forwarded = result.child("forwarded", PIE.forward);
    const message = forwarded?.child("message", NS.client);
    if (forwarded === undefined || message === undefined) throw new PieError("a result of the archive has no message");
    if (this.#waited.delete(mark(message))) return undefined;
    remember(this.#archived, message);
    return this.#item(message, forwarded.child("delay", NS.delay), result.attrs.id ?? "");
  }

  /** A message that waited; undefined when the archive of the file has it too. */
  offline(message: Element): ArchivedItem<string> | undefined {
    if (message.name !== "message" || message.xmlns !== NS.client)
      throw new PieError("one of the offline messages is none");
    if (this.#archived.has(mark(message))) return undefined;
    remember(this.#waited, message);
    return this.#item(message, message.child("delay", NS.delay), "");
  }

  #item(given: Element, delay: Element | undefined, id: string): ArchivedItem<string> {
    const at = micros(delay?.attrs.stamp ?? "");
    if (at === undefined) throw new PieError("a message has no time");
    // An archive that is counted in seconds has many messages of the same time.
    this.#last = at <= this.#last && this.#last - at < DISORDER ? this.#last + 1 : at;
    const from = parseJid(given.attrs.from ?? "") ?? this.#account;
    const to = parseJid(given.attrs.to ?? "") ?? this.#account;
    const own = from.bare === this.#account.bare;
    const seed = `${this.#account.bare}\0${id === "" ? given.toXml() : id}`;
    const isOurs = archiveTime(id) === Math.floor(at / 1000);
    const kept = isOurs ? id : archiveIdOf(this.#last, seed);
    const message = given.with({ from: from.full, to: to.full });
    const value = (isOurs ? message : this.#stamped(message, own ? undefined : kept)).toXml();
    return { id: kept, with: own ? to : from, value };
  }

  /** XEP-0359 4: without the id of the former archive, and with that of this one where it has come in. */
  #stamped(message: Element, id: string | undefined): Element {
    const by = this.#account.bare;
    const children = message.children.filter(
      (child) => typeof child === "string" || child.attrs.by !== by || !["stanza-id", "archived"].includes(child.name),
    );
    return message.withChildren(
      id === undefined ? children : [...children, element("stanza-id", STANZA_ID, { by, id })],
    );
  }
}

/** The archive's item as a file has it. */
export function resultElement({ id, value }: ArchivedItem<string>): Element {
  const stamp = new Date(archiveTime(id) ?? 0).toISOString();
  const forwarded = element(
    "forwarded",
    PIE.forward,
    {},
    element("delay", NS.delay, { stamp }),
    parseElement(Buffer.from(value), CHECKED_BEFORE),
  );
  return element("result", PIE.results, { id }, forwarded);
}

function remember(marks: Set<string>, message: Element): void {
  marks.add(mark(message));
  if (marks.size > MAX_SEEN) for (const oldest of marks.values().take(1)) marks.delete(oldest);
}

/** What is alike in both places, in a few bytes. */
function mark(message: Element): string {
  const { from = "", id = "" } = message.attrs;
  const told = JSON.stringify([from, id, message.childText("body", message.xmlns)]);
  return createHash("sha256").update(told).digest("base64").slice(0, 24);
}

/** XEP-0082, to the microsecond. */
function micros(stamp: string): number | undefined {
  const [, upTo = "", fraction = "", zone = "Z"] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?$/.exec(stamp) ?? [];
  const seconds = Date.parse(`${upTo}${zone}`);
  return Number.isNaN(seconds) ? undefined : seconds * 1000 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}
