/** What carries one XML stream: a TCP socket, plain or under TLS, or a WebSocket. */

import type { Channel } from "../xmpp/sasl/mechanism.ts";
import type { ShaperOptions } from "./shaper.ts";

/** What TLS agreed on, for logins and the log. */
export interface TlsFacts {
  /** "TLSv1.2" or "TLSv1.3". */
  readonly version: string;
  readonly cipher: string;
  /** The ALPN protocol, or "" when none was agreed. */
  readonly alpn: string;
  /** What a login can be bound to. */
  readonly channel: Channel;
  /** The XMPP addresses of the certificate that the client showed, if it did and TLS found it valid. */
  readonly certified: readonly string[];
  /** When the first certificate of its chain runs out, milliseconds since 1970. */
  readonly certifiedUntil: number;
}

/** Hears what happens to a transport. Calls never overlap. */
export interface TransportReceiver {
  /** Bytes of the stream (TCP), or one whole text message (WebSocket). Not called while paused. */
  data(chunk: Uint8Array): void;
  /** The TLS handshake that `startTls` began is done. */
  secured(): void;
  /** Nothing more will come and nothing more can be sent; once, also after `destroy`. */
  closed(error?: Error): void;
}

export interface Transport {
  readonly kind: "tcp" | "websocket";
  /** The client's IP address; behind a load balancer the one its PROXY header or X-Forwarded-For named. */
  readonly address: string;
  readonly secure: boolean;
  /** Of the TLS that the client itself speaks with us; none where it ends in a load balancer. */
  readonly tls: TlsFacts | undefined;
  /** Bytes taken by `write` that the peer has not taken yet. */
  readonly backlog: number;
  /** Tells the transport whom to call. Until then nothing is read. */
  attach(receiver: TransportReceiver): void;
  /** Queues text; all that is written in one tick leaves in one go. On a WebSocket each call is one message. */
  write(text: string): void;
  /** Stops reading, so that the peer feels back-pressure; what the system already handed over is still kept in order. */
  pause(): void;
  resume(): void;
  /** How fast the peer is read from here on. */
  shape(shaper: ShaperOptions | undefined): void;
  /**
   * TCP only: answers the client's handshake from here on, for `domain` if the client names none. Bytes that came before
   * it are thrown away (RFC 6120 5.4.3.3).
   */
  startTls(domain?: string): void;
  /** Sends what is queued, says good-bye, and gives the peer a bounded time to do the same. */
  end(): void;
  /** Cuts at once. */
  destroy(): void;
}
