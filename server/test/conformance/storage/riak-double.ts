/**
 * The part of Riak KV's HTTP interface that the driver uses, in memory: one node, held against what a real one said
 * (riak-recordings.json). As there, a condition is checked before a write and not with it, so that two may pass.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Answer, contentOf, NOT_FOUND, shown } from "./riak-double-answers.ts";
import { DoubleObjects, TooManySiblings, vclockOf } from "./riak-double-objects.ts";

export interface DoubleOptions {
  /** Properties of the active bucket types. Default: "meerkat", as it should be. */
  readonly types?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** PEM. With it, the double speaks TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface DoubleRequest {
  readonly method: string;
  /** Decoded. */
  readonly path: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

/** What goes wrong with a request: it is not answered but this way, or late, or the connection is cut before or after it is done. */
export type Fault =
  | { readonly status: number; readonly body?: string }
  | { readonly cut: "before" | "after" }
  | { readonly until: Promise<unknown> };

/** Longest header line that MochiWeb reads. */
const MAX_HEADER = 8192;
const JSON_TYPE = { "content-type": "application/json" };

export class RiakDouble {
  readonly objects = new DoubleObjects();
  readonly requests: DoubleRequest[] = [];
  /** Asked about every request. */
  meddle: (request: DoubleRequest) => Fault | undefined = () => undefined;
  /** Awaited between the check of a condition and the write: where another writer comes in. */
  between: (key: string) => unknown = () => new Promise((resolve) => setImmediate(resolve));
  /** Whether the backend has secondary indexes. */
  hasIndexes = true;
  readonly #types: Map<string, Readonly<Record<string, unknown>>>;
  readonly #server: Server;

  private constructor({ types = { meerkat: { allow_mult: true, last_write_wins: false } }, tls }: DoubleOptions) {
    this.#types = new Map(Object.entries(types));
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
  }

  static async start(options: DoubleOptions = {}): Promise<RiakDouble> {
    const double = new RiakDouble(options);
    await double.listen();
    return double;
  }

  /** "host:port" */
  get node(): string {
    return `127.0.0.1:${this.#port}`;
  }

  #port = 0;
  async listen(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Cuts all connections and takes none, until it listens again. */
  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  setType(name: string, properties: Readonly<Record<string, unknown>> | undefined): void {
    if (properties === undefined) this.#types.delete(name);
    else this.#types.set(name, properties);
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = message;
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const request = { method, url, headers, path: decodeURIComponent(url.split("?")[0] ?? "") };
    this.requests.push(request);
    const fault = this.meddle(request);
    if (fault !== undefined && "until" in fault) await fault.until;
    if (fault !== undefined && "cut" in fault && fault.cut === "before") return void response.destroy();
    const body = Buffer.concat(chunks).toString();
    const answer = fault !== undefined && "status" in fault ? fault : await this.#answer(message, body);
    if (fault !== undefined && "cut" in fault) return void response.destroy();
    const { status, headers: out = {}, body: text = "" } = answer as Answer;
    response.writeHead(status, { ...out, "content-length": Buffer.byteLength(text) });
    response.end(method === "HEAD" ? "" : text);
  }

  async #answer(message: IncomingMessage, body: string): Promise<Answer> {
    const { pathname, searchParams } = new URL(message.url ?? "", "http://riak");
    if (message.rawHeaders.some((line) => line.length >= MAX_HEADER)) return { status: 431 };
    if ((message.url ?? "").length >= MAX_HEADER) return { status: 414 };
    if (pathname === "/ping") return { status: 200, headers: { "content-type": "text/html" }, body: "OK" };
    const [, types, type = "", ...rest] = pathname.split("/").map(decodeURIComponent);
    const properties = this.#types.get(type);
    if (types !== "types") return { status: 404 };
    if (properties === undefined) {
      return { status: 404, headers: { "content-type": "text/plain" }, body: `Unknown bucket type: ${type}` };
    }
    if (rest[0] === "props") return { status: 200, headers: JSON_TYPE, body: JSON.stringify({ props: properties }) };
    const [, bucket = "", what, name = "", from = "", to = ""] = rest;
    if (what === "index") return this.#query(`${type}/${bucket}`, name, [from, to], searchParams);
    if (what !== "keys") return { status: 404 };
    return this.#object(message, body, { bucket: `${type}/${bucket}`, key: name, searchParams });
  }

  async #object(
    { method, headers }: IncomingMessage,
    body: string,
    { bucket, key, searchParams }: { bucket: string; key: string; searchParams: URLSearchParams },
  ): Promise<Answer> {
    const present = this.objects.get(bucket, key);
    const isThere = present?.siblings.some(({ content }) => content !== undefined) ?? false;
    if (method === "GET" || method === "HEAD") return shown(bucket, present, headers.accept);
    const vclock = headers["x-riak-vclock"] as string | undefined;
    if (method === "DELETE") {
      if (!isThere) return NOT_FOUND;
      // Without a vclock Riak reads one itself, and then writes.
      const covered = vclock ?? (present && vclockOf(present));
      await this.between(key);
      this.objects.put(bucket, key, undefined, covered);
      return { status: 204, headers: { "content-type": "text/html" } };
    }
    if (headers["content-type"] === undefined) {
      return { status: 400, headers: { "content-type": "text/plain" }, body: "Missing Content-Type request header" };
    }
    if (headers["if-none-match"] === "*" && isThere) return { status: 412, headers: { "content-type": "text/html" } };
    const same = headers["x-riak-if-not-modified"];
    if (same !== undefined && (present === undefined || !isThere || vclockOf(present) !== same)) {
      return { status: 409, headers: { "content-type": "text/html" } };
    }
    if (vclock !== undefined && !isVclock(vclock)) return { status: 500, headers: { "content-type": "text/html" } };
    await this.between(key);
    try {
      const written = this.objects.put(bucket, key, contentOf(headers, body), vclock);
      if (searchParams.get("returnbody") === "true") return shown(bucket, written, headers.accept);
      return { status: 204, headers: { "content-type": headers["content-type"] } };
    } catch (error) {
      if (!(error instanceof TooManySiblings)) throw error;
      return { status: 500, headers: { "content-type": "text/plain" }, body: "Error:\n{too_many_siblings,101}\n" };
    }
  }

  #query(bucket: string, index: string, range: readonly [string, string], search: URLSearchParams): Answer {
    const plain = { "content-type": "text/plain" };
    if (!this.hasIndexes) {
      const body = "<html><body>{error,{error,{indexes_not_supported,riak_kv_bitcask_backend}}}</body></html>";
      return { status: 500, headers: { "content-type": "text/html" }, body };
    }
    const isInteger = index.endsWith("_int");
    if (!isInteger && !index.endsWith("_bin")) {
      return { status: 400, headers: plain, body: `Invalid query: {unknown_field_type,<<"${index}">>}\n` };
    }
    const [from, to] = range;
    if (isInteger && !/^-?\d+$/.test(from)) {
      const body = `Invalid query: {field_parsing_failed,{<<"${index}">>,<<"${from}">>}}\n`;
      return { status: 400, headers: plain, body };
    }
    const order = isInteger ? byNumber : byText;
    const all = this.objects.entries(bucket, index, (term) => order(term, from) >= 0 && order(term, to) <= 0, order);
    const max = search.get("max_results");
    // Without a page's size, or being asked to sort, Riak answers in whatever order its parts do.
    if (max === null && search.get("pagination_sort") !== "true") all.reverse();
    const last = search.get("continuation");
    const start = last === null ? 0 : all.findIndex((entry) => isBehind(entry, last, order));
    const page = (start === -1 ? [] : all.slice(start)).slice(0, max === null ? all.length : Number(max));
    const answer: Record<string, unknown> =
      search.get("return_terms") === "true"
        ? { results: page.map(({ term, key }) => ({ [term]: key })) }
        : { keys: page.map(({ key }) => key) };
    // There is one on a full page, whether or not anything is behind it.
    if (max !== null && page.length === Number(max)) answer.continuation = placeOf(page.at(-1));
    return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
  }
}

function isVclock(text: string): boolean {
  return Buffer.from(text, "base64").toString().startsWith("vclock ");
}

function byText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function byNumber(a: string, b: string): number {
  return Number(BigInt(a) - BigInt(b));
}

function placeOf(entry: { readonly term: string; readonly key: string } | undefined): string {
  return Buffer.from(JSON.stringify([entry?.term, entry?.key])).toString("base64");
}

function isBehind({ term, key }: { term: string; key: string }, place: string, order: typeof byText): boolean {
  const [lastTerm, lastKey] = JSON.parse(Buffer.from(place, "base64").toString()) as [string, string];
  return order(term, lastTerm) > 0 || (order(term, lastTerm) === 0 && key > lastKey);
}
