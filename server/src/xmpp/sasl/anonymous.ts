import { then } from "../../util/maybe-promise.ts";
import { decodeText, SaslError, type SaslMechanism } from "./mechanism.ts";

/** RFC 4505 2: a trace of 255 characters, or an email address. */
const MAX_TRACE = 255;

/** RFC 4505: whoever comes is let in under a name of the server's making. What the client says of itself is not kept. */
export const anonymous: SaslMechanism = {
  name: "ANONYMOUS",
  needs: "anonymous",
  plaintext: false,
  wordless: true,
  start: ({ credentials }) => ({
    step(response) {
      if (Array.from(decodeText(response)).length > MAX_TRACE)
        throw new SaslError("malformed-request", "trace too long");
      return then(credentials.anonymous?.(), (local) => {
        if (local === undefined) throw new SaslError("temporary-auth-failure");
        return { success: { local } };
      });
    },
  }),
};
