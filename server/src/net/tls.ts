import { constants, createHash, createPrivateKey, hkdfSync, randomBytes, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createSecureContext, type SecureContext, TLSSocket, type TLSSocketOptions } from "node:tls";
import { generate } from "selfsigned";
import { certifiedBy, channelOf } from "./channel.ts";
import { TransportError } from "./errors.ts";
import type { Timers } from "./timers.ts";
import type { TlsFacts } from "./transport.ts";

const DAY = 86_400_000;

/** RFC 9325: forward secrecy and authenticated encryption only. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE+AESGCM",
  "ECDHE+CHACHA20",
].join(":");

export interface CertificateFiles {
  /** PEM: the certificate, and what chains it to its root. */
  readonly certificate: string;
  /** PEM, without a password. */
  readonly key: string;
  /** The names it is shown for; without them, those in the certificate. */
  readonly domains?: readonly string[] | undefined;
}

/** TLS sessions that a client may go on with instead of a whole handshake (RFC 5077, RFC 8446 2.2). */
export interface TicketOptions {
  /** The same on all nodes lets a client go on at another node; default one of this process alone. */
  readonly secret?: string | Uint8Array | undefined;
  /** How long one key made of it is used, milliseconds; default 12 h. A ticket of the key before is worth nothing. */
  readonly periodMs?: number | undefined;
  /** Milliseconds since 1970. */
  now?(): number;
}

interface Pem {
  readonly cert: string;
  readonly key: string;
  /** The authorities whose certificates clients are asked for. */
  readonly ca?: string;
}

interface Loaded {
  readonly names: readonly string[];
  readonly context: SecureContext;
  readonly pem: Pem;
  readonly expires: Date;
}

/** What https.createServer and setSecureContext want to know. */
export interface ServerCredentials extends Pem {
  readonly minVersion: "TLSv1.2";
  readonly ciphers: string;
  readonly honorCipherOrder: true;
  readonly secureOptions: number;
  readonly sessionIdContext: string;
  readonly ticketKeys: Buffer;
}

/** The certificates of the served domains, one chosen by the name the client asks for (RFC 6066 3). */
export class Certificates {
  readonly #files: readonly CertificateFiles[];
  readonly #reloaded = new Set<() => void>();
  readonly #tickets: Tickets;
  readonly #authorities: string | undefined;
  readonly #asking = new Set<Certificates>();
  #loaded: readonly Loaded[];
  #byName: ReadonlyMap<string, SecureContext>;

