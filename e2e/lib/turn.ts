/** A TURN allocation over UDP with time-limited credentials (RFC 8656 7; XEP-0215's user name and password). */
import { createHmac } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
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
  request,
  type StunMessage,
  xorAddress,
} from "./stun.ts";

/** RFC 8489 6.2.1: the first retransmission; each next one waits twice as long. */
const RETRANSMIT_MS = 500;
/** UDP's number, where REQUESTED-TRANSPORT wants it. */
const UDP = Buffer.from([17, 0, 0, 0]);

export interface TurnCredentials {
  readonly username: string;
  readonly password: string;
}

/** Credentials that the shared secret vouches for until they expire. */
export function turnCredentials(secret: string, name: string, expires: Date): TurnCredentials {
  const username = `${Math.floor(expires.getTime() / 1000)}:${name}`;
  return { username, password: createHmac("sha1", secret).update(username).digest("base64") };
}

/** A refusal by the TURN server, with its code of RFC 8656 19. */
export class TurnError extends Error {
  override readonly name = "TurnError";
  readonly code: number;

  constructor(code: number, reason: string) {
    super(`${code} ${reason}`.trim());
    this.code = code;
  }
}

export interface Allocation {
  /** Where the server relays from, and how it sees this client; both "address:port". */
  readonly relayed: string;
  readonly mapped: string;
  /** Seconds. */
  readonly lifetime: number;
}

/** Allocates a relay and gives it back at once; rejects with a TurnError when refused, or with the signal's reason. */
export async function allocate(
  server: { readonly address: string; readonly port: number },
  credentials: TurnCredentials,
  signal: AbortSignal,
): Promise<Allocation> {
  const socket = createSocket(isIP(server.address) === 6 ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.connect(server.port, server.address, (error?: Error) => (error ? reject(error) : resolve()));
    });
    // The first request carries no credentials: the refusal tells realm and nonce (RFC 8489 9.2.3).
    const first = await exchange(socket, request(METHOD.allocate, [[ATTRIBUTE.requestedTransport, UDP]]), signal);
    const refusal = refusalOf(first);
    if (refusal?.code !== 401) throw refusal ?? new Error("the server allocates for anybody");
    const realm = demand(first, ATTRIBUTE.realm, "REALM");
    const nonce = demand(first, ATTRIBUTE.nonce, "NONCE");
    const key = longTermKey(credentials.username, realm.toString(), credentials.password);
    const signed = (method: number, type: number, value: Buffer) =>
      request(method, [
        [type, value],
        [ATTRIBUTE.username, Buffer.from(credentials.username)],
        [ATTRIBUTE.realm, realm],
        [ATTRIBUTE.nonce, nonce],
      ]);

    const second = await exchange(socket, signed(METHOD.allocate, ATTRIBUTE.requestedTransport, UDP), signal, key);
    const error = refusalOf(second);
    if (error !== undefined) throw error;
    const allocation = {
      relayed: xorAddress(demand(second, ATTRIBUTE.xorRelayedAddress, "XOR-RELAYED-ADDRESS")),
      mapped: xorAddress(demand(second, ATTRIBUTE.xorMappedAddress, "XOR-MAPPED-ADDRESS")),
      lifetime: demand(second, ATTRIBUTE.lifetime, "LIFETIME").readUInt32BE(0),
    };
    // RFC 8656 8: a lifetime of 0 deletes it, so that probes do not use up the relay's ports.
    await exchange(socket, signed(METHOD.refresh, ATTRIBUTE.lifetime, Buffer.alloc(4)), signal, key);
    return allocation;
  } finally {
    socket.close();
  }
}

/** Sends until an answer to this transaction comes; a success must be signed when the request was. */
function exchange(socket: Socket, message: StunMessage, signal: AbortSignal, key?: Buffer): Promise<StunMessage> {
  return new Promise((resolve, reject) => {
    const bytes = encode(message, key);
    let timer: NodeJS.Timeout;
    const send = (waitMs: number) => {
      socket.send(bytes);
      timer = setTimeout(send, waitMs, waitMs * 2);
    };
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.off("message", received).off("error", failed);
      signal.removeEventListener("abort", aborted);
      settle();
    };
    const received = (answer: Buffer) => {
      const decoded = decode(answer);
      if (decoded === undefined || !decoded.transaction.equals(message.transaction)) return;
      // RFC 8489 9.2.5: an answer that is not signed as it should be is as if it had not come.
      if (key !== undefined && decoded.class === CLASS.success && !isSigned(answer, key)) return;
      finish(() => resolve(decoded));
    };
    const failed = (error: Error) => finish(() => reject(error));
    const aborted = () => failed(signal.reason as Error);
    socket.on("message", received).on("error", failed);
    if (signal.aborted) aborted();
    else {
      signal.addEventListener("abort", aborted, { once: true });
      send(RETRANSMIT_MS);
    }
  });
}

function refusalOf(message: StunMessage): TurnError | undefined {
  if (message.class !== CLASS.error) return undefined;
  const { code, reason } = errorCode(demand(message, ATTRIBUTE.errorCode, "ERROR-CODE"));
  return new TurnError(code, reason);
}

function demand(message: StunMessage, type: number, name: string): Buffer {
  const value = attribute(message, type);
  if (value === undefined) throw new Error(`the answer has no ${name}`);
  return value;
}
