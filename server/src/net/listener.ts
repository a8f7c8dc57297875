import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Networks, plainAddress, Tally } from "./address.ts";
import type { Refusal, RefusalReason } from "./errors.ts";
import { takeProxyHeader } from "./proxy-protocol.ts";
import type { ShaperOptions } from "./shaper.ts";
import { TcpTransport } from "./tcp.ts";
import { systemTimers, type Timers } from "./timers.ts";
import { answerTls, type Certificates } from "./tls.ts";

export interface ProxyProtocolOptions {
  /** The load balancers, as CIDR; a connection from elsewhere is refused, one from there must begin with a header. */
  readonly from: readonly string[];
  /** Default 5000. */
  readonly timeoutMs?: number | undefined;
  /** The longest version 2 header, with its TLVs; default 1024. */
  readonly maxBytes?: number | undefined;
}

export interface TcpListenerOptions {
  readonly host: string;
  /** 0 takes a free one; `Listener.address` says which. */
  readonly port: number;
  /** "direct" is TLS from the first byte (XEP-0368). */
  readonly tls: "none" | "starttls" | "direct";
  /** Needed unless `tls` is "none". */
  readonly certificates?: Certificates | undefined;
  /** What a direct TLS client may name by ALPN; naming none is allowed. Default: xmpp-client. */
  readonly alpn?: readonly string[] | undefined;
  readonly proxyProtocol?: ProxyProtocolOptions | undefined;
  /** Default 10000. */
  readonly maxConnections?: number | undefined;
  /** By client address, for IPv6 by /64; default 100 on this listener alone. */
  readonly perAddress?: Tally | undefined;
  /** Default 10000. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** Default 5000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Silence after which the system asks whether the peer is still there; it is cut off ten seconds later. Default 60000. */
  readonly keepAliveMs?: number | undefined;
  /** Default 1 MiB. */
  readonly maxBacklogBytes?: number | undefined;
  readonly shaper?: ShaperOptions | undefined;
  readonly timers?: Timers | undefined;
  /** Must attach a receiver. */
  accept(transport: TcpTransport): void;
  refused?(refusal: Refusal): void;
}

export interface Listener {
  readonly address: AddressInfo;
  /** Sockets held: those in a handshake and those of open transports. */
  readonly connections: number;
  /** Stops accepting, and drops what has not become a transport yet; transports live on. */
  close(): Promise<void>;
}

/** Listens for XML streams over TCP; rejects when the address cannot be had. */
export async function listenTcp(options: TcpListenerOptions): Promise<Listener> {
  const gate = new Doorkeeper(options);
  const socketOptions = {
    pauseOnConnect: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: options.keepAliveMs ?? 60_000,
  };
  const server = createServer(socketOptions, (socket) => gate.admit(socket));
  await listening(server, options);
  // Such as running out of file descriptors: the listener goes on.
  server.on("error", (error) => options.refused?.({ reason: "accept-failed", address: "", detail: error.message }));
  return {
    address: server.address() as AddressInfo,
    get connections() {
      return gate.connections;
    },
    async close() {
      server.close();
      gate.close();
    },
  };
}

