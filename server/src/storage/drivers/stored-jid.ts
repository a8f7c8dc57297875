import { Jid } from "../../xmpp/jid.ts";

/** The address that was stored by its `full` text: prepared already, so it is only cut into its parts. */
export function storedJid(full: string): Jid {
  const slash = full.indexOf("/");
  const bare = slash === -1 ? full : full.slice(0, slash);
  const at = bare.indexOf("@");
  const resource = slash === -1 ? "" : full.slice(slash + 1);
  return new Jid(at === -1 ? "" : bare.slice(0, at), bare.slice(at + 1), resource);
}