  /**
   * The first of `files` is shown to a client that names no domain or an unknown one. With `authorities`, a PEM file,
   * clients are asked for a certificate that one of these has signed. Throws an Error that names the file.
   */
  constructor(files: readonly CertificateFiles[], tickets: TicketOptions = {}, authorities?: string) {
    this.#files = files;
    this.#tickets = new Tickets(tickets);
    this.#authorities = authorities;
    this.#loaded = this.#load();
    if (this.#loaded.length === 0) throw new Error("TLS needs at least one certificate");
    this.#byName = byName(this.#loaded);
  }

  /** The same for a listener that asks its clients for a certificate; it is read again together with these. */
  asking(authorities: string): Certificates {
    const asking = new Certificates(this.#files, {}, authorities);
    this.#asking.add(asking);
    return asking;
  }

  /** Reads all files again: all of them count from the next handshake on, or, when one is wrong, it throws and none does. */
  reload(): void {
    const all = [this, ...this.#asking].map((certificates) => ({ certificates, loaded: certificates.#load() }));
    for (const { certificates, loaded } of all) certificates.#take(loaded);
  }

  onReload(listener: () => void): () => void {
    this.#reloaded.add(listener);
    return () => this.#reloaded.delete(listener);
  }

  /** The first moment at which one of the certificates runs out. */
  get expires(): Date {
    return new Date(Math.min(...this.#loaded.map(({ expires }) => expires.getTime())));
  }

  contextFor(name: string): SecureContext {
    this.#renewTickets();
    const domain = name.toLowerCase();
    // RFC 6125 6.4.3: a wildcard stands for exactly one label.
    const wildcard = `*${domain.slice(domain.indexOf("."))}`;
    return this.#byName.get(domain) ?? this.#byName.get(wildcard) ?? this.#first.context;
  }

  /**
   * Options for a TLS socket that answers a client. A client that offers ALPN, but none of `alpn`, is refused. `domain` is
   * whom a client wants that names none by SNI.
   */
  socketOptions(alpn: readonly string[], domain = ""): TLSSocketOptions {
    return {
      isServer: true,
      secureContext: this.contextFor(domain),
      SNICallback: (name, done) => done(null, this.contextFor(name)),
      // Whoever has none, or one that is not good, may still log in otherwise.
      ...(this.#authorities === undefined ? {} : { requestCert: true, rejectUnauthorized: false }),
      // RFC 7301 3.2: nothing in common ends in the alert no_application_protocol.
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    };
  }

  /** The first certificate, for an HTTPS server's own context. */
  get credentials(): ServerCredentials {
    return credentials(this.#first.pem, this.#tickets.key(this.#loaded));
  }

  #renewTickets(): void {
    if (!this.#tickets.expired) return;
    this.#take(this.#withContexts(this.#loaded));
  }

  #load(): readonly Loaded[] {
    const authorities = this.#authorities;
    const ca = authorities === undefined ? {} : { ca: readAuthorities(authorities) };
    return this.#withContexts(this.#files.map((file) => load(file, ca)));
  }

  #withContexts(files: readonly Omit<Loaded, "context">[]): readonly Loaded[] {
    const key = this.#tickets.key(files);
    return files.map((each) => ({ ...each, context: createSecureContext(credentials(each.pem, key)) }));
  }

  #take(loaded: readonly Loaded[]): void {
    this.#loaded = loaded;
    this.#byName = byName(loaded);
    for (const listener of this.#reloaded) listener();
  }

  get #first(): Loaded {
    // The constructor made sure that there is one.
    return this.#loaded[0] as Loaded;
  }
}

/** The key that tickets are made with: another one in each period, the same on all nodes with this secret and these certificates. */
class Tickets {
  readonly #secret: string | Uint8Array;
  readonly #periodMs: number;
  readonly #now: () => number;
  #period = -1;

  constructor({ secret = randomBytes(32), periodMs = DAY / 2, now = Date.now }: TicketOptions) {
    this.#secret = secret;
    this.#periodMs = periodMs;
    this.#now = now;
  }

  /** Whether `key` would give another one than last. */
  get expired(): boolean {
    return Math.floor(this.#now() / this.#periodMs) !== this.#period;
  }

  /**
   * As OpenSSL wants it: 16 bytes of name, 32 of keys. A session does not outlive the certificate that was shown, which
   * its client may bind a login to (RFC 5929 4).
   */
  key(files: readonly { readonly pem: Pem }[]): Buffer {
    this.#period = Math.floor(this.#now() / this.#periodMs);
    const shown = createHash("sha256");
    for (const { pem } of files) shown.update(pem.cert);
    const what = `meerkat tls tickets ${this.#period} ${shown.digest("hex")}`;
    return Buffer.from(hkdfSync("sha256", this.#secret, "", what, 48));
  }
}

function load({ certificate, key, domains }: CertificateFiles, ca: Pick<Pem, "ca"> = {}): Omit<Loaded, "context"> {
  const pem = { cert: read(certificate), key: read(key), ...ca };
  const x509 = parse(certificate, () => new X509Certificate(pem.cert));
  const privateKey = parse(key, () => createPrivateKey(pem.key));
  if (!x509.checkPrivateKey(privateKey)) throw new Error(`${key} is not the key of ${certificate}`);
  // What else may be wrong with the two.
  parse(certificate, () => createSecureContext({ cert: pem.cert, key: pem.key }));
  return {
    names: (domains ?? certificateNames(x509)).map((name) => name.toLowerCase()),
    pem,
    expires: new Date(x509.validTo),
  };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** OpenSSL would take a file of something else for one without authorities, and then trust nobody. */
function readAuthorities(path: string): string {
  const pem = read(path);
  const certificates = pem.match(PEM_CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`TLS: ${path}: no certificate in PEM`);
  for (const each of certificates) {
    const x509 = parse(path, () => new X509Certificate(each));
    if (!x509.ca) throw new Error(`TLS: ${path}: ${x509.subject} is the certificate of no authority`);
  }
  return pem;
}

function credentials(pem: Pem, ticketKeys: Buffer): ServerCredentials {
  const asks = pem.ca !== undefined;
  // RFC 7590 3.4, RFC 9325 3.3 and 3.5: no compression (CRIME), no second handshake within the first (RFC 6120 5.3.5).
  const secureOptions = constants.SSL_OP_NO_COMPRESSION | constants.SSL_OP_NO_RENEGOTIATION;
  return {
    ...pem,
    minVersion: "TLSv1.2",
    ciphers: CIPHERS,
    honorCipherOrder: true,
    // A session that goes on shows no certificate, so where one is asked for there is a whole handshake each time.
    secureOptions: asks ? secureOptions | constants.SSL_OP_NO_TICKET : secureOptions,
    // Sessions are good for every socket of this server, whichever node made them, but for those that ask for more.
    sessionIdContext: asks ? "meerkat, asking" : "meerkat",
    ticketKeys,
  };
}

/** Of two certificates for one name, the one configured first is shown. */
function byName(loaded: readonly Loaded[]): Map<string, SecureContext> {
  return new Map(loaded.toReversed().flatMap(({ names, context }) => names.map((name) => [name, context] as const)));
}

function certificateNames(x509: X509Certificate): string[] {
  const names = (x509.subjectAltName ?? "").split(", ");
  return names.filter((name) => name.startsWith("DNS:")).map((name) => name.slice(4));
}

function read(path: string): string {
  return parse(path, () => readFileSync(path, "utf8"));
}

function parse<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new Error(`TLS: ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/**
 * Answers a client's handshake on `clear`, and calls `done` once: with nothing when the socket is secured, paused and yet
 * unread, with the error when it is not, and then the socket is destroyed.
 */
export function answerTls(
  clear: Socket,
  options: TLSSocketOptions,
  limit: { readonly timers: Timers; readonly timeoutMs: number },
  done: (error?: TransportError) => void,
): TLSSocket {
  const socket = new TLSSocket(clear, options).pause();
  let isSettled = false;
  const settle = (error?: TransportError) => {
    if (isSettled) return;
    isSettled = true;
    cancel();
    if (error !== undefined) socket.destroy();
    done(error);
  };
  const fail = (error: Error) => settle(new TransportError("tls-failed", error.message, { cause: error }));
  const cancel = limit.timers.after(limit.timeoutMs, () =>
    settle(new TransportError("tls-timeout", `no TLS within ${limit.timeoutMs} ms`)),
  );
  // A server-side socket without a tls.Server tells its TLS errors here, and does not close by itself after the handshake.
  socket.on("_tlsError", (error: Error) => socket.destroy(error));
  socket.on("error", fail);
  socket.once("close", () => fail(new Error("closed during the handshake")));
  socket.once("secure", () => settle());
  return socket;
}

/** What the handshake of a secured socket agreed on. */
export function tlsFacts(socket: TLSSocket): TlsFacts {
  return {
    version: socket.getProtocol() ?? "",
    cipher: socket.getCipher().standardName,
    alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "",
    channel: channelOf(socket),
    ...certifiedBy(socket),
  };
}

/**
 * A self-signed certificate for `domains`, kept in `directory` as tls.crt and tls.key (mode 0600). The one found there is
 * used again while it names all of them and is good for another 30 days.
 */
export async function selfSigned(directory: string, domains: readonly string[]): Promise<CertificateFiles> {
  const files = { certificate: join(directory, "tls.crt"), key: join(directory, "tls.key") };
  if (isStillGood(files, domains)) return files;
  const made = await generate([{ name: "commonName", value: domains[0] ?? "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    // An hour back for clients whose clock is slow; 825 days is the longest that every client accepts.
    notBeforeDate: new Date(Date.now() - 3_600_000),
    notAfterDate: new Date(Date.now() + 824 * DAY),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: domains.map((value) => ({ type: 2 as const, value })) },
    ],
  });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  replace(files.key, made.private, 0o600);
  replace(files.certificate, made.cert, 0o644);
  return files;
}

function isStillGood({ certificate, key }: CertificateFiles, domains: readonly string[]): boolean {
  if (!existsSync(certificate) || !existsSync(key)) return false;
  try {
    const { names, expires } = load({ certificate, key });
    return expires.getTime() > Date.now() + 30 * DAY && domains.every((domain) => names.includes(domain.toLowerCase()));
  } catch {
    // Half-written or mismatched files, such as a crash between the two leaves: made anew.
    return false;
  }
}

/** The file is there whole or not at all. */
function replace(path: string, text: string, mode: number): void {
  const beside = `${path}.new`;
  writeFileSync(beside, text, { mode });
  chmodSync(beside, mode);
  renameSync(beside, path);
}
