/** XEP-0156: where a web client finds the WebSocket of a domain, as XML (RFC 6415) and as JSON. */
import { domainToASCII } from "node:url";
import type { HttpHandler, HttpRequest, HttpResponse } from "../net/http.ts";
import type { Host, Hosts } from "../router/hosts.ts";
import { element } from "../xml/element.ts";
import { prepareDomain } from "../xmpp/jid.ts";

const XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
const WEBSOCKET = "urn:xmpp:alt-connections:websocket";

export interface WebSocketPlace {
  readonly path: string;
  /** With {domain} in place of the domain; without it, the address that the request was made to. */
  readonly url: string | undefined;
}

interface Link {
  readonly rel: string;
  readonly href: string;
}

/** Routes for both forms. A domain that is not served answers 404. */
export function hostMeta(hosts: Hosts, place: WebSocketPlace): ReadonlyMap<string, HttpHandler> {
  // XEP-0156 4: web pages of any origin may look.
  const open = { "access-control-allow-origin": "*" };

  function answer(type: string, render: (links: readonly Link[]) => string): HttpHandler {
    return (request): HttpResponse => {
      const host = hosts.get(domainOf(request));
      if (host === undefined) return { status: 404, headers: open, body: "no such domain\n" };
      const headers = { ...open, "cache-control": "max-age=3600", "content-type": type };
      return { status: 200, headers, body: render(links(host, request)) };
    };
  }

  /** XEP-0156 2.2: addresses are of wss alone, so that where there is no TLS there is nothing to tell. */
  function links(host: Host, request: HttpRequest): readonly Link[] {
    // As a URI has it, in ASCII.
    const domain = domainToASCII(host.domain);
    if (place.url !== undefined) return [{ rel: WEBSOCKET, href: place.url.replaceAll("{domain}", domain) }];
    if (!request.secure) return [];
    return [{ rel: WEBSOCKET, href: `wss://${request.headers.host ?? domain}${place.path}` }];
  }

  return new Map([
    ["GET /.well-known/host-meta", answer("application/xrd+xml", xrd)],
    ["GET /.well-known/host-meta.json", answer("application/json", (links) => JSON.stringify({ links }))],
  ]);
}

function xrd(links: readonly Link[]): string {
  const root = element("XRD", XRD, {}, ...links.map((link) => element("Link", XRD, { ...link })));
  return `<?xml version='1.0' encoding='utf-8'?>${root.toXml()}`;
}

/** As the hosts are called: a browser sends the A-labels of an internationalised domain. */
function domainOf({ headers }: HttpRequest): string {
  return prepareDomain((headers.host ?? "").replace(/:\d+$/, "")) ?? "";
}
