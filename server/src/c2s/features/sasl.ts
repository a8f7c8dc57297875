import type { Accounts } from "../../auth/accounts.ts";
import type { CounterFamily } from "../../observe/metrics.ts";
import type { Host } from "../../router/hosts.ts";
import type { Outcome, StreamFeature } from "../../stream/feature.ts";
import { then } from "../../util/maybe-promise.ts";
import { element } from "../../xml/element.ts";
import { StreamError } from "../../xmpp/errors.ts";
import { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { SaslMechanism } from "../../xmpp/sasl/mechanism.ts";
import { type SaslLimits, SaslNegotiation, type SaslReply } from "../../xmpp/sasl/negotiation.ts";
import type { ClientNegotiation } from "../client-stream.ts";

export interface SaslOptions {
  /** Whether anyone may log in on a stream that is not encrypted; PLAIN never may (RFC 6120 13.8.3). */
  readonly withoutTls: boolean;
  readonly limits: SaslLimits;
  readonly logins: CounterFamily;
  accountsOf(host: Host): Accounts;
}

/** RFC 6120 6: the client proves which account it is. */
export function sasl(options: SaslOptions): StreamFeature<ClientNegotiation> {
  function mechanisms(stream: ClientNegotiation): readonly SaslMechanism[] {
    const secure = stream.facts.has("secure");
    return options
      .accountsOf(stream.host)
      .mechanisms()
      .filter((mechanism) => secure || !mechanism.plaintext);
  }

  function negotiation(stream: ClientNegotiation): SaslNegotiation {
    stream.sasl ??= new SaslNegotiation(
      mechanisms(stream),
      options.accountsOf(stream.host).saslContext(stream.transport.address),
      options.limits,
    );
    return stream.sasl;
  }

  function answer(reply: SaslReply, mechanism: string, stream: ClientNegotiation): Outcome | undefined {
    if ("challenge" in reply) {
      stream.send(element("challenge", NS.sasl, {}, reply.challenge));
      return undefined;
    }
    if ("failure" in reply) {
      options.logins(mechanism, reply.failure).inc();
      const text = reply.text === "" ? "" : element("text", NS.sasl, { "xml:lang": "en" }, reply.text);
      stream.send(element("failure", NS.sasl, {}, element(reply.failure, NS.sasl), text));
      // RFC 6120 6.4.5.
      if (stream.sasl?.exhausted) throw new StreamError("policy-violation", "too many failed logins");
      return undefined;
    }
    options.logins(mechanism, "success").inc();
    stream.account = new Jid(reply.success.local, stream.host.domain);
    stream.send(element("success", NS.sasl, {}, reply.success.data));
    return { gained: ["authenticated"], restart: true };
  }

  return {
    xmlns: NS.sasl,
    needs: options.withoutTls ? [] : ["secure"],
    until: ["authenticated"],
    takes: ({ name, xmlns }) => xmlns === NS.sasl && (name === "auth" || name === "response" || name === "abort"),
    advertise: (stream) =>
      element(
        "mechanisms",
        NS.sasl,
        {},
        ...mechanisms(stream).map(({ name }) => element("mechanism", NS.sasl, {}, name)),
      ),
    negotiate(request, stream) {
      const current = negotiation(stream);
      if (request.name === "abort") return answer(current.abort(), "none", stream);
      const mechanism = request.name === "auth" ? (request.attrs.mechanism ?? "") : stream.mechanism;
      const known = mechanisms(stream).some(({ name }) => name === mechanism) ? mechanism : "unknown";
      stream.mechanism = known;
      const reply =
        request.name === "auth" ? current.begin(mechanism, request.text()) : current.respond(request.text());
      return then(reply, (settled) => answer(settled, known, stream));
    },
  };
}
