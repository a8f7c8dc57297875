// The part of @xmpp/client that is used here; the package brings no types.
declare module "@xmpp/client" {
  import type { EventEmitter } from "node:events";

  export interface Element {
    readonly name: string;
    readonly attrs: Record<string, string | undefined>;
    is(name: string, xmlns?: string): boolean;
    getNS(): string;
    getChild(name: string, xmlns?: string): Element | undefined;
    getChildren(name: string, xmlns?: string): Element[];
    getChildText(name: string, xmlns?: string): string | null;
    text(): string;
    toString(): string;
  }

  export function xml(
    name: string,
    attrs?: Record<string, string | undefined> | null,
    ...children: (Element | string | undefined)[]
  ): Element;

  export type Authenticate = (
    credentials: { username: string; password: string },
    mechanism: string,
    userAgent?: Element,
  ) => Promise<void>;

  export interface Options {
    readonly service: string;
    readonly domain: string;
    readonly resource?: string;
    readonly username?: string;
    readonly password?: string;
    readonly credentials?: (authenticate: Authenticate, mechanisms: string[]) => Promise<void>;
    /** Milliseconds to wait for each answer while a stream opens or closes; 2000 unless told. */
    readonly timeout?: number;
  }

  export interface Client extends EventEmitter {
    readonly jid: { toString(): string } | null;
    readonly status: string;
    readonly saslFactory: { use(name: string, mechanism: new () => object): unknown };
    readonly reconnect: { stop(): void };
    /** The library's wrapper around a socket; gone when the transport is. */
    readonly socket: { readonly socket: unknown; end(): void } | null;
    readonly iqCaller: { request(iq: Element, timeout?: number): Promise<Element> };
    start(): Promise<unknown>;
    stop(): Promise<unknown>;
    send(element: Element): Promise<void>;
    write(text: string): Promise<void>;
  }

  export function client(options: Options): Client;
}
