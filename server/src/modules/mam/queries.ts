/** XEP-0313 4: what clients ask of an archive, and what they are sent. */
import type { IqRequest, Session } from "../../module/api.ts";
import { archiveTime } from "../../storage/archive-id.ts";
import type { ArchivedItem, ArchivePage, ArchiveQuery, ArchiveRange, ArchiveStore } from "../../storage/specs.ts";
import { type Element, element } from "../../xml/element.ts";
import { CHECKED_BEFORE } from "../../xml/limits.ts";
import { parseElement } from "../../xml/parser.ts";
import { formatDateTime, parseDateTime } from "../../xmpp/date-time.ts";
import { StanzaError } from "../../xmpp/errors.ts";
import { type FilledForm, formElement, readForm } from "../../xmpp/forms.ts";
import { type Jid, parseJid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import { pageElement, readPage } from "../../xmpp/rsm.ts";

type Messages = ArchiveStore<string>;

/** How many messages a client that asks for a count alone has counted, at most (XEP-0059 2.7). */
const MAX_COUNT = 10_000;

/** What can be asked for (4.1.5). */
export function queryForm(request: IqRequest): Element {
  ownArchive(request);
  const open = element("validate", VALIDATE, { datatype: "xs:string" }, element("open", VALIDATE));
  const form = formElement("form", {
    formType: NS.mam,
    fields: [
      { name: "with", type: "jid-single" },
      ...["start", "end", "before-id", "after-id"].map((name) => ({ name, type: "text-single" as const })),
    ],
  });
  const ids = element("field", NS.data, { type: "list-multi", var: "ids" }, open);
  return element("query", NS.mam, {}, form.withChildren([...form.children, ids]));
}

const VALIDATE = "http://jabber.org/protocol/xdata-validate";

/** Sends the page, and returns what ends it. */
export async function answerQuery(
  messages: Messages,
  request: IqRequest,
  pages: { readonly default: number; readonly largest: number; readonly bytes: number },
): Promise<Element> {
  const session = ownArchive(request);
  const { payload, to } = request;
  if (payload.attrs.node !== undefined) throw new StanzaError("item-not-found", "an account's archive has no nodes");
  const { range, ids } = readRange(payload);
  if (ids.length > pages.largest) throw new StanzaError("not-acceptable", `at most ${pages.largest} ids at a time`);
  const { max = pages.default, after, before } = readPage(payload);
  const known = [range.after, range.before, after, before, ...ids].filter(
    (id) => id !== undefined && id !== "",
  ) as string[];
  const there = await messages.get(to, [...new Set(known)]);
  if (there.length < new Set(known).size) throw new StanzaError("item-not-found", "no message has this id");

  // XEP-0059 2.7: how many there are, and nothing else.
  if (max === 0) return fin({ items: [], complete: false }, await messages.count(to, range, MAX_COUNT));
  const page =
    ids.length > 0
      ? fitting(
          there.filter(({ id }) => ids.includes(id)),
          pages.bytes,
        )
      : await boundedPage(messages, to, pages.bytes, {
          ...range,
          ...narrower(range, after, before),
          from: before === undefined ? "oldest" : "newest",
          max: Math.min(max, pages.largest),
        });
  const queryId = payload.attrs.queryid;
  const sent = payload.child("flip-page") === undefined ? page.items : page.items.toReversed();
  for (const item of sent) session.send(resultElement(item, request, queryId));
  return fin(page);
}

/** The first of them that are so many bytes together, but always one. */
function fitting(items: readonly ArchivedItem<string>[], bytes: number): ArchivePage<string> {
  let left = bytes;
  const end = items.findIndex(({ value }, index) => {
    left -= Buffer.byteLength(value);
    return left < 0 && index > 0;
  });
  return end === -1 ? { items, complete: true } : { items: items.slice(0, end), complete: false };
}

/** Messages that are read at a time. */
const SLICE = 50;

/** A page that ends early where its messages are large: a client that reads slower than the store would be cut off. */
async function boundedPage(
  messages: Messages,
  owner: Jid,
  bytes: number,
  query: ArchiveQuery,
): Promise<ArchivePage<string>> {
  const taken: ArchivedItem<string>[] = [];
  const given = (complete: boolean) => ({ items: query.from === "oldest" ? taken : taken.toReversed(), complete });
  let left = bytes;
  for (let slice = query; ; ) {
    const max = Math.min(query.max - taken.length, SLICE);
    const { items, complete } = await messages.page(owner, { ...slice, max });
    for (const item of query.from === "oldest" ? items : items.toReversed()) {
      left -= Buffer.byteLength(item.value);
      if (left < 0 && taken.length > 0) return given(false);
      taken.push(item);
    }
    const last = taken.at(-1)?.id;
    if (complete || taken.length >= query.max || last === undefined) return given(complete);
    slice = { ...query, ...(query.from === "oldest" ? { after: last } : { before: last }) };
  }
}

/** Its first and last message (4.4). */
export async function answerMetadata(messages: Messages, request: IqRequest): Promise<Element> {
  ownArchive(request);
  const [first, last] = await Promise.all(
    (["oldest", "newest"] as const).map((from) => messages.page(request.to, { from, max: 1 })),
  );
  const ends = [
    ["start", first?.items[0]],
    ["end", last?.items[0]],
  ] as const;
  return element(
    "metadata",
    NS.mam,
    {},
    ...ends.flatMap(([name, item]) =>
      item === undefined ? [] : [element(name, NS.mam, { id: item.id, timestamp: stampOf(item) })],
    ),
  );
}

/** An archive is read by its owner's clients alone. */
function ownArchive({ from, to, origin }: IqRequest): Session {
  if (from.bare !== to.bare || origin.kind !== "client") throw new StanzaError("forbidden");
  return origin.session;
}

function readRange(query: Element): { readonly range: ArchiveRange; readonly ids: readonly string[] } {
  const x = query.child("x", NS.data);
  const form: FilledForm | undefined = x && readForm(x);
  if (form === undefined) return { range: {}, ids: [] };
  if (form.formType !== NS.mam) throw new StanzaError("bad-request", `the form is one of ${NS.mam}`);
  for (const name of form.fields.keys()) {
    if (!FIELDS.has(name)) throw new StanzaError("feature-not-implemented", `there is no field ${name}`);
  }
  const value = (name: string) => {
    const [given] = form.fields.get(name) ?? [];
    return given === "" ? undefined : given;
  };
  const read = <T>(name: string, reading: (text: string) => T | undefined): T | undefined => {
    const given = value(name);
    const found = given === undefined ? undefined : reading(given);
    if (given !== undefined && found === undefined) throw new StanzaError("bad-request", `${name} cannot be read`);
    return found;
  };
  return {
    range: {
      with: read("with", parseJid),
      start: read("start", parseDateTime),
      end: read("end", parseDateTime),
      after: value("after-id"),
      before: value("before-id"),
    },
    ids: form.fields.get("ids") ?? [],
  };
}

const FIELDS: ReadonlySet<string> = new Set(["with", "start", "end", "before-id", "after-id", "ids"]);

/** The page's own bounds within those of the form; ids are in the order of their items. */
function narrower(
  range: ArchiveRange,
  after: string | undefined,
  before: string | undefined,
): Pick<ArchiveRange, "after" | "before"> {
  const lower = [range.after, after].filter((id) => id !== undefined).sort();
  const upper = [range.before, before].filter((id) => id !== undefined && id !== "").sort();
  return { after: lower.at(-1), before: upper[0] };
}

function resultElement(item: ArchivedItem<string>, { from, to }: IqRequest, queryid: string | undefined): Element {
  const delay = element("delay", NS.delay, { stamp: stampOf(item) });
  const message = parseElement(Buffer.from(item.value), CHECKED_BEFORE);
  return element(
    "message",
    NS.client,
    { from: to.bare, to: from.full },
    element(
      "result",
      NS.mam,
      { ...(queryid === undefined ? {} : { queryid }), id: item.id },
      element("forwarded", NS.forward, {}, delay, message),
    ),
  );
}

function stampOf({ id }: { readonly id: string }): string {
  return formatDateTime(archiveTime(id) ?? 0);
}

function fin({ items, complete }: ArchivePage<string>, count?: number): Element {
  return element("fin", NS.mam, complete ? { complete: "true" } : {}, pageElement(items, count));
}
