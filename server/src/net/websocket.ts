/** RFC 7395: XMPP over WebSocket. */
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { Tally } from "./address.ts";
import { TransportError, type TransportFault } from "./errors.ts";
import { refuseUpgrade, type UpgradeHandler } from "./http.ts";
import { ReadGate, type ShaperOptions } from "./shaper.ts";
import { systemTimers, type Timers } from "./timers.ts";
import { tlsFacts } from "./tls.ts";
import type { TlsFacts, Transport, TransportReceiver } from "./transport.ts";

export interface WebSocketOptions {
  /** The longest message, thus the longest stanza. */
  readonly maxMessageBytes: number;
  /**
   * Fragments that a message may be in, and segments that it may arrive in; default 1024 and 16384. Each costs memory of
   * its own, however few bytes it brings.
   */
  readonly maxFragments?: number | undefined;
  readonly maxChunks?: number | undefined;
  /** As for TCP; default 1 MiB. */
  readonly maxBacklogBytes?: number | undefined;
  /** Default 5000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Pings a peer that was silent for so long, and cuts it when it stays silent as long again; default never. */
  readonly pingIntervalMs?: number | undefined;
  readonly shaper?: ShaperOptions | undefined;
  readonly timers?: Timers | undefined;
  /** Default 10000; an upgrade beyond is answered 503. */
  readonly maxConnections?: number | undefined;
  /** By client address, for IPv6 by /64; default 100 on this path alone; an upgrade beyond is answered 429. */
  readonly perAddress?: Tally | undefined;
  /** Must attach a receiver. */
  accept(transport: WebSocketTransport): void;
}

/** Makes the handler of an HTTP listener's WebSocket path; one that does not ask for the subprotocol "xmpp" gets a 400. */
export function webSocketUpgrade(options: WebSocketOptions): UpgradeHandler {
  const timers = options.timers ?? systemTimers;
  const closeTimeoutMs = options.closeTimeoutMs ?? 5_000;
  const maxConnections = options.maxConnections ?? 10_000;
  const perAddress = options.perAddress ?? new Tally(100);
  const serverOptions = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: options.maxMessageBytes,
    maxFragments: options.maxFragments ?? 1_024,
    maxBufferedChunks: options.maxChunks ?? 16_384,
    closeTimeout: closeTimeoutMs,
    handleProtocols: () => "xmpp",
  };
  const server = new WebSocketServer(serverOptions);
  let connections = 0;
  return ({ message, socket, head, address, secure, proxied }) => {
    // RFC 7395 3.1: without the subprotocol the peer expects to speak something else.
    const protocols = (message.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
    if (!protocols.includes("xmpp")) return refuseUpgrade(socket, 400, 'the WebSocket subprotocol must be "xmpp"');
    if (connections >= maxConnections) return refuseUpgrade(socket, 503, "too many connections");
    const leave = perAddress.enter(address);
    if (leave === undefined) return refuseUpgrade(socket, 429, "too many connections from this address");
    connections++;
    socket.once("close", () => {
      connections--;
      leave();
    });
    server.handleUpgrade(message, socket, head, (webSocket) => {
      options.accept(
        new WebSocketTransport(webSocket, socket, {
          address,
          secure,
          proxied,
          timers,
          shaper: options.shaper,
          maxBacklogBytes: options.maxBacklogBytes ?? 1024 * 1024,
          closeTimeoutMs,
          pingIntervalMs: options.pingIntervalMs,
        }),
      );
    });
  };
}

interface WebSocketTransportOptions {
  readonly address: string;
  readonly secure: boolean;
  readonly proxied: boolean;
  readonly timers: Timers;
  readonly shaper: ShaperOptions | undefined;
  readonly maxBacklogBytes: number;
  readonly closeTimeoutMs: number;
  readonly pingIntervalMs: number | undefined;
}

/** RFC 6455 7.4.1. */
const CLOSE_NORMAL = 1000;
const CLOSE_UNSUPPORTED_DATA = 1003;

/** One XMPP stream on a WebSocket: a text message is one element. */
export class WebSocketTransport implements Transport {
  readonly kind = "websocket";
  readonly address: string;
  readonly secure: boolean;
  readonly tls: TlsFacts | undefined;
  readonly #webSocket: WebSocket;
  readonly #socket: Duplex;
  readonly #options: WebSocketTransportOptions;
  readonly #gate: ReadGate;
  /** Messages out of a chunk that was already read when the pause came. */
  #held: Buffer[] = [];
  #receiver: TransportReceiver | undefined;
  #uncorking: NodeJS.Immediate | undefined;
  #cancelDeadline: (() => void) | undefined;
  #cancelPing: (() => void) | undefined;
  #heardAt: number;
  #isOpen = true;
  /** The socket is gone; messages may still be held. */
  #isGone = false;
  #isClosed = false;
  #error: Error | undefined;

