import assert from "node:assert/strict";
import { test } from "node:test";
import { anonymous } from "../../../src/xmpp/sasl/anonymous.ts";
import { type Credentials, NO_CHANNEL } from "../../../src/xmpp/sasl/mechanism.ts";
import { SaslNegotiation } from "../../../src/xmpp/sasl/negotiation.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

function negotiation(guest: Credentials["anonymous"] | undefined = () => "guest"): SaslNegotiation {
  return new SaslNegotiation([anonymous], {
    domain: "example.org",
    credentials: { scram: () => undefined, verify: () => false, proved: () => {}, ...(guest && { anonymous: guest }) },
    channel: NO_CHANNEL,
    offered: { mechanisms: [], bindings: [] },
    decoySecret: new Uint8Array(32),
    iterations: 4096,
    nonce: () => "nonce",
  });
}
const begin = (initial: string, server = negotiation()) => server.begin("ANONYMOUS", initial);

test("ANONYMOUS lets in whoever says nothing at all, an empty trace, or any (XEP-0175)", async () => {
  for (const initial of ["", "=", base64("sirhc"), base64("alice@example.org"), base64("ä".repeat(255))]) {
    assert.deepEqual(await begin(initial), { success: { local: "guest", data: "" } });
  }
});

test("ANONYMOUS takes no trace beyond 255 characters, and none that is no text (RFC 4505 2)", async () => {
  for (const trace of [Buffer.from("ä".repeat(256)), Buffer.from([0xff])]) {
    const reply = await begin(trace.toString("base64"));
    assert.ok("failure" in reply && reply.failure === "malformed-request", JSON.stringify(reply));
  }
});

test("ANONYMOUS gives out a name each time", async () => {
  let count = 0;
  const server = negotiation(() => Promise.resolve(`guest-${++count}`));
  assert.deepEqual(await begin("", server), { success: { local: "guest-1", data: "" } });
  assert.deepEqual(await begin("", server), { success: { local: "guest-2", data: "" } });
});
