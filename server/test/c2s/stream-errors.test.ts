/** RFC 6120 4.9.3: for every condition what a client does to get it, over TCP and WebSocket, or why it is never sent. */
import assert from "node:assert/strict";
import { after, type TestContext, test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { AccountStore } from "../../src/storage/specs.ts";
import type { StreamCondition } from "../../src/xmpp/errors.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { GOODBYE, LISTEN, logIn, OPEN, reach, type Stage, TCP_HEADER, WIRES, type Wire } from "../support/wires.ts";

const LIMITS = 'limits = { unauthenticated_stanza_size = "10000B", stanza_size = "20000B", close_timeout = "10s" }';
interface Case {
  readonly what: string;
  readonly on: readonly (keyof typeof WIRES)[];
  readonly at: readonly Stage[];
  readonly act: (wire: Wire, server: TestServer, t: TestContext) => void | Promise<void>;
  readonly toml?: string;
  readonly store?: typeof memoryDriver;
  /** Whether it ends the server. */
  readonly own?: boolean;
  readonly isSlow?: boolean;
  /** Whether the stream was restarted, so that a header is due. */
  readonly reopens?: boolean;
}

const BOTH = ["tcp", "websocket"] as const;
const LATER = ["opened", "authenticated", "bound"] as const;

/** The same bytes on each of `on`: a write on TCP, a message on a WebSocket. */
function saying(
  what: string,
  text: string | Buffer,
  at: readonly Stage[],
  on: readonly (keyof typeof WIRES)[] = BOTH,
): Case {
  return { what, on, at, act: (wire) => wire.send(text) };
}

/** A header that differs from the right one. */
function opening(what: string, change: (header: string) => string): Case {
  return {
    what,
    on: BOTH,
    at: ["unopened"],
    act: (wire) => wire.send(change(wire.kind === "tcp" ? TCP_HEADER : OPEN)),
  };
}

/** The certain way to get each; a sentence says why it is never sent. */
const CONDITIONS: Readonly<Record<StreamCondition, readonly Case[] | string>> = {
  "bad-format": [
    saying("text between stanzas", "hello", LATER, ["tcp"]),
    saying(
      "white space before an element",
      " <presence xmlns='jabber:client'/>",
      ["unopened", ...LATER],
      ["websocket"],
    ),
    saying("white space alone", "\n", ["bound"], ["websocket"]),
    saying("an empty message", "", ["bound"], ["websocket"]),
    saying("a stream within the stream", OPEN, LATER, ["websocket"]),
    saying("a frame that there is not", `<shut xmlns='${NS.framing}'/>`, ["unopened", "bound"], ["websocket"]),
  ],
  "bad-namespace-prefix":
    "whatever prefix is bound to a namespace is taken (4.8.5); one that is not is not-well-formed",
  conflict: [
    {
      what: "another client that binds the same resource",
      on: BOTH,
      at: ["bound"],
      act: async (_wire, server, t) => reach(await WIRES.tcp(t, server), "bound"),
    },
  ],
  "connection-timeout": [
    {
      what: "a log-in that does not come",
      isSlow: true,
      on: BOTH,
      at: ["unopened", "opened", "authenticated"],
      toml: LIMITS.replace("}", ', negotiation_timeout = "1s" }'),
      act: () => {},
    },
  ],
  "host-gone": "a node does not know which domains it served once",
  "host-unknown": [
    opening("a domain that is not served", (header) => header.replace("example.org", "elsewhere.example")),
    opening("no domain", (header) => header.replace(" to='example.org'", "")),
    opening("an address in place of a domain", (header) => header.replace("example.org", "alice@example.org")),
    opening("what is no domain", (header) => header.replace("example.org", "exa mple")),
    {
      what: "another domain after the log-in",
      on: BOTH,
      at: ["opened"],
      reopens: true,
      act: async (wire) => {
        await logIn(wire);
        wire.send((wire.kind === "tcp" ? TCP_HEADER : OPEN).replace("example.org", "other.example"));
      },
    },
  ],
  "improper-addressing":
    "for streams between servers; a client that addresses nobody gets jid-malformed for its stanza",
  "internal-server-error": [
    {
      what: "a failure that nobody foresaw",
      on: BOTH,
      at: ["opened"],
      store: brokenDriver,
      act: (wire) =>
        wire.send(
          wire.kind === "tcp"
            ? `<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-256'>${Buffer.from("n,,n=alice,r=abc").toString("base64")}</auth>`
            : `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from("\0alice\0x").toString("base64")}</auth>`,
        ),
    },
  ],
  "invalid-from": [
    saying("another's address", "<message xmlns='jabber:client' from='bob@example.org' to='a@b'/>", ["bound"]),
    opening("a header from what is no address", (header) => header.replace("to=", "from='a@b@c' to=")),
  ],
  "invalid-namespace": [
    saying("another stream namespace", TCP_HEADER.replace(NS.stream, "urn:x"), ["unopened"], ["tcp"]),
    saying(
      "another content namespace",
      TCP_HEADER.replace("'jabber:client'", "'jabber:server'"),
      ["unopened"],
      ["tcp"],
    ),
    saying("another root", TCP_HEADER.replace("stream:stream", "stream:flood"), ["unopened"], ["tcp"]),
    saying("a stanza first", "<presence xmlns='jabber:client'/>", ["unopened"]),
    saying("a header of TCP", `${TCP_HEADER}</stream:stream>`, ["unopened"], ["websocket"]),
    saying("<open/> without a namespace", "<open to='example.org' version='1.0'/>", ["unopened"], ["websocket"]),
    saying("<close/> of another namespace", "<close xmlns='jabber:client'/>", LATER, ["websocket"]),
    saying("a stanza of servers", "<message xmlns='jabber:server' to='a@b'/>", LATER),
    saying("a stanza without a namespace", "<message xmlns='' to='a@b'/>", LATER),
  ],
  "invalid-xml": "nothing is validated against a schema (11.4)",
  "not-authorized": [
    saying("a message before the log-in", "<message xmlns='jabber:client' to='a@b'/>", ["opened"]),
    saying("an iq before the log-in", "<iq xmlns='jabber:client' type='get' id='1'/>", ["opened"]),
    saying("presence before a resource is bound", "<presence xmlns='jabber:client'/>", ["authenticated"]),
  ],
  "not-well-formed": [
    saying("tags that do not match", "<message xmlns='jabber:client'><body></message>", LATER),
    saying("an end tag first", "</stream:stream>", ["unopened"]),
    saying("an attribute twice", "<message xmlns='jabber:client' to='a' to='b'/>", LATER),
    saying("a prefix that nobody declared", "<x:message/>", LATER),
    saying("text before the stream", "hello", ["unopened"], ["tcp"]),
    saying("half an element", "<message xmlns='jabber:client'", LATER, ["websocket"]),
    saying("two elements", "<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>", LATER, ["websocket"]),
  ],
  "policy-violation": [
    saying("too large an element before the log-in", `<a>${"x".repeat(10_000)}`, ["opened"], ["tcp"]),
    saying("too large an element before the log-in", `<a>${"x".repeat(10_000)}</a>`, ["opened"], ["websocket"]),
    saying("too large a stanza", `<message xmlns='jabber:client'>${"x".repeat(20_000)}`, ["bound"], ["tcp"]),
    saying("too deep a stanza", `${"<a>".repeat(100)}${"</a>".repeat(100)}`, LATER),
    saying("too many attributes", `<a ${Array.from({ length: 100 }, (_, i) => `a${i}=''`).join(" ")}/>`, LATER),
    saying("a second log-in", `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>AA==</auth>`, ["authenticated"]),
    {
      what: "too many refused resources",
      on: BOTH,
      at: ["authenticated"],
      act: async (wire) => {
        for (let i = 0; i < 5; i++) {
          wire.send(
            `<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='${NS.bind}'><resource>&#x2028;</resource></bind></iq>`,
          );
          assert.match(await wire.until(/<\/iq>\n?/), /type='error'/);
        }
      },
    },
    {
      what: "too many failed log-ins",
      on: BOTH,
      at: ["opened"],
      act: async (wire) => {
        for (let i = 0; i < 3; i++) {
          wire.send(`<auth xmlns='${NS.sasl}' mechanism='X-NONE'/>`);
          await wire.until(/<\/failure>\n?/);
        }
      },
    },
  ],
  "remote-connection-failed": "no other server is asked whether a client may come in",
  reset: "here; a stream whose client logged in by a certificate gets it when that has run out",
  "resource-constraint":
    "who comes beyond a limit is let go before there is a stream; stanzas get an error of their own",
  "restricted-xml": [
    saying("a comment", "<!-- x -->", ["unopened", ...LATER]),
    saying("a document type", "<!DOCTYPE x [<!ENTITY a 'b'>]>", ["unopened", ...LATER]),
    saying("a processing instruction", "<?php x?>", LATER),
    saying("an entity of its own", "<message xmlns='jabber:client'>&a;</message>", LATER),
  ],
  "see-other-host": "the load balancer decides who goes where, before there is a stream",
  "system-shutdown": [
    {
      what: "the end of the node",
      own: true,
      on: BOTH,
      at: ["unopened", ...LATER],
      act: (_wire, server) => void server.stop(),
    },
  ],
  "undefined-condition": "there is none of our own",
  "unsupported-encoding": [
    saying(
      "another encoding declared",
      `<?xml version='1.0' encoding='ISO-8859-1'?>${TCP_HEADER}`,
      ["unopened"],
      ["tcp"],
    ),
    saying("another encoding declared", `<?xml version='1.0' encoding='UTF-16'?>${OPEN}`, ["unopened"], ["websocket"]),
    saying("bytes that are not UTF-8", Buffer.from("<a>\xff</a>", "latin1"), ["unopened", ...LATER], ["tcp"]),
  ],
  "unsupported-feature": "for whoever is offered features: a client",
  "unsupported-stanza-type": [
    saying("an element of no known namespace", "<compress xmlns='http://jabber.org/protocol/compress'/>", LATER),
    saying("an element that is no stanza", "<pubsub xmlns='jabber:client'/>", LATER),
    saying("a message of another namespace", "<message xmlns='urn:x' to='a@b'/>", LATER),
    saying("a log-in when there is a session", `<auth xmlns='${NS.sasl}' mechanism='PLAIN'/>`, ["bound"]),
    saying("features", `<features xmlns='${NS.stream}'/>`, LATER),
  ],
  "unsupported-version": [
    opening("no version", (header) => header.replace(" version='1.0'", "")),
    opening("an old version", (header) => header.replace("'1.0'", "'0.9'")),
    opening("what is no version", (header) => header.replace("'1.0'", "'one'")),
  ],
};

/** Accounts that fail by a bug. */
function brokenDriver(): ReturnType<typeof memoryDriver> {
  const driver = memoryDriver();
  const fail = () => {
    throw new TypeError("a bug");
  };
  const broken = (store: object) => new Proxy(store, { get: (_, key) => (key === "then" ? undefined : fail) });
  return { ...driver, accounts: () => broken({}) as AccountStore };
}

const shared = await startServer({ after } as TestContext, { toml: `${LISTEN}\n${LIMITS}` });
await shared.account("alice");

async function serverFor(t: TestContext, { toml, store, own }: Case): Promise<TestServer> {
  if (toml === undefined && store === undefined && own !== true) return shared;
  const server = await startServer(t, {
    toml: `${LISTEN}\n${toml ?? LIMITS}`,
    ...(store === undefined ? {} : { store: store() }),
  });
  if (store === undefined) await server.account("alice");
  return server;
}

const escaped = NS.stream.replaceAll(".", "\\.");
const reason = (condition: string) =>
  `<${condition} xmlns='${NS.streamErrors}'/>(<text xmlns='${NS.streamErrors}' xml:lang='en'>[^<]+</text>)?(<[\\w-]+ xmlns='urn:xmpp:errors'/>)?`;

/** What is said last; 4.9.1.2: a header of ours first, if there was none. */
function farewell(kind: Wire["kind"], condition: string, isOpen: boolean): RegExp {
  const header =
    kind === "tcp"
      ? `<\\?xml version='1\\.0'\\?><stream:stream xmlns='jabber:client' xmlns:stream='${escaped}' id='[^']+' from='example\\.org'[^>]* xml:lang='en'>`
      : `<open xmlns='${NS.framing}' id='[^']+' from='example\\.org'[^>]* xml:lang='en'/>\\n`;
  const error =
    kind === "tcp"
      ? `<stream:error>${reason(condition)}</stream:error></stream:stream>`
      : `<stream:error xmlns:stream='${escaped}'>${reason(condition)}</stream:error>\\n${GOODBYE}\\n`;
  return new RegExp(`^${isOpen ? "" : header}${error}$`);
}

async function check(condition: string, one: Case, kind: Wire["kind"], stage: Stage, t: TestContext): Promise<void> {
  const server = await serverFor(t, one);
  const wire = await WIRES[kind](t, server);
  await reach(wire, stage);
  const began = performance.now();
  await one.act(wire, server, t);
  assert.match(await wire.rest(), farewell(kind, condition, stage !== "unopened" && one.reopens !== true));
  assert.equal(wire.code, kind === "tcp" ? undefined : 1000);
  assert.ok(performance.now() - began < 5_000, "the good-bye is not waited for in vain");
}

for (const [condition, cases] of Object.entries(CONDITIONS)) {
  for (const one of typeof cases === "string" ? [] : cases) {
    const places = one.on.flatMap((kind) => one.at.map((stage) => ({ kind, stage })));
    if (one.isSlow === true) {
      test(`${condition}: ${one.what}`, async (t) => {
        await Promise.all(places.map(({ kind, stage }) => check(condition, one, kind, stage, t)));
      });
    } else {
      for (const { kind, stage } of places) {
        test(`${condition}: ${one.what}, ${stage}, by ${kind}`, (t) => check(condition, one, kind, stage, t));
      }
    }
  }
}

test("a condition that is never sent says why", () => {
  const never = Object.entries(CONDITIONS).filter(([, cases]) => typeof cases === "string");
  assert.deepEqual(
    never.map(([condition]) => condition),
    [
      "bad-namespace-prefix",
      "host-gone",
      "improper-addressing",
      "invalid-xml",
      "remote-connection-failed",
      "reset",
      "resource-constraint",
      "see-other-host",
      "undefined-condition",
      "unsupported-feature",
    ],
  );
});
