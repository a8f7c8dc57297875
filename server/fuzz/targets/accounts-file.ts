import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { contactElements } from "../../src/api/xep0227/contacts.ts";
import { credentialsElement, PieError } from "../../src/api/xep0227/credentials.ts";
import { Draft } from "../../src/api/xep0227/draft.ts";
import { FILE_END, FILE_START, HOST_END, hostStart } from "../../src/api/xep0227/exporter.ts";
import { MessageReader, resultElement } from "../../src/api/xep0227/messages.ts";
import { PIE } from "../../src/api/xep0227/names.ts";
import { FileError, type Files, readPie } from "../../src/api/xep0227/reader.ts";
import { isArchiveId } from "../../src/storage/archive-id.ts";
import type { ArchivedItem } from "../../src/storage/specs.ts";
import { escapeXml } from "../../src/xml/element.ts";
import { makeJid } from "../../src/xmpp/jid.ts";
import { prepareLocal } from "../../src/xmpp/precis.ts";
import { FRAGMENTS } from "../documents.ts";
import { cutUp, mutate } from "../random.ts";
import type { Target } from "../target.ts";

const FIXTURES = join(import.meta.dirname, "../../test/api/xep0227");
const DOMAIN = "example.org";
const LIMITS = { maxStanzaBytes: 4000, maxTagBytes: 1000 };
const HOST = readFileSync(join(FIXTURES, "ejabberd/20261127-142413_example_org.xml"));
const SAMPLES: readonly Buffer[] = [
  readFileSync(join(FIXTURES, "prosody/alice@example.org.xml")),
  readFileSync(join(FIXTURES, "prosody/carol@example.org.xml")),
  Buffer.from(
    `<server-data xmlns='urn:xmpp:pie:0'><host jid='${DOMAIN}'>${HOST.toString().replace(/^.*?<host[^>]*>/s, "")}</server-data>`,
  ),
  Buffer.from(
    `<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='host'/><host jid='${DOMAIN}'>` +
      "<user name='a' password='p'><xi:include href='data'/></user><xi:include href='host'/><user name='b'/></host></server-data>",
  ),
];
const MORE = [
  ...FRAGMENTS,
  "<user name='x'>",
  "</user>",
  "<user/>",
  "<host jid='h'>",
  "</host>",
  "<archive xmlns='urn:xmpp:pie:0#mam'>",
  "</archive>",
  "<offline-messages>",
  "</offline-messages>",
  "<item jid='@'/>",
  " ask='subscribe'",
  " subscription='from'",
  "=",
  "2026-02-30T25:61:61Z",
  "<xi:include href='data'/>",
];

/** What came of a file: its accounts in short, and whether it could be read to its end. */
interface Reading {
  readonly accounts: readonly Account[];
  readonly broken: boolean;
}
interface Account {
  readonly draft: Draft;
  readonly messages: readonly ArchivedItem<string>[];
  readonly failure: string | undefined;
}

/** However it is cut, a file comes to the same accounts; and those that are whole are the same when they are written and read again. */
export const accountsFile: Target = {
  name: "accounts file",
  make: (random) => mutate(random, random.pick(SAMPLES), MORE, 12_000),

  async check(input, random) {
    const whole = await read([input]);
    const pieces = await read(cutUp(random, input, 200));
    assert.equal(pieces.broken, whole.broken, "broken or not, depending on the cut");
    const common = Math.min(pieces.accounts.length, whole.accounts.length);
    if (!whole.broken) assert.equal(pieces.accounts.length, whole.accounts.length);
    for (let i = 0; i < common - (whole.broken ? 1 : 0); i++) {
      assert.deepEqual(brief(pieces.accounts[i] as Account), brief(whole.accounts[i] as Account));
    }
    const good = whole.accounts.filter(({ failure, draft }) => failure === undefined && draft.password === undefined);
    for (const account of good) {
      const again = await read([Buffer.from(written(account))], {});
      assert.equal(again.broken, false, "what was written cannot be read");
      assert.deepEqual(brief(again.accounts[0] as Account), brief(account));
    }
    return good.length > 0;
  },
};

