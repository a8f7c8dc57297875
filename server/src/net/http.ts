import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type ServerOptions as TlsServerOptions,
} from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { forwardedAddress, Networks } from "./address.ts";
import { listening } from "./listener.ts";
import type { Certificates } from "./tls.ts";

export interface HttpRequest {
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** The client's, as the trusted proxies in front tell it. */
  readonly address: string;
  /** Whether the client speaks TLS, to us or to a trusted proxy. */
  readonly secure: boolean;
  readonly body: Buffer;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | Uint8Array | undefined;
}

/** May throw an HttpError; anything else thrown is a bug: told to `failed` and answered 500. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** Takes over a connection that asked for another protocol; must answer it or destroy it. */
export type UpgradeHandler = (request: UpgradeRequest) => void;

export interface UpgradeRequest {
  readonly message: IncomingMessage;
  readonly socket: Duplex;
  /** What came right after the request. */
  readonly head: Buffer;
  readonly address: string;
  readonly secure: boolean;
  /** Whether a trusted proxy is in between, so that the client's own TLS, if any, is not that of the socket. */
  readonly proxied: boolean;
}

/** A refusal that the client is meant to read. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
    super(text);
    this.status = status;
    this.headers = headers;
  }
}

export interface HttpListenerOptions {
  readonly host: string;
  readonly port: number;
  /** HTTPS with these; without, plain HTTP. */
  readonly certificates?: Certificates | undefined;
  /** "GET /healthz" -> handler; the path must match exactly. A GET route answers HEAD too. */
  readonly routes: ReadonlyMap<string, HttpHandler>;
  /** "/ws-xmpp" -> handler. */
  readonly upgrades?: ReadonlyMap<string, UpgradeHandler> | undefined;
  /** Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, as CIDR; default none. */
  readonly trusted?: readonly string[] | undefined;
  /** Default 10000. */
  readonly maxConnections?: number | undefined;
  /** Default 8 KiB. */
  readonly maxHeaderBytes?: number | undefined;
  /** Default 64 KiB. */
  readonly maxBodyBytes?: number | undefined;
  /** How long a whole request may take to arrive; twice as long a response may be stuck; default 10000. */
  readonly requestTimeoutMs?: number | undefined;
  /** How long an idle connection is kept; default 5000. */
  readonly keepAliveMs?: number | undefined;
  /** How long `close` waits for requests under way; default 5000. */
  readonly closeTimeoutMs?: number | undefined;
  failed?(error: unknown): void;
}

export interface HttpListener {
  readonly address: AddressInfo;
  /** Sockets held, upgraded ones with them. */
  readonly connections: number;
  /** Stops accepting and resolves when the requests under way are answered or cut; upgraded connections live on. */
  close(): Promise<void>;
}

/** Listens for HTTP/1.1; rejects when the address cannot be had. */
export async function listenHttp(options: HttpListenerOptions): Promise<HttpListener> {
  const site = new Site(options);
  const { server, unsubscribe } = makeServer(options);
  const sockets = new Set<Socket>();
  server.maxConnections = options.maxConnections ?? 10_000;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("request", (message: IncomingMessage, response: ServerResponse) => void site.answer(message, response));
  server.on("upgrade", (message: IncomingMessage, socket: Duplex, head: Buffer) => site.upgrade(message, socket, head));
  await listening(server, options);
  server.on("error", (error) => options.failed?.(error));
  return {
    address: server.address() as AddressInfo,
    get connections() {
      return sockets.size;
    },
    async close() {
      unsubscribe();
      server.close();
      await site.close(options.closeTimeoutMs ?? 5_000);
      server.closeAllConnections();
    },
  };
}

function makeServer({ certificates, upgrades, ...options }: HttpListenerOptions): Made {
  const timeout = options.requestTimeoutMs ?? 10_000;
  const limits: ServerOptions = {
    maxHeaderSize: options.maxHeaderBytes ?? 8 * 1024,
    headersTimeout: timeout,
    requestTimeout: timeout,
    connectionsCheckingInterval: Math.ceil(timeout / 4),
    keepAliveTimeout: options.keepAliveMs ?? 5_000,
    // RFC 9110 7.8: an upgrade that is of no interest may be ignored, and the request is then like any other.
    shouldUpgradeCallback: ({ url = "" }) => upgrades?.has(splitUrl(url).path) ?? false,
  };
  const server =
    certificates === undefined ? createServer(limits) : createTlsServer(tls(certificates, limits, timeout));
  // Against a client that does not read its response; longer, so that a late request gets its 408 first.
  server.timeout = 2 * timeout;
  if (certificates === undefined) return { server, unsubscribe() {} };
  const unsubscribe = certificates.onReload(() => (server as TlsServer).setSecureContext(certificates.credentials));
  return { server, unsubscribe };
}

