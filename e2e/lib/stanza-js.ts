/** `stanza` as a client of the site over WebSocket: another code base than `@xmpp/client`, with a SCRAM of its own. */
import { type Agent, createClient } from "stanza";
import { abortable } from "./eventually.ts";
import type { Account, Site } from "./topology.ts";
import { doorOf } from "./xmpp.ts";

/** Logs in; rejects when the server refuses, with nothing left open. */
export async function stanzaLogin(site: Site, account: Account, signal = AbortSignal.timeout(15_000)): Promise<Agent> {
  const { local, domain, password } = account;
  const agent = createClient({
    jid: `${local}@${domain}`,
    password,
    transports: { websocket: doorOf(site, domain, "websocket"), bosh: false },
    autoReconnect: false,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  agent.on("session:started", () => resolve());
  agent.on("auth:failed", () => reject(new Error("auth:failed")));
  agent.on("stream:error", ({ condition }) => reject(new Error(condition)));
  agent.on("disconnected", () => reject(new Error("disconnected")));
  try {
    agent.connect();
    await abortable(promise, signal);
    return agent;
  } catch (error) {
    agent.disconnect();
    throw error;
  }
}
