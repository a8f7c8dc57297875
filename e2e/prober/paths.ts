/** Each way that a client takes through the load balancer, walked once: does it work, on which node, how fast. */
import { connect as connectTls } from "node:tls";
import { xml } from "@xmpp/client";
import { abortable } from "../lib/eventually.ts";
import type { Account, Site } from "../lib/topology.ts";
import { allocate, turnCredentials } from "../lib/turn.ts";
import { login, onDifferentNodes, type Via, type XmppClient } from "../lib/xmpp.ts";

export interface Probed {
  /** Seconds from the first packet to the answer to the last stanza. */
  readonly seconds: number;
  /** The node or nodes that were met; empty where none is on the way. */
  readonly nodes: readonly string[];
  /** When the first certificate on the way ends; undefined where there is none. */
  readonly certificateEnd?: Date | undefined;
  /** More for a person to read. */
  readonly note?: string;
}

export interface ProbeTarget {
  readonly site: Site;
  /** Two accounts that talk to each other. */
  readonly accounts: readonly [Account, Account];
}

export interface Path {
  readonly name: string;
  /** Rejects when the path does not work, at the latest when the signal says so; leaves no connection open. */
  walk(target: ProbeTarget, signal: AbortSignal): Promise<Probed>;
  /** What to look at when it does not work. */
  readonly remedy: string;
}

const NODES_REMEDY = "make logs S=meerkat; make logs S=haproxy";

export const PATHS: readonly Path[] = [
  { name: "tcp-starttls", walk: (target, signal) => pinged(target, "starttls", signal), remedy: NODES_REMEDY },
  { name: "direct-tls", walk: (target, signal) => pinged(target, "direct-tls", signal), remedy: NODES_REMEDY },
  { name: "websocket", walk: (target, signal) => pinged(target, "websocket", signal), remedy: NODES_REMEDY },
  { name: "cross-node", walk: crossNode, remedy: "make status; make logs S=redis-1; make logs S=meerkat" },
  { name: "turn", walk: relay, remedy: "make logs S=coturn" },
];

/** Logs in and pings the server (XEP-0199). */
async function pinged({ site, accounts }: ProbeTarget, via: Via, signal: AbortSignal): Promise<Probed> {
  const started = performance.now();
  const client = await login(site, accounts[0], { via, signal });
  try {
    await abortable(client.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" })), signal);
    const seconds = since(started);
    // The WebSocket hides its socket.
    const certificateEnd = client.certificateEnd ?? (await certificateEndOf(site, signal));
    return { seconds, nodes: [client.node], certificateEnd };
  } finally {
    await leave(client);
  }
}

/** The two accounts on two nodes, one by TCP and one by WebSocket, send each other a message. */
async function crossNode({ site, accounts }: ProbeTarget, signal: AbortSignal): Promise<Probed> {
  const started = performance.now();
  const { first, second, apart } = await onDifferentNodes(
    () => login(site, accounts[0], { via: "starttls", signal }),
    () => login(site, accounts[1], { via: "websocket", signal }),
  );
  try {
    const sent = performance.now();
    await abortable(delivered(first, second), signal);
    await abortable(delivered(second, first), signal);
    const ms = (performance.now() - sent).toFixed(1);
    const where = apart ? "two nodes" : "ONE node only, no other one was met";
    return {
      seconds: since(started),
      nodes: apart ? [first.node, second.node] : [first.node],
      certificateEnd: first.certificateEnd,
      note: `a message each way in ${ms} ms, over ${where}`,
    };
  } finally {
    await Promise.all([leave(first), leave(second)]);
  }
}

/** A relay allocated with credentials as the server hands them out, and given back. */
async function relay({ site, accounts }: ProbeTarget, signal: AbortSignal): Promise<Probed> {
  const started = performance.now();
  const credentials = turnCredentials(site.secret("turn_secret"), accounts[0].local, new Date(Date.now() + 60_000));
  const { relayed } = await allocate({ address: site.turnAddress, port: site.ports.turn }, credentials, signal);
  return { seconds: since(started), nodes: [], note: `relay ${relayed}` };
}

async function delivered(from: XmppClient, to: XmppClient): Promise<void> {
  const text = `probe ${Date.now()}`;
  const message = await to.message(await from.say(to.jid, text), 15_000);
  const arrived = message.getChildText("body");
  if (arrived !== text) throw new Error(`"${text}" arrived as "${arrived}"`);
}

/** When the certificate of HTTPS ends; the handshake is checked as every other is. */
function certificateEndOf(site: Site, signal: AbortSignal): Promise<Date> {
  const { promise, resolve, reject } = Promise.withResolvers<Date>();
  const socket = connectTls({ host: site.domain, port: site.ports.https, servername: site.domain });
  socket.once("secureConnect", () => resolve(new Date(socket.getPeerCertificate().valid_to)));
  socket.on("error", reject);
  return abortable(promise, signal).finally(() => socket.destroy());
}

/** A client that cannot say good-bye is cut, and what it was for has happened. */
async function leave(client: XmppClient): Promise<void> {
  try {
    await abortable(client.close(), AbortSignal.timeout(2000));
  } catch {
    client.destroy();
  }
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
