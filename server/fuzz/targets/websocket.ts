import assert from "node:assert/strict";
import { WebSocketFraming } from "../../src/stream/framing.ts";
import { XmlError } from "../../src/xml/parser.ts";
import { StreamError } from "../../src/xmpp/errors.ts";
import { FRAGMENTS, someDocument } from "../documents.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

const OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>";
const CLOSE = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
const MESSAGES = [
  CLOSE,
  OPEN,
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>",
  "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>",
  "<message xmlns='jabber:client'><body>x</body></message><iq xmlns='jabber:client'/>",
  "",
  " ",
];
/** No UTF-8 has this byte, so it can stand between messages. */
const BETWEEN = Buffer.of(0xff);

/** A message is one element or ends the stream, nothing comes before `<open/>`, and pauses change nothing. */
export const websocket: Target = {
  name: "WebSocket framing",

  make(random) {
    const messages = random.many(5, () =>
      random.chance(50) ? someDocument(random) : Buffer.from(random.pick(MESSAGES)),
    );
    if (random.chance(90)) messages.unshift(Buffer.from(OPEN));
    const input = Buffer.concat(messages.flatMap((message) => [message, BETWEEN]));
    return random.chance(30) ? mutate(random, input, FRAGMENTS) : input;
  },

  check(input, random) {
    const messages = split(input);
    const heard = read(messages, undefined);
    assert.deepEqual(read(messages, random), heard, "otherwise with pauses");
    const opened = heard.findIndex((each) => each.startsWith("open"));
    const first = heard.findIndex((each) => each.startsWith("<"));
    assert.ok(first < 0 || (opened >= 0 && opened < first), "an element before the stream was open");
    return heard.length > 1;
  },
};

function split(input: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  let from = 0;
  for (let at = input.indexOf(BETWEEN); at >= 0; at = input.indexOf(BETWEEN, from)) {
    messages.push(input.subarray(from, at));
    from = at + 1;
  }
  return [...messages, input.subarray(from)];
}

function read(messages: readonly Buffer[], random: Random | undefined): string[] {
  const heard: string[] = [];
  const framing = new WebSocketFraming(
    {
      open: (header) => void heard.push(`open ${JSON.stringify(header)}`),
      element: (element) => {
        heard.push(element.toXml());
        if (element.name === "auth") framing.restart();
        if (element.name === "iq") framing.suspend();
      },
      close: () => {
        heard.push("close");
        framing.halt();
      },
    },
    { maxStanzaBytes: 2000, maxTagBytes: 400, maxDepth: 8, maxAttributes: 6 },
  );
  try {
    for (const message of messages) {
      if (random?.chance(30)) framing.suspend();
      framing.data(message);
      if (!random?.chance(50)) framing.resume();
    }
    // As often as a reader can have been paused by what it read.
    for (let n = 0; n <= messages.length; n++) framing.resume();
  } catch (error) {
    if (!(error instanceof XmlError || error instanceof StreamError)) throw error;
    heard.push("refused");
  }
  return heard;
}
