import type { XmlLimits } from "../../xml/limits.ts";

/** The namespaces of XEP-0227, and those that its files borrow and the server itself does not speak. */
export const PIE = {
  data: "urn:xmpp:pie:0",
  scram: "urn:xmpp:pie:0#scram",
  archive: "urn:xmpp:pie:0#mam",
  include: "http://www.w3.org/2001/XInclude",
  results: "urn:xmpp:mam:2",
  forward: "urn:xmpp:forward:0",
} as const;

/** What one element of a file may grow to: a roster, a vCard, a message. */
export const PIE_LIMITS: XmlLimits = {
  maxStanzaBytes: 16_777_216,
  maxDepth: 128,
  maxAttributes: 64,
  maxTagBytes: 65_536,
};
