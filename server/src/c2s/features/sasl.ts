import type { Outcome, StreamFeature } from "../../stream/feature.ts";
import { then } from "../../util/maybe-promise.ts";
import { element } from "../../xml/element.ts";
import { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { SaslReply } from "../../xmpp/sasl/negotiation.ts";
import type { ClientNegotiation } from "../client-stream.ts";
import { contradicts, type Login, type Profile } from "../login.ts";

const PROFILE: Profile = { takesTokens: false };

/** RFC 6120 6: the client proves which account it is. */
export function sasl(login: Login): StreamFeature<ClientNegotiation> {
  function answer(reply: SaslReply, stream: ClientNegotiation): Outcome | undefined {
    if ("challenge" in reply) {
      stream.send(element("challenge", NS.sasl, {}, reply.challenge));
      return undefined;
    }
    if ("success" in reply && contradicts(stream, reply.success.local)) {
      return answer(login.refuse(stream, PROFILE, "invalid-authzid", "the stream's from is another account"), stream);
    }
    if ("failure" in reply) {
      login.count(stream, reply.failure);
      const text = reply.text === "" ? "" : element("text", NS.sasl, { "xml:lang": "en" }, reply.text);
      stream.send(element("failure", NS.sasl, {}, element(reply.failure, NS.sasl), text));
      login.refused(stream);
      return undefined;
    }
    login.succeeded(stream);
    stream.account = new Jid(reply.success.local, stream.host.domain);
    stream.send(element("success", NS.sasl, {}, reply.success.data));
    return { gained: ["authenticated"], restart: true };
  }

  return {
    xmlns: NS.sasl,
    needs: login.withoutTls ? [] : ["secure"],
    until: ["authenticated"],
    takes: ({ name, xmlns }) => xmlns === NS.sasl && (name === "auth" || name === "response" || name === "abort"),
    advertise: (stream) =>
      element(
        "mechanisms",
        NS.sasl,
        {},
        ...login.mechanisms(stream).map(({ name }) => element("mechanism", NS.sasl, {}, name)),
      ),
    negotiate(request, stream) {
      const { name, attrs } = request;
      const text = request.text();
      if (name === "abort") return answer(login.refuse(stream, PROFILE, "aborted"), stream);
      const reply =
        name === "auth"
          ? login.begin(stream, PROFILE, { mechanism: attrs.mechanism ?? "", initial: text })
          : login.respond(stream, PROFILE, text);
      return then(reply, (settled) => answer(settled, stream));
    },
  };
}
