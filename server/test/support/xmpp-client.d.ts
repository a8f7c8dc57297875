// The part of @xmpp/client that is used here; the package brings no types.
declare module "@xmpp/client" {
  import type { EventEmitter } from "node:events";

  export interface Element {
    readonly name: string;
    readonly attrs: Record<string, string | undefined>;
    getChildText(name: string, xmlns?: string): string | null;
    is(name: string, xmlns?: string): boolean;
  }

  export function xml(name: string, attrs: Record<string, string>, ...children: (Element | string)[]): Element;

  export interface Token {
    readonly mechanism: string;
    readonly token: string;
    readonly expiry: string;
  }

  export interface Client extends EventEmitter {
    readonly jid: { toString(): string } | null;
    readonly socket: { readonly socket: { destroy(): void } } | null;
    readonly reconnect: { delay: number; stop(): void };
    readonly streamManagement: EventEmitter & { readonly enabled: boolean; readonly id: string };
    readonly fast: { fetchToken(): Promise<Token | undefined>; saveToken(token: Token): Promise<void> };
    start(): Promise<unknown>;
    stop(): Promise<unknown>;
    send(stanza: Element): Promise<void>;
    write(text: string): Promise<void>;
  }

  export function client(options: {
    readonly service: string;
    readonly domain: string;
    readonly resource?: string;
    readonly username: string;
    readonly password: string;
    readonly userAgent?: Element;
  }): Client;
}
