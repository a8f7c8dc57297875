/** What a stream asks of its transport. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShaperOptions } from "../../src/net/shaper.ts";
import type { Transport, TransportReceiver } from "../../src/net/transport.ts";
import type { NegotiatingStream, StreamFeature } from "../../src/stream/feature.ts";
import { type StreamOwner, XmppStream } from "../../src/stream/stream.ts";
import { element } from "../../src/xml/element.ts";
import { DEFAULT_LIMITS } from "../../src/xml/parser.ts";

const LOGIN = "<login xmlns='urn:x'/>";
const HEADER =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>";

function setUp(t: { after(run: () => void): void }) {
  const said: string[] = [];
  const shapes: (ShaperOptions | undefined)[] = [];
  let receiver: TransportReceiver | undefined;
  const transport: Transport = {
    kind: "tcp",
    address: "192.0.2.1",
    secure: false,
    tls: undefined,
    backlog: 0,
    attach: (given) => {
      receiver = given;
    },
    write: (text) => void said.push(text),
    pause() {},
    resume() {},
    shape: (shaper) => void shapes.push(shaper),
    startTls() {},
    end: () => void said.push("(end)"),
    destroy() {},
  };
  const login: StreamFeature<NegotiatingStream> = {
    xmlns: "urn:x",
    needs: [],
    until: ["authenticated"],
    takes: ({ xmlns }) => xmlns === "urn:x",
    advertise: () => element("login", "urn:x"),
    negotiate: () => ({ gained: ["authenticated"], restart: true }),
  };
  const ended: string[] = [];
  const owner: StreamOwner<NegotiatingStream> = {
    negotiating: { facts: new Set(), send() {} },
    domain: "a.example",
    opened: () => ({ domain: "a.example", features: [login] }),
    established() {},
    ahead: () => false,
    received() {},
    ended: (error) => void ended.push(error?.condition ?? ""),
    failed: (error) => {
      throw error;
    },
  };
  const stream = new XmppStream(() => "1", transport, owner, {
    negotiationTimeoutMs: 60_000,
    closeTimeoutMs: 1000,
    shaper: { rate: 7, burst: 7 },
    xml: DEFAULT_LIMITS,
    maxUnauthenticatedBytes: 10_000,
    maxInbox: 10,
  });
  t.after(() => receiver?.closed());
  return { stream, said, shapes, ended, hear: (text: string) => receiver?.data(Buffer.from(text)) };
}

test("until the log-in it is read as the listener says, and from then on as a session is", (t) => {
  const { hear, shapes } = setUp(t);
  hear(HEADER);
  assert.deepEqual(shapes, []);
  hear(LOGIN);
  assert.deepEqual(shapes, [{ rate: 7, burst: 7 }]);
});

test("nothing that a closed stream still hears is answered", (t) => {
  const { hear, said, stream, ended } = setUp(t);
  hear(HEADER);
  stream.close();
  const before = said.length;
  hear(`${LOGIN}<message/></stream:stream>`);
  assert.deepEqual([said.length, said.at(-1)], [before, "(end)"]);
  assert.deepEqual(ended, [""]);
});
