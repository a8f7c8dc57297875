import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ATTRIBUTE,
  attribute,
  CLASS,
  decode,
  encode,
  errorCode,
  isSigned,
  longTermKey,
  METHOD,
  xorAddress,
} from "../lib/stun.ts";
import { turnCredentials } from "../lib/turn.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

// RFC 5769 2.2: an IPv4 response with integrity and fingerprint.
const RESPONSE = hex(`
  0101003c 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220
  00200008 0001a147e112a643
  00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
  80280004 c07d4c96`);

// RFC 5769 2.4: a request with long-term credentials.
const LONG_TERM = hex(`
  00010060 2112a442 78ad3433c6ad72c029da412e
  00060012 e3839ee38388e383aae38383e382af e382b90000
  0015001c 662f2f3439396b39353464364f4c33346f4c394653547679363473 41
  0014000b 6578616d706c652e6f726700
  00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666`);

test("a response is taken apart as RFC 5769 2.2 has it", () => {
  const message = decode(RESPONSE);
  assert.ok(message);
  assert.equal(message.method, METHOD.binding);
  assert.equal(message.class, CLASS.success);
  assert.equal(xorAddress(attribute(message, ATTRIBUTE.xorMappedAddress) as Buffer), "192.0.2.1:32853");
});

test("the integrity of a response with a fingerprint after it is right, and wrong when a byte or the key is", () => {
  const key = Buffer.from("VOkJxbRl1RmTxUk/WvJxBt");
  assert.equal(isSigned(RESPONSE, key), true);
  assert.equal(isSigned(RESPONSE, Buffer.from("another")), false);
  const changed = Buffer.from(RESPONSE);
  changed[30] = (changed[30] as number) ^ 1;
  assert.equal(isSigned(changed, key), false);
});

test("long-term credentials sign a request as RFC 5769 2.4 has it", () => {
  const key = longTermKey("マトリックス", "example.org", "TheMatrIX");
  assert.equal(isSigned(LONG_TERM, key), true);
  const message = decode(LONG_TERM);
  assert.ok(message);
  const unsigned = {
    ...message,
    attributes: message.attributes.filter(([type]) => type !== ATTRIBUTE.messageIntegrity),
  };
  assert.deepEqual(encode(unsigned, key), LONG_TERM);
});

test("what is no STUN message is none: too short, cut, another cookie, an attribute past the end", () => {
  assert.equal(decode(RESPONSE.subarray(0, 19)), undefined);
  assert.equal(decode(RESPONSE.subarray(0, -4)), undefined);
  assert.equal(decode(Buffer.concat([RESPONSE.subarray(0, 4), Buffer.alloc(4), RESPONSE.subarray(8)])), undefined);
  assert.equal(decode(hex("01010004 2112a442 b7e7a701bc34d686fa87dfae 00200008")), undefined);
});

test("an error code is class times hundred plus number", () => {
  assert.deepEqual(errorCode(hex("00000401 556e617574686f72697a6564")), { code: 401, reason: "Unauthorized" });
});

test("time-limited credentials are `expiry:name` and its HMAC-SHA1", () => {
  const { username, password } = turnCredentials("north", "alice", new Date(1_700_000_000_000));
  assert.equal(username, "1700000000:alice");
  // printf %s 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64
  assert.equal(password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
});
