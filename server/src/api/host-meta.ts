/** XEP-0156: where a web client finds the WebSocket of a domain, as XML (RFC 6415) and as JSON. */
import type { HttpHandler, HttpRequest, HttpResponse } from "../net/http.ts";
import type { Host, Hosts } from "../router/hosts.ts";
import { element } from "../xml/element.ts";

const XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
const WEBSOCKET = "urn:xmpp:alt-connections:websocket";

export interface WebSocketPlace {
  readonly path: string;
  /** With {domain} in place of the domain; without it, the address that the request was made to. */
  readonly url: string | undefined;
}

/** Routes for both forms. A domain that is not served answers 404. */
export function hostMeta(hosts: Hosts, place: WebSocketPlace): ReadonlyMap<string, HttpHandler> {
  // XEP-0156 4: web pages of any origin may look.
  const open = { "access-control-allow-origin": "*", "cache-control": "max-age=3600" };

  function answer(render: (href: string) => HttpResponse): HttpHandler {
    return (request) => {
      const host = hosts.get(domainOf(request));
      if (host === undefined) return { status: 404, body: "no such domain\n" };
      return render(href(host, request));
    };
  }

  function href(host: Host, request: HttpRequest): string {
    if (place.url !== undefined) return place.url.replaceAll("{domain}", host.domain);
    return `${request.secure ? "wss" : "ws"}://${request.headers.host ?? host.domain}${place.path}`;
  }

  return new Map([
    [
      "GET /.well-known/host-meta",
      answer((url) => ({
        status: 200,
        headers: { ...open, "content-type": "application/xrd+xml" },
        body: `<?xml version='1.0' encoding='utf-8'?>${element("XRD", XRD, {}, element("Link", XRD, { rel: WEBSOCKET, href: url })).toXml()}`,
      })),
    ],
    [
      "GET /.well-known/host-meta.json",
      answer((url) => ({
        status: 200,
        headers: { ...open, "content-type": "application/json" },
        body: JSON.stringify({ links: [{ rel: WEBSOCKET, href: url }] }),
      })),
    ],
  ]);
}

function domainOf({ headers }: HttpRequest): string {
  return (headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
}
