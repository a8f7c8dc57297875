/** What every story starts with: the site, entered, and clients that are closed when the story ends. */
import type { TestContext } from "node:test";
import { type Account, enter, localSite } from "./topology.ts";
import { type LoginOptions, login, onDifferentNodes, type XmppClient } from "./xmpp.ts";

export const site = localSite();
enter(site);

/** Logs in; the client is closed when the test ends. */
export async function online(t: TestContext, account: Account, options: LoginOptions = {}): Promise<XmppClient> {
  const client = await login(site, account, options);
  t.after(() => client.close().catch(() => client.destroy()));
  return client;
}

/** Logs both in, the first by STARTTLS, the second by WebSocket, on two nodes; fails when there is one only. */
export async function onTwoNodes(
  t: TestContext,
  one: Account,
  other: Account,
  options: { readonly first?: LoginOptions; readonly second?: LoginOptions } = {},
): Promise<[XmppClient, XmppClient]> {
  const { first, second, apart } = await onDifferentNodes(
    () => login(site, one, { via: "starttls", ...options.first }),
    () => login(site, other, { via: "websocket", ...options.second }),
    12,
  );
  for (const client of [first, second]) t.after(() => client.close().catch(() => client.destroy()));
  if (!apart) throw new Error(`every stream is on ${first.node}; are there two nodes? make status`);
  return [first, second];
}
