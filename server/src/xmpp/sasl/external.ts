import { then } from "../../util/maybe-promise.ts";
import { decodeText, SaslError, type SaslMechanism } from "./mechanism.ts";

/** RFC 4422 appendix A: the client is whom its TLS certificate says, and may name whom of them (XEP-0178). */
export const external: SaslMechanism = {
  name: "EXTERNAL",
  needs: "certificate",
  plaintext: false,
  start: ({ credentials }) => ({
    step(response) {
      const authzid = decodeText(response);
      // RFC 4422 A.1.
      if (authzid.includes("\0")) throw new SaslError("malformed-request", "NUL in an authorization identity");
      return then(credentials.certificate?.(authzid === "" ? undefined : authzid), (local) => {
        if (local === undefined) throw new SaslError("not-authorized");
        return { success: { local } };
      });
    },
  }),
};