/** Listens, or rejects with the reason why it cannot. */
export function listening(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

class Refused extends Error {
  readonly reason: RefusalReason;
  /** The client's address, where it is known to be another than the socket's. */
  readonly address: string | undefined;

  constructor(reason: RefusalReason, detail: string, address?: string) {
    super(detail);
    this.reason = reason;
    this.address = address;
  }
}

/** Leads a socket from its first byte to a transport: limits, PROXY header, direct TLS. */
class Doorkeeper {
  readonly #options: TcpListenerOptions;
  readonly #timers: Timers;
  readonly #maxConnections: number;
  readonly #handshakeTimeoutMs: number;
  readonly #proxies: Networks | undefined;
  readonly #perAddress: Tally;
  readonly #pending = new Set<Socket>();
  #connections = 0;
  #isClosed = false;

  constructor(options: TcpListenerOptions) {
    if (options.tls !== "none" && options.certificates === undefined) {
      throw new Error(`a listener with tls = "${options.tls}" needs a certificate`);
    }
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#maxConnections = options.maxConnections ?? 10_000;
    this.#perAddress = options.perAddress ?? new Tally(100);
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs ?? 10_000;
    this.#proxies = options.proxyProtocol === undefined ? undefined : new Networks(options.proxyProtocol.from);
  }

  get connections(): number {
    return this.#connections;
  }

  close(): void {
    this.#isClosed = true;
    for (const socket of this.#pending) socket.destroy();
  }

  admit(socket: Socket): void {
    // A socket may break at any moment from here on; whoever holds it by then hears "close".
    socket.on("error", () => {});
    const peer = plainAddress(socket.remoteAddress ?? "");
    this.#connections++;
    this.#pending.add(socket);
    socket.once("close", () => {
      this.#connections--;
      this.#pending.delete(socket);
    });
    this.#lead(socket, peer).catch((error: unknown) => {
      socket.destroy();
      if (!(error instanceof Refused)) throw error;
      if (this.#isClosed) return;
      this.#options.refused?.({ reason: error.reason, address: error.address ?? peer, detail: error.message });
    });
  }

  async #lead(socket: Socket, peer: string): Promise<void> {
    if (this.#connections > this.#maxConnections) {
      throw new Refused("connections", `more than ${this.#maxConnections} connections`);
    }
    const address = (await this.#proxySource(socket, peer)) ?? peer;
    this.#count(socket, address);
    const ready = this.#options.tls === "direct" ? await this.#secure(socket, address) : socket;
    if (this.#isClosed || ready.destroyed) return void ready.destroy();
    this.#pending.delete(socket);
    this.#options.accept(
      new TcpTransport(ready, {
        address,
        timers: this.#timers,
        certificates: this.#options.tls === "starttls" ? this.#options.certificates : undefined,
        shaper: this.#options.shaper,
        maxBacklogBytes: this.#options.maxBacklogBytes ?? 1024 * 1024,
        handshakeTimeoutMs: this.#handshakeTimeoutMs,
        closeTimeoutMs: this.#options.closeTimeoutMs ?? 5_000,
      }),
    );
  }

  async #proxySource(socket: Socket, peer: string): Promise<string | undefined> {
    const options = this.#options.proxyProtocol;
    if (options === undefined || this.#proxies === undefined) return undefined;
    if (!this.#proxies.has(peer)) throw new Refused("proxy-untrusted", "not one of the load balancers");
    const outcome = await takeProxyHeader(socket, {
      timers: this.#timers,
      timeoutMs: options.timeoutMs ?? 5_000,
      maxBytes: options.maxBytes ?? 1024,
    });
    if (outcome.kind === "refused") throw new Refused(outcome.reason, outcome.detail);
    return outcome.source;
  }

  #count(socket: Socket, address: string): void {
    if (socket.destroyed) return;
    const leave = this.#perAddress.enter(address);
    if (leave === undefined) {
      throw new Refused("connections-per-address", `more than ${this.#perAddress.max} connections`, address);
    }
    socket.once("close", leave);
  }

  #secure(clear: Socket, address: string): Promise<Socket> {
    const certificates = this.#options.certificates as Certificates;
    const limit = { timers: this.#timers, timeoutMs: this.#handshakeTimeoutMs };
    return new Promise((resolve, reject) => {
      const alpn = this.#options.alpn ?? ["xmpp-client"];
      const socket = answerTls(clear, certificates.socketOptions(alpn), limit, (error) => {
        if (error === undefined) return resolve(socket);
        reject(new Refused(error.fault === "tls-timeout" ? "tls-timeout" : "tls-failed", error.message, address));
      });
    });
  }
}