async function read(chunks: readonly Uint8Array[], limits: object = LIMITS): Promise<Reading> {
  const files: Files = {
    async open(href) {
      if (href === undefined)
        return {
          name: "main",
          bytes: (async function* () {
            yield* chunks;
          })(),
        };
      if (href === "host")
        return {
          name: "host",
          bytes: (async function* () {
            yield HOST;
          })(),
        };
      if (href === "data")
        return {
          name: "data",
          bytes: (async function* () {
            yield Buffer.from("<vCard xmlns='vcard-temp'><FN/></vCard>");
          })(),
        };
      throw new FileError("no such file");
    },
  };
  const accounts: Account[] = [];
  let broken = false;
  let open:
    | { draft: Draft; reader: MessageReader; messages: ArchivedItem<string>[]; failure: string | undefined }
    | undefined;
  let inside = false;
  for await (const piece of readPie(files, limits)) {
    if (piece.kind === "user") {
      assert.equal(inside, false, "a user within a user");
      inside = true;
      const account = makeJid(prepareLocal(piece.name) ?? "", DOMAIN);
      const named = account !== undefined && account.local !== "";
      open = named
        ? {
            draft: new Draft(account, piece.password),
            reader: new MessageReader(account),
            messages: [],
            failure: undefined,
          }
        : undefined;
    } else if (piece.kind === "end") {
      assert.equal(inside, true, "an end of no user");
      inside = false;
      if (open !== undefined) accounts.push(open);
      open = undefined;
    } else if (piece.kind === "broken") {
      broken = true;
      if (open !== undefined) open.failure ??= piece.reason;
    } else if (open !== undefined && open.failure === undefined && piece.kind !== "host" && piece.kind !== "foreign") {
      try {
        if (piece.kind === "data") open.draft.take(piece.element);
        else {
          const item =
            piece.kind === "archived" ? open.reader.result(piece.element) : open.reader.offline(piece.element);
          if (item !== undefined) open.messages.push(item);
        }
      } catch (error) {
        if (!(error instanceof PieError)) throw error;
        if (piece.kind === "data") open.failure = error.message;
      }
    }
  }
  assert.equal(inside, false, "a user without an end");
  for (const { messages } of accounts)
    for (const { id } of messages) assert.ok(isArchiveId(id), `an id that is none: ${id}`);
  return { accounts, broken };
}

function brief({ draft, messages, failure }: Account) {
  return {
    account: draft.account.bare,
    failure,
    keys: [...draft.keys.values()].map((keys) => credentialsElement(keys).toXml()).sort(),
    roster: [...draft.roster()].sort(([a], [b]) => (a < b ? -1 : 1)),
    privateXml: [...draft.privateXml].sort(([a], [b]) => (a < b ? -1 : 1)),
    vcard: draft.vcard?.toXml(),
    messages: messages.map(({ id, with: party, value }) => [id, party.full, value]),
  };
}

/** As the exporter writes it. */
function written({ draft, messages }: Account): string {
  const children = [
    ...[...draft.keys.values()].map((keys) => credentialsElement(keys)),
    ...contactElements(draft.account, draft.roster()),
    ...(draft.vcard === undefined ? [] : [draft.vcard]),
  ].map((child) => child.toXml(PIE.data));
  const kept = [...draft.privateXml.values()].join("");
  const archived = messages.map((item) => resultElement(item).toXml(PIE.archive)).join("");
  return (
    `${FILE_START}${hostStart(DOMAIN)}<user name='${escapeXml(draft.account.local)}'>${children.join("")}` +
    `<query xmlns='jabber:iq:private'>${kept}</query><archive xmlns='${PIE.archive}'>${archived}</archive></user>${HOST_END}${FILE_END}`
  );
}
