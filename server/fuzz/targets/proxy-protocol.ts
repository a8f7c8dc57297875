import assert from "node:assert/strict";
import { isIP } from "node:net";
import { readProxyHeader } from "../../src/net/proxy-protocol.ts";
import { mutate } from "../random.ts";
import type { Target } from "../target.ts";

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
const v2 = (head: number[], rest: string) => `${SIGNATURE}${String.fromCharCode(...head)}${rest}`;
const SAMPLES = [
  "PROXY TCP4 192.0.2.1 198.51.100.2 50000 5222\r\n<?xml",
  "PROXY TCP6 2001:db8::1 ::1 50000 5222\r\n",
  "PROXY UNKNOWN ffff::1 x\r\n",
  v2([0x21, 0x11, 0, 12], "\xc0\0\x02\x01\xc6\x33\x64\x02\xc3\x50\x14\x66"),
  v2([0x21, 0x21, 0, 36], "\x20\x01".repeat(18)),
  v2([0x20, 0x00, 0, 0], "<stream"),
  v2([0x21, 0x11, 0, 20], `${"\x7f\0\0\x01".repeat(3)}\x04\0\x05hello`),
].map((text) => Buffer.from(text, "latin1"));
const FRAGMENTS = [
  "PROXY ",
  "TCP4",
  " ",
  "\r\n",
  "\r",
  "0",
  "65536",
  "::ffff:1.2.3.4",
  "%eth0",
  "\0",
  "\x21",
  "\x7f",
  SIGNATURE,
];
const MAX_BYTES = 200;

/** Whether and what a header is does not depend on how much of the stream has come, and it names an address or nobody. */
export const proxyProtocol: Target = {
  name: "PROXY protocol",
  make: (random) => mutate(random, random.pick(SAMPLES), FRAGMENTS, 600),

  check(input) {
    const whole = readProxyHeader(input, MAX_BYTES);
    let decided = false;
    for (let length = 0; length <= input.length; length++) {
      const read = readProxyHeader(input.subarray(0, length), MAX_BYTES);
      if (decided || read.kind !== "partial") assert.deepEqual(read, whole, `after ${length} bytes`);
      decided ||= read.kind !== "partial";
    }
    if (whole.kind === "partial") assert.ok(input.length < MAX_BYTES, "more is awaited than a header may have");
    if (whole.kind !== "header") return false;
    assert.ok(whole.length > 0 && whole.length <= Math.min(MAX_BYTES, input.length), "a length that cannot be");
    assert.ok(whole.source === undefined || isIP(whole.source) !== 0, `an address that is none: ${whole.source}`);
    return true;
  },
};