  constructor(webSocket: WebSocket, socket: Duplex, options: WebSocketTransportOptions) {
    this.address = options.address;
    this.secure = options.secure;
    this.tls = socket instanceof TLSSocket && !options.proxied ? tlsFacts(socket) : undefined;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#options = options;
    this.#heardAt = options.timers.now();
    this.#gate = new ReadGate(
      options.timers,
      options.shaper,
      () => webSocket.pause(),
      () => this.#read(),
    );
    webSocket.pause();
    webSocket.on("message", (data: Buffer, isBinary) => this.#hear(data, isBinary));
    webSocket.on("ping", () => this.#heard());
    webSocket.on("pong", () => this.#heard());
    webSocket.on("error", (error: Error & { code?: string }) => this.#broken(error));
    webSocket.on("close", () => this.#closing());
    // ws bounds the wait after a close message, but not the one for a peer that hung up and left our words unread.
    socket.once("end", () => {
      this.#cancelDeadline = options.timers.after(options.closeTimeoutMs, () => socket.destroy());
    });
    this.#watch();
  }

  get backlog(): number {
    return this.#webSocket.bufferedAmount;
  }

  attach(receiver: TransportReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a transport has one receiver");
    this.#receiver = receiver;
    if (this.#isClosed) setImmediate(() => receiver.closed(this.#error));
    else this.#read();
  }

  write(text: string): void {
    if (!this.#isOpen) return;
    if (this.backlog > this.#options.maxBacklogBytes) {
      const text = `the peer left ${this.backlog} bytes unread, more than maxBacklogBytes`;
      this.#cut(new TransportError("backlog-exceeded", text));
      return;
    }
    if (this.#uncorking === undefined) {
      this.#socket.cork();
      this.#uncorking = setImmediate(() => this.#uncork());
    }
    // As bytes, because the system counts a waiting string in characters.
    this.#webSocket.send(Buffer.from(text), { binary: false });
  }

  pause(): void {
    this.#gate.pause();
  }

  resume(): void {
    this.#gate.resume();
  }

  shape(shaper: ShaperOptions | undefined): void {
    this.#gate.shape(shaper);
  }

  startTls(): void {
    throw new Error("startTls on a WebSocket");
  }

  end(): void {
    this.#close(CLOSE_NORMAL, "");
  }

  destroy(): void {
    this.#cut(undefined);
  }

  #hear(data: Buffer, isBinary: boolean): void {
    this.#heard();
    if (isBinary) {
      // RFC 7395 3.2 knows text messages only.
      this.#note(new TransportError("message-not-text", "a binary message"));
      this.#close(CLOSE_UNSUPPORTED_DATA, "text only");
    } else if (this.#error === undefined) {
      this.#held.push(data);
      this.#drain();
    }
  }

  #drain(): void {
    while (this.#receiver !== undefined && this.#gate.isOpen && !this.#isClosed) {
      const message = this.#held.shift();
      if (message === undefined) break;
      this.#receiver.data(message);
      this.#gate.took(message.length);
    }
    if (this.#isGone && this.#held.length === 0) this.#closed();
  }

  #read(): void {
    // After the call that resumed us, as with a socket: calls into the receiver never overlap.
    setImmediate(() => {
      this.#drain();
      if (this.#receiver !== undefined && this.#gate.isOpen && !this.#isClosed) this.#webSocket.resume();
    });
  }

  #uncork(): void {
    if (this.#uncorking === undefined) return;
    clearImmediate(this.#uncorking);
    this.#uncorking = undefined;
    this.#socket.uncork();
  }

  #close(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#webSocket.close(code, reason);
    this.#uncork();
  }

  #cut(error: Error | undefined): void {
    if (error !== undefined) this.#note(error);
    this.#isOpen = false;
    this.#held = [];
    this.#uncork();
    this.#webSocket.terminate();
    // Cut after the socket went: nothing else would tell.
    if (this.#isGone) setImmediate(() => this.#closed());
  }

  /** ws answers a broken frame with the close code for it by itself. */
  #broken(error: Error & { code?: string }): void {
    const fault = FAULTS[error.code ?? ""];
    this.#note(fault === undefined ? error : new TransportError(fault, error.message, { cause: error }));
    this.#isOpen = false;
    this.#uncork();
  }

  #note(error: Error): void {
    this.#error ??= error;
  }

  #heard(): void {
    this.#heardAt = this.#options.timers.now();
  }

  #watch(): void {
    const interval = this.#options.pingIntervalMs;
    if (interval === undefined) return;
    const silence = () => this.#options.timers.now() - this.#heardAt;
    const look = () => {
      // A peer that we do not read from is not silent.
      if (!this.#gate.isOpen) this.#heard();
      if (silence() >= 2 * interval) return this.#cut(new TransportError("peer-silent", `no answer in ${interval} ms`));
      if (silence() >= interval && this.#isOpen) this.#webSocket.ping();
      const quiet = silence();
      this.#cancelPing = this.#options.timers.after((quiet >= interval ? 2 : 1) * interval - quiet, look);
    };
    this.#cancelPing = this.#options.timers.after(interval, look);
  }

  #closing(): void {
    this.#isGone = true;
    this.#isOpen = false;
    clearImmediate(this.#uncorking);
    this.#cancelDeadline?.();
    this.#cancelPing?.();
    if (this.#held.length === 0) this.#closed();
  }

  /** What the peer said before it hung up is heard first. */
  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#gate.dispose();
    this.#receiver?.closed(this.#error);
  }
}

const FAULTS: Readonly<Record<string, TransportFault>> = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: "message-too-big",
  WS_ERR_INVALID_UTF8: "message-malformed",
};
