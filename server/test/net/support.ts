import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { Refusal } from "../../src/net/errors.ts";
import { type Listener, listenTcp, type TcpListenerOptions } from "../../src/net/listener.ts";
import type { TcpTransport } from "../../src/net/tcp.ts";
import type { Timers } from "../../src/net/timers.ts";
import { Certificates, selfSigned } from "../../src/net/tls.ts";
import type { Transport, TransportReceiver } from "../../src/net/transport.ts";

/** A clock wound by hand. */
export class HandTimers implements Timers {
  #now = 0;
  #waiting: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { at: this.#now + ms, run };
    this.#waiting.push(entry);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
    };
  }

  get pending(): number {
    return this.#waiting.length;
  }

  wind(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#waiting.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
  }
}

/** Resolves once `condition` holds, looking again after each turn of the event loop; rejects after `ms`. */
export async function until(condition: () => boolean, what: string, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Writes down what a transport tells. */
export class Recorder implements TransportReceiver {
  readonly chunks: Buffer[] = [];
  isSecured = false;
  closes = 0;
  error: Error | undefined;
  readonly #onData: (text: string) => void;

  constructor(transport: Transport, onData: (text: string) => void = () => {}) {
    this.#onData = onData;
    transport.attach(this);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(Buffer.from(chunk));
    this.#onData(Buffer.from(chunk).toString());
  }

  secured(): void {
    this.isSecured = true;
  }

  closed(error?: Error): void {
    this.closes++;
    this.error = error;
  }
}

export interface Bench {
  readonly listener: Listener;
  readonly transports: TcpTransport[];
  readonly recorders: Recorder[];
  readonly refusals: Refusal[];
  /** The next, or the first, accepted transport with its recorder. */
  first(): Promise<{ transport: TcpTransport; recorder: Recorder }>;
}

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

/** Runs when the file's tests are done. */
export function atEnd(close: () => void): void {
  closers.push(close);
}

/** A listener on a free port of the loopback, that records all it accepts. */
export async function bench(
  options: Partial<TcpListenerOptions> = {},
  onData: (transport: TcpTransport, text: string) => void = () => {},
): Promise<Bench> {
  const transports: TcpTransport[] = [];
  const recorders: Recorder[] = [];
  const refusals: Refusal[] = [];
  const listener = await listenTcp({
    host: "127.0.0.1",
    port: 0,
    tls: "none",
    ...options,
    accept(transport) {
      transports.push(transport);
      recorders.push(new Recorder(transport, (text) => onData(transport, text)));
    },
    refused: (refusal) => void refusals.push(refusal),
  });
  atEnd(() => {
    void listener.close();
    for (const transport of transports) transport.destroy();
  });
  return {
    listener,
    transports,
    recorders,
    refusals,
    async first() {
      await until(() => transports.length > 0, "a transport");
      return { transport: transports[0] as TcpTransport, recorder: recorders[0] as Recorder };
    },
  };
}

/** A connected client socket, destroyed at the end; its errors are its own business. */
export async function dial(address: AddressInfo, allowHalfOpen = false): Promise<Socket> {
  const socket = connect({ port: address.port, host: address.address, noDelay: true, allowHalfOpen });
  socket.on("error", () => {});
  atEnd(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Collects what a socket hears. */
export function hear(socket: Socket): { text: string; isClosed: boolean } {
  const heard = { text: "", isClosed: false };
  socket.on("data", (chunk) => {
    heard.text += chunk;
  });
  socket.on("close", () => {
    heard.isClosed = true;
  });
  return heard;
}

/** A directory that is gone after the tests. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "net-test-"));
  atEnd(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function certificates(...domains: string[]): Promise<Certificates> {
  const directory = scratch();
  return new Certificates(await Promise.all(domains.map((domain) => selfSigned(join(directory, domain), [domain]))));
}
