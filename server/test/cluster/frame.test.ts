import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeFrame, encodeFrame, encodeMessage } from "../../src/cluster/redis/frame.ts";

const text = fc.string({ unit: "grapheme" });
const oneMessage = fc.record({ channel: text, message: text }, { noNullPrototype: true });
const messages = fc.array(oneMessage);

function encode(list: readonly { channel: string; message: string }[], first = 1): string {
  return encodeFrame(
    "meerkat-1",
    "boot.1",
    first,
    list.map(({ channel, message }) => encodeMessage(channel, message)),
  );
}

test("what is encoded is decoded again", () => {
  fc.assert(
    fc.property(messages, fc.nat(), (list, first) => {
      assert.deepEqual(decodeFrame(encode(list, first)), { node: "meerkat-1", link: "boot.1", first, messages: list });
    }),
    { verbose: true },
  );
});

test("a frame cut anywhere is refused whole", () => {
  fc.assert(
    fc.property(fc.array(oneMessage, { minLength: 1 }), fc.nat(), (list, cut) => {
      const whole = encode(list);
      assert.equal(decodeFrame(whole.slice(0, cut % whole.length)), undefined);
    }),
    { verbose: true },
  );
});

test("any text at all is decoded without throwing", () => {
  fc.assert(
    fc.property(text, (noise) => {
      decodeFrame(noise);
      decodeFrame(`M1 a b 1 1\n${noise}`);
    }),
    { verbose: true },
  );
});

test("a frame of another version, or that says another number of messages, is refused", () => {
  const frame = encode([{ channel: "route", message: "<message/>" }]);
  assert.equal(decodeFrame(frame.replace("M1", "M2")), undefined);
  assert.equal(decodeFrame(frame.replace(" 1\n", " 2\n")), undefined);
  assert.equal(decodeFrame("M1 a b -1 0\n"), undefined);
  assert.equal(decodeFrame("M1 a b 1\n"), undefined);
});

test("words after the fifth of the header are left to later versions", () => {
  const frame = encode([{ channel: "route", message: "<message/>" }]).replace("\n", " ack 17\n");
  assert.equal(decodeFrame(frame)?.messages.length, 1);
});
