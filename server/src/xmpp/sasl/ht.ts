import { createHmac, timingSafeEqual } from "node:crypto";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { prepareLocal } from "../precis.ts";
import { decodeText, type SaslContext, SaslError, type SaslMechanism, type SaslStep } from "./mechanism.ts";

/** The Hashed Token mechanisms (draft-schmaus-kitten-sasl-ht), which FAST (XEP-0484) logs in with, the best first. */
export const FAST_MECHANISMS: readonly SaslMechanism[] = [
  hashedToken("HT-SHA-256-EXPR", "tls-exporter"),
  hashedToken("HT-SHA-256-ENDP", "tls-server-end-point"),
  hashedToken("HT-SHA-256-NONE"),
];

function hashedToken(name: string, binding?: string): SaslMechanism {
  return {
    name,
    needs: "fast",
    plaintext: false,
    ...(binding === undefined ? {} : { binds: [binding] }),
    start: (context) => ({ step: (message) => redeem(message, name, binding, context) }),
  };
}

function redeem(
  message: Uint8Array,
  mechanism: string,
  binding: string | undefined,
  context: SaslContext,
): MaybePromise<SaslStep> {
  const { credentials, channel, login } = context;
  if (credentials.fast === undefined) throw new SaslError("invalid-mechanism");
  // XEP-0484: both elements are a must for a login by token.
  if (login === undefined) throw new SaslError("malformed-request", "no <fast/>, or no <user-agent/> with an id");
  const data = binding === undefined ? new Uint8Array() : channel.data(binding);
  if (data === undefined) throw new SaslError("mechanism-too-weak", "the channel cannot be bound to");
  const { name, proof } = readInitiatorMessage(message);
  const local = prepareLocal(name);
  // What cannot be prepared cannot be an account's name, which is nothing to hide.
  if (local === undefined) throw new SaslError("not-authorized");
  const matches = (token: string) => timingSafeEqual(hashed(token, "Initiator", data), proof);
  return then(credentials.fast(local, { ...login, mechanism }, matches), ({ token, renewed }) => ({
    success: { local, data: hashed(token, "Responder", data), ...(renewed === undefined ? {} : { renewed }) },
  }));
}

function hashed(token: string, role: "Initiator" | "Responder", binding: Uint8Array): Buffer {
  return createHmac("sha256", token).update(role).update(binding).digest();
}

const PROOF_BYTES = 32;

/** The account's name, a zero byte, and the proof. */
function readInitiatorMessage(message: Uint8Array): { readonly name: string; readonly proof: Uint8Array } {
  const end = message.indexOf(0);
  const proof = message.subarray(end + 1);
  if (end < 1 || proof.length !== PROOF_BYTES) throw new SaslError("malformed-request", "not name NUL hashed token");
  return { name: decodeText(message.subarray(0, end)), proof };
}
