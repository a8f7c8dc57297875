import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { prepareLocal } from "../precis.ts";
import {
  checkAuthzid,
  decodeText,
  type SaslContext,
  SaslError,
  type SaslMechanism,
  type SaslStep,
} from "./mechanism.ts";

/** RFC 4616. */
export const plain: SaslMechanism = {
  name: "PLAIN",
  needs: "verify",
  plaintext: true,
  start: (context) => ({ step: (response) => verify(context, decodeText(response)) }),
};

function verify(context: SaslContext, message: string): MaybePromise<SaslStep> {
  const [authzid, authcid, password, ...more] = message.split("\0");
  if (authzid === undefined || !authcid || !password || more.length > 0) {
    throw new SaslError("malformed-request", "not authzid NUL authcid NUL passwd");
  }
  const local = prepareLocal(authcid);
  checkAuthzid(authzid, local, context.domain);
  // What cannot be prepared cannot be an account's name, which is nothing to hide.
  if (local === undefined) throw new SaslError("not-authorized");
  return then(context.credentials.verify(local, password), (right) => {
    if (!right) throw new SaslError("not-authorized");
    return { success: { local } };
  });
}
