import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { TransportError } from "./errors.ts";
import { ReadGate, type ShaperOptions } from "./shaper.ts";
import type { Timers } from "./timers.ts";
import { answerTls, type Certificates, tlsFacts } from "./tls.ts";
import type { TlsFacts, Transport, TransportReceiver } from "./transport.ts";

export interface TcpTransportOptions {
  /** The client's address; the socket's own may be a load balancer's. */
  readonly address: string;
  readonly timers: Timers;
  /** For `startTls`; without them it must not be called. */
  readonly certificates?: Certificates | undefined;
  readonly shaper?: ShaperOptions | undefined;
  /** A write is refused, and the transport cut, once more than this is waiting for the peer already. */
  readonly maxBacklogBytes: number;
  /** How long a TLS handshake may take. */
  readonly handshakeTimeoutMs: number;
  /** How long the peer may take to read the rest and say good-bye. */
  readonly closeTimeoutMs: number;
}

/** Beyond this, what a tick writes is handed to the system before the tick ends, so that a big burst needs no big buffer. */
const FLUSH_BYTES = 64 * 1024;

type State = "open" | "upgrading" | "ending" | "closed";

/** One XML stream on a TCP socket, plain or under TLS. */
export class TcpTransport implements Transport {
  readonly kind = "tcp";
  readonly address: string;
  readonly #options: TcpTransportOptions;
  readonly #gate: ReadGate;
  #socket: Socket;
  #tls: TlsFacts | undefined;
  #receiver: TransportReceiver | undefined;
  #state: State = "open";
  #queued = "";
  #queuedBytes = 0;
  #flushing: NodeJS.Immediate | undefined;
  #cancelDeadline: (() => void) | undefined;
  #error: Error | undefined;

  /** Takes over a paused socket; a TLSSocket must have done its handshake. */
  constructor(socket: Socket, options: TcpTransportOptions) {
    this.address = options.address;
    this.#options = options;
    this.#socket = socket;
    this.#tls = socket instanceof TLSSocket ? tlsFacts(socket) : undefined;
    this.#gate = new ReadGate(
      options.timers,
      options.shaper,
      () => this.#socket.pause(),
      () => this.#read(),
    );
    this.#listen(socket);
  }

  get secure(): boolean {
    return this.#tls !== undefined;
  }

  get tls(): TlsFacts | undefined {
    return this.#tls;
  }

  get backlog(): number {
    return this.#queuedBytes + this.#socket.writableLength;
  }

  attach(receiver: TransportReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a transport has one receiver");
    this.#receiver = receiver;
    // It may have closed before anybody listened; that is told too, but never from inside this call.
    if (this.#state === "closed") {
      setImmediate(() => receiver.closed(this.#error));
      return;
    }
    this.#socket.on("data", this.#hear);
    this.#read();
  }

  write(text: string): void {
    if (this.#state !== "open" && this.#state !== "upgrading") return;
    if (this.backlog > this.#options.maxBacklogBytes) {
      const text = `the peer left ${this.backlog} bytes unread, more than maxBacklogBytes`;
      this.#cut(new TransportError("backlog-exceeded", text));
      return;
    }
    this.#queued += text;
    this.#queuedBytes += Buffer.byteLength(text);
    if (this.#state === "upgrading") return;
    if (this.#queuedBytes >= FLUSH_BYTES) this.#flush();
    else this.#flushing ??= setImmediate(() => this.#flush());
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

  startTls(domain?: string): void {
    const certificates = this.#options.certificates;
    if (certificates === undefined || this.secure || this.#state !== "open") {
      throw new Error("startTls on a transport that cannot do it");
    }
    this.#flush();
    this.#state = "upgrading";
    const clear = this.#socket;
    clear.off("data", this.#hear).pause();
    // The client's hello answers `<proceed/>`: whatever came before that had left was not meant for TLS.
    const secure = () => this.#secure(clear, certificates, domain);
    if (clear.writableLength === 0) secure();
    else clear.write("", (error) => error ?? secure());
  }

  end(): void {
    if (this.#state === "ending" || this.#state === "closed") return;
    if (this.#state === "upgrading") {
      this.destroy();
      return;
    }
    this.#flush();
    this.#state = "ending";
    this.#socket.end();
    this.#limit(this.#options.closeTimeoutMs, () => this.destroy());
  }

  destroy(): void {
    this.#cut(undefined);
  }

  #secure(clear: Socket, certificates: Certificates, domain: string | undefined): void {
    if (clear.destroyed || this.#state !== "upgrading") return;
    // RFC 6120 5.4.3.3, and what keeps a man in the middle from smuggling words in under the client's name.
    while (clear.readableLength > 0) clear.read();
    const limit = { timers: this.#options.timers, timeoutMs: this.#options.handshakeTimeoutMs };
    const socket = answerTls(clear, certificates.socketOptions([], domain), limit, (error) => {
      if (error !== undefined) this.#cut(error);
      if (this.#state !== "upgrading") return;
      this.#state = "open";
      this.#tls = tlsFacts(socket);
      socket.on("data", this.#hear);
      this.#flush();
      this.#receiver?.secured();
      this.#read();
    });
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.on("error", (error) => this.#note(error));
    socket.on("end", () => this.#ended());
    socket.on("close", () => {
      // Under TLS the clear socket closes too; the outer one speaks for both.
      if (socket === this.#socket) this.#closed();
    });
    if (socket.destroyed) this.#closed();
  }

  readonly #hear = (chunk: Buffer): void => {
    this.#receiver?.data(chunk);
    if (this.#state !== "closed") this.#gate.took(chunk.length);
  };

  #read(): void {
    if (this.#receiver !== undefined && this.#state !== "upgrading" && this.#gate.isOpen) this.#socket.resume();
  }

  #flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    if (this.#queuedBytes === 0 || this.#state === "closed") return;
    // As bytes, because the system counts a waiting string in characters.
    const bytes = Buffer.from(this.#queued);
    this.#queued = "";
    this.#queuedBytes = 0;
    this.#socket.write(bytes);
  }

  /** The peer will send no more; Node then ends our side, which must not take longer than `end` may. */
  #ended(): void {
    if (this.#state !== "open") return;
    this.#flush();
    this.#state = "ending";
    this.#limit(this.#options.closeTimeoutMs, () => this.destroy());
  }

  #limit(ms: number, run: () => void): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#options.timers.after(ms, run);
  }

  #note(error: Error): void {
    this.#error ??= error;
  }

  #cut(error: Error | undefined): void {
    if (this.#state === "closed") return;
    if (error !== undefined) this.#note(error);
    this.#state = "ending";
    this.#queued = "";
    this.#queuedBytes = 0;
    this.#socket.off("data", this.#hear);
    this.#socket.destroy();
  }

  #closed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearImmediate(this.#flushing);
    this.#cancelDeadline?.();
    this.#gate.dispose();
    this.#queued = "";
    this.#queuedBytes = 0;
    this.#receiver?.closed(this.#error);
  }
}
