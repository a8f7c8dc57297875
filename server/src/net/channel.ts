/** What a login can be bound to, and rest on, of the TLS under it. */
import { createHash, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Channel } from "../xmpp/sasl/mechanism.ts";
import { endPointHash, xmppAddresses } from "./certificate.ts";
import { DerError } from "./der.ts";

const LONGEST_CHAIN = 100;
const EXPORTER = "tls-exporter";
const END_POINT = "tls-server-end-point";

/**
 * The channel bindings of a socket whose handshake is done. tls-exporter is for TLS 1.3 alone: before that it needs the
 * extended master secret (RFC 9266 4.2), of which Node does not tell.
 */
export function channelOf(socket: TLSSocket): Channel {
  const isExporting = socket.getProtocol() === "TLSv1.3";
  let endPoint: Uint8Array | false | undefined;
  const endPointData = () => {
    endPoint ??= hashOf(socket.getX509Certificate()) ?? false;
    return endPoint || undefined;
  };
  return {
    get types() {
      return [...(isExporting ? [EXPORTER] : []), ...(endPointData() === undefined ? [] : [END_POINT])];
    },
    data(type) {
      if (type === END_POINT) return endPointData();
      if (type !== EXPORTER || !isExporting || socket.destroyed) return undefined;
      // RFC 9266 2.
      return socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
    },
  };
}

/** RFC 5929 4.1, of the certificate that this very client was shown. */
function hashOf(certificate: X509Certificate | undefined): Uint8Array | undefined {
  if (certificate === undefined) return undefined;
  const hash = read(() => endPointHash(certificate.raw));
  return hash === undefined ? undefined : createHash(hash).update(certificate.raw).digest();
}

/** Tells what is wrong with the peer's certificate, if anything; Node keeps it to itself on a socket without a tls.Server. */
interface Verifying {
  verifyError?(): Error | null | undefined;
}

interface Certified {
  readonly certified: readonly string[];
  readonly certifiedUntil: number;
}
const NOBODY: Certified = { certified: [], certifiedUntil: 0 };

/**
 * The XMPP addresses of the certificate that the client showed and TLS found valid. None where TLS was resumed: nothing
 * was shown then, and what was valid at the time may have run out since.
 */
export function certifiedBy(socket: TLSSocket): Certified {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || socket.isSessionReused()) return NOBODY;
  const { _handle: handle } = socket as unknown as { readonly _handle?: Verifying };
  if (handle?.verifyError === undefined || handle.verifyError()) return NOBODY;
  const certified = read(() => xmppAddresses(certificate.raw)) ?? [];
  return { certified, certifiedUntil: endOf(certificate) };
}

/** The first moment at which one of the chain runs out. */
function endOf(certificate: X509Certificate): number {
  const ends: number[] = [];
  // An authority at its end may count as its own issuer.
  for (let each: X509Certificate | undefined = certificate; each && ends.length < LONGEST_CHAIN; ) {
    ends.push(each.validToDate.getTime());
    each = each.issuerCertificate;
  }
  return Math.min(...ends);
}

/** A certificate that the TLS library could make sense of, and we cannot, has nothing to say. */
function read<T>(from: () => T): T | undefined {
  try {
    return from();
  } catch (error) {
    if (error instanceof DerError || error instanceof TypeError) return undefined;
    throw error;
  }
}