interface Made {
  readonly server: Server | TlsServer;
  unsubscribe(): void;
}

function tls(certificates: Certificates, limits: ServerOptions, handshakeTimeout: number): TlsServerOptions {
  const { SNICallback } = certificates.socketOptions([]);
  return {
    ...limits,
    ...certificates.credentials,
    ...(SNICallback === undefined ? {} : { SNICallback }),
    ALPNProtocols: ["http/1.1"],
    handshakeTimeout,
  };
}

/** The routes, and the requests under way. */
class Site {
  readonly #options: HttpListenerOptions;
  readonly #trusted: Networks;
  readonly #methods = new Map<string, string[]>();
  #active = 0;
  #isClosing = false;
  #idle: (() => void) | undefined;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
    this.#trusted = new Networks(options.trusted ?? []);
    for (const route of options.routes.keys()) {
      const [method = "", path = ""] = route.split(" ");
      const methods = method === "GET" ? ["GET", "HEAD"] : [method];
      this.#methods.set(path, [...(this.#methods.get(path) ?? []), ...methods]);
    }
  }

  async answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#active++;
    response.once("close", () => {
      this.#active--;
      if (this.#active === 0) this.#idle?.();
    });
    try {
      this.#send(response, message, await this.#handle(message));
    } catch (error) {
      // The client left while its body was being read.
      if (message.socket.destroyed) return;
      if (!(error instanceof HttpError)) this.#options.failed?.(error);
      const refusal = error instanceof HttpError ? error : new HttpError(500, "internal server error");
      // What is left of a refused body is not read, so the connection cannot go on.
      const headers = message.complete ? refusal.headers : { ...refusal.headers, connection: "close" };
      this.#send(response, message, { status: refusal.status, headers, body: `${refusal.message}\n` });
    }
  }

  upgrade(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => {});
    const handler = this.#options.upgrades?.get(splitUrl(message.url ?? "").path);
    if (handler === undefined || this.#isClosing) refuseUpgrade(socket, 503, "closing");
    else handler({ message, socket, head, ...this.#client(message) });
  }

  /** Resolves when nothing is under way any more, and at the latest after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    if (this.#active === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }

  async #handle(message: IncomingMessage): Promise<HttpResponse> {
    const { path, query } = splitUrl(message.url ?? "");
    const method = message.method ?? "";
    const handler = this.#options.routes.get(`${method === "HEAD" ? "GET" : method} ${path}`);
    if (handler === undefined) {
      const allowed = this.#methods.get(path);
      if (allowed !== undefined) throw new HttpError(405, "method not allowed", { allow: allowed.join(", ") });
      if (this.#options.upgrades?.has(path)) throw new HttpError(426, "upgrade required", { upgrade: "websocket" });
      throw new HttpError(404, "not found");
    }
    const body = await readBody(message, this.#options.maxBodyBytes ?? 64 * 1024);
    const { headers } = message;
    return handler({ method, path, query: new URLSearchParams(query), headers, ...this.#client(message), body });
  }

  #client(message: IncomingMessage): { address: string; secure: boolean; proxied: boolean } {
    const { socket, headers } = message;
    const peer = socket.remoteAddress ?? "";
    // Of several, the nearest proxy's word is the last.
    const proto = String(headers["x-forwarded-proto"] ?? "")
      .split(",")
      .at(-1)
      ?.trim()
      .toLowerCase();
    const proxied = this.#trusted.has(peer);
    return {
      address: forwardedAddress(peer, headers["x-forwarded-for"]?.toString(), this.#trusted),
      secure: socket instanceof TLSSocket || (proxied && (proto === "https" || proto === "wss")),
      proxied,
    };
  }

  #send(response: ServerResponse, message: IncomingMessage, { status, headers, body = "" }: HttpResponse): void {
    const bytes = Buffer.from(body);
    if (this.#isClosing) response.setHeader("connection", "close");
    response.writeHead(status, {
      "content-type": "text/plain; charset=utf-8",
      "content-length": bytes.length,
      "x-content-type-options": "nosniff",
      ...headers,
    });
    response.end(message.method === "HEAD" ? undefined : bytes);
  }
}

function splitUrl(url: string): { path: string; query: string } {
  const mark = url.indexOf("?");
  return mark === -1 ? { path: url, query: "" } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

async function readBody(message: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const tooBig = () => new HttpError(413, `the body may have ${maxBytes} bytes`);
  if (Number(message.headers["content-length"] ?? 0) > maxBytes) throw tooBig();
  const chunks: Buffer[] = [];
  let size = 0;
  // Not destroyed on return: the refusal goes out over the same socket.
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > maxBytes) throw tooBig();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** Answers a request for another protocol with an HTTP status, and hangs up. */
export function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    // A client that does not hang up as well is not waited for.
    () => socket.destroy(),
  );
}
