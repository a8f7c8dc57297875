/** STUN messages (RFC 8489) as far as a TURN client needs them: long-term credentials, HMAC-SHA1, IPv4 addresses. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** RFC 8489 5. */
export const MAGIC = 0x2112a442;

/** RFC 8656 17, and Binding of RFC 8489. */
export const METHOD = { binding: 0x001, allocate: 0x003, refresh: 0x004 } as const;
export const CLASS = { request: 0x000, indication: 0x010, success: 0x100, error: 0x110 } as const;

/** RFC 8489 18.3, RFC 8656 18. */
export const ATTRIBUTE = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedTransport: 0x0019,
  xorMappedAddress: 0x0020,
  fingerprint: 0x8028,
} as const;

export interface StunMessage {
  readonly method: number;
  readonly class: number;
  readonly transaction: Buffer;
  /** In order; the first of a type counts (RFC 8489 14). */
  readonly attributes: readonly (readonly [type: number, value: Buffer])[];
}

export function request(method: number, attributes: StunMessage["attributes"] = []): StunMessage {
  return { method, class: CLASS.request, transaction: randomBytes(12), attributes };
}

export function attribute(message: StunMessage, type: number): Buffer | undefined {
  return message.attributes.find(([each]) => each === type)?.[1];
}

/** Bytes for the wire, with MESSAGE-INTEGRITY at the end when there is a key (RFC 8489 14.5). */
export function encode(message: StunMessage, key?: Buffer): Buffer {
  const body = Buffer.concat(message.attributes.map(([type, value]) => encodeAttribute(type, value)));
  const header = Buffer.alloc(20);
  header.writeUInt16BE(typeOf(message), 0);
  header.writeUInt32BE(MAGIC, 4);
  message.transaction.copy(header, 8);
  if (key === undefined) {
    header.writeUInt16BE(body.length, 2);
    return Buffer.concat([header, body]);
  }
  // The length that is signed has the attribute in it already.
  header.writeUInt16BE(body.length + 24, 2);
  const signature = createHmac("sha1", key).update(header).update(body).digest();
  return Buffer.concat([header, body, encodeAttribute(ATTRIBUTE.messageIntegrity, signature)]);
}

/** The message in these bytes; undefined for what is no STUN message. */
export function decode(bytes: Buffer): StunMessage | undefined {
  if (bytes.length < 20 || bytes.readUInt32BE(4) !== MAGIC || bytes.readUInt16BE(2) + 20 !== bytes.length)
    return undefined;
  const type = bytes.readUInt16BE(0);
  if (type >= 0x4000) return undefined;
  const attributes: [number, Buffer][] = [];
  for (let at = 20; at < bytes.length; ) {
    if (at + 4 > bytes.length) return undefined;
    const length = bytes.readUInt16BE(at + 2);
    if (at + 4 + length > bytes.length) return undefined;
    attributes.push([bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length)]);
    at += 4 + padded(length);
  }
  return {
    method: (type & 0x000f) | ((type & 0x00e0) >> 1) | ((type & 0x3e00) >> 2),
    class: type & 0x0110,
    transaction: bytes.subarray(8, 20),
    attributes,
  };
}

/** Whether the bytes carry a MESSAGE-INTEGRITY made with this key. */
export function isSigned(bytes: Buffer, key: Buffer): boolean {
  for (let at = 20; at + 4 <= bytes.length; at += 4 + padded(bytes.readUInt16BE(at + 2))) {
    if (bytes.readUInt16BE(at) !== ATTRIBUTE.messageIntegrity) continue;
    const signature = bytes.subarray(at + 4, at + 24);
    const signed = Buffer.from(bytes.subarray(0, at));
    // What follows MESSAGE-INTEGRITY, such as FINGERPRINT, was not there when it was made.
    signed.writeUInt16BE(at + 24 - 20, 2);
    const expected = createHmac("sha1", key).update(signed).digest();
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  }
  return false;
}

/** RFC 8489 9.2.2: the key of long-term credentials. */
export function longTermKey(username: string, realm: string, password: string): Buffer {
  return createHash("md5").update(`${username}:${realm}:${password}`).digest();
}

/** "address:port" of an XOR-…-ADDRESS with an IPv4 address (RFC 8489 14.2). */
export function xorAddress(value: Buffer): string {
  if (value.length !== 8 || value[1] !== 1) throw new Error("not an IPv4 address");
  const port = value.readUInt16BE(2) ^ (MAGIC >>> 16);
  const address = (value.readUInt32BE(4) ^ MAGIC) >>> 0;
  return `${[24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".")}:${port}`;
}

/** RFC 8489 14.8. */
export function errorCode(value: Buffer): { code: number; reason: string } {
  return { code: ((value[2] ?? 0) & 7) * 100 + (value[3] ?? 0), reason: value.subarray(4).toString() };
}

function typeOf({ method, class: kind }: StunMessage): number {
  return (method & 0x000f) | ((method & 0x0070) << 1) | ((method & 0x0f80) << 2) | kind;
}

function encodeAttribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + padded(value.length));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
