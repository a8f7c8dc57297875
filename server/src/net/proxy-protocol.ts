/** HAProxy's PROXY protocol, versions 1 and 2: a load balancer says whom it speaks for. */
import type { Socket } from "node:net";
import { isIPv4, isIPv6 } from "node:net";
import { plainAddress } from "./address.ts";
import type { Timers } from "./timers.ts";

/** PROXY protocol 2.1: the longest line with its CRLF. */
const V1_MAX = 107;
const V1_START = Buffer.from("PROXY ");
/** PROXY protocol 2.2. */
const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V2_FIXED = 16;

export type ProxyHeader =
  /** A beginning of a header. */
  | { readonly kind: "partial" }
  | { readonly kind: "bad"; readonly why: string }
  /** `length` bytes were the header; `source` is undefined for LOCAL, UNKNOWN and address families without an IP. */
  | { readonly kind: "header"; readonly length: number; readonly source: string | undefined };

const PARTIAL: ProxyHeader = { kind: "partial" };

/** Reads a header at the start of `bytes`. Looks no further than the header; TLVs are skipped. */
export function readProxyHeader(bytes: Buffer, maxBytes = 1024): ProxyHeader {
  if (startsAlike(bytes, V2_SIGNATURE)) return readV2(bytes, maxBytes);
  if (startsAlike(bytes, V1_START)) return readV1(bytes);
  return bad("no PROXY header");
}

function readV1(bytes: Buffer): ProxyHeader {
  const head = bytes.subarray(0, V1_MAX);
  const end = head.indexOf("\r\n");
  if (end === -1) return head.length < V1_MAX ? PARTIAL : bad("v1 line too long");
  const [, family, source = "", destination = "", ...ports] = head.toString("latin1", 0, end).split(" ");
  const length = end + 2;
  // What follows UNKNOWN must be ignored up to the CRLF.
  if (family === "UNKNOWN") return { kind: "header", length, source: undefined };
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : undefined;
  if (isAddress === undefined) return bad("v1 family");
  if (!isAddress(source) || !isAddress(destination)) return bad("v1 address");
  if (ports.length !== 2 || !ports.every(isPort)) return bad("v1 port");
  return { kind: "header", length, source: plainAddress(source) };
}

function readV2(bytes: Buffer, maxBytes: number): ProxyHeader {
  if (bytes.length < V2_FIXED) return PARTIAL;
  const command = bytes.readUInt8(12);
  if (command !== 0x20 && command !== 0x21) return bad("v2 version or command");
  const length = V2_FIXED + bytes.readUInt16BE(14);
  if (length > maxBytes) return bad("v2 header too long");
  const [family, protocol] = [bytes.readUInt8(13) >> 4, bytes.readUInt8(13) & 0xf];
  // PROXY protocol 2.2: with LOCAL the family and the addresses mean nothing, with PROXY unassigned ones are refused.
  if (command === 0x21 && (family > 3 || protocol > 2)) return bad("v2 family");
  const addressBytes = command === 0x20 || protocol === 0 ? 0 : (ADDRESS_BYTES[family] ?? 0);
  if (length < V2_FIXED + addressBytes) return bad("v2 addresses cut short");
  if (bytes.length < length) return PARTIAL;
  // Only a stream over IP names a client; the rest falls back to the socket's own address.
  if (addressBytes === 0 || protocol !== 1 || family === 3) return { kind: "header", length, source: undefined };
  const raw = bytes.subarray(V2_FIXED, V2_FIXED + (family === 1 ? 4 : 16));
  const source = family === 1 ? raw.join(".") : plainAddress(raw.toString("hex").replace(/.{4}(?=.)/g, "$&:"));
  return { kind: "header", length, source };
}

/** Two addresses and two ports for IPv4 and IPv6, two paths for UNIX. */
const ADDRESS_BYTES: readonly number[] = [0, 12, 36, 216];

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535;
}

/** Whether `bytes` agrees with `start` as far as both go. */
function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function bad(why: string): ProxyHeader {
  return { kind: "bad", why };
}

export type ProxyOutcome =
  | { readonly kind: "header"; readonly source: string | undefined }
  | { readonly kind: "refused"; readonly reason: "proxy-header" | "proxy-timeout"; readonly detail: string };

/** Takes the header off a paused socket and leaves the socket paused, what followed the header still unread in it. */
export function takeProxyHeader(
  socket: Socket,
  options: { readonly timers: Timers; readonly timeoutMs: number; readonly maxBytes: number },
): Promise<ProxyOutcome> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const finish = (outcome: ProxyOutcome) => {
      cancel();
      socket.off("data", hear).off("end", leave).off("close", leave).pause();
      resolve(outcome);
    };
    const refuse = (reason: "proxy-header" | "proxy-timeout", detail: string) =>
      finish({ kind: "refused", reason, detail });
    const hear = (chunk: Buffer) => {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const header = readProxyHeader(seen, options.maxBytes);
      if (header.kind === "bad") refuse("proxy-header", header.why);
      if (header.kind !== "header") return;
      finish({ kind: "header", source: header.source });
      if (header.length < seen.length) socket.unshift(seen.subarray(header.length));
    };
    const leave = () => refuse("proxy-header", "closed before the PROXY header was whole");
    const cancel = options.timers.after(options.timeoutMs, () =>
      refuse("proxy-timeout", `no whole PROXY header within ${options.timeoutMs} ms`),
    );
    socket.on("data", hear).on("end", leave).on("close", leave).resume();
  });
}
