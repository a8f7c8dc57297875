/** XEP-0199: whether the server is there; and, if it is to find out, whether its clients are. */
import { z } from "zod";
import { duration } from "../config/values.ts";
import { defineModule, type Session } from "../module/api.ts";
import { swallow } from "../module/hooks.ts";
import { randomId } from "../util/ids.ts";
import { element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { NS } from "../xmpp/namespaces.ts";

const config = z.strictObject({
  /** A client that has sent no stanza for so long is pinged; 0 pings none. */
  ping_after: duration("0s", { min: "0s", max: "24h" }).refine((ms) => ms === 0 || ms >= 1000, {
    error: 'must be "0s", or "1s" at least',
  }),
  /** One that then sends nothing is cut off. */
  answer_within: duration("30s", { min: "1s", max: "10m" }),
});

/** What is known of a client's life, milliseconds. */
interface Pulse {
  silentFor: number;
  /** Of the ping that is out. */
  ping: string | undefined;
}

/** How often all clients are looked at, as a part of the shorter of the two times. */
const LOOKS = 4;

export const ping = defineModule({
  name: "ping",
  implements: [{ xep: 199, version: "2.0.1" }],
  config,

  start({ config: { ping_after: pingAfter, answer_within: answerWithin }, clock, log, filter, on, iq, onStop }) {
    iq(NS.ping, "ping", {
      host: { get: () => undefined },
      account: {
        // RFC 6121 8.5.1: an account that does not exist answers service-unavailable, and strangers see no difference.
        get({ from, to }) {
          if (from.bare !== to.bare) throw new StanzaError("service-unavailable");
          return undefined;
        },
      },
    });
    if (pingAfter === 0) return;

    /** Of the sessions of this node whose client is connected: one that waits to be resumed has none to ask. */
    const pulses = new Map<Session, Pulse>();
    on("sessionOpened", ({ session }) => begin(session));
    on("sessionResumed", ({ session }) => begin(session));
    on("sessionDetached", ({ session }) => void pulses.delete(session));
    on("sessionClosed", ({ session }) => void pulses.delete(session));

    // Any stanza is a sign of life, also an error in answer to a ping that the client does not understand.
    filter("userSend", "guard", ({ stanza, origin, to }) => {
      if (origin.kind !== "client") return;
      const pulse = pulses.get(origin.session);
      if (pulse === undefined) return;
      const { ping: asked } = pulse;
      pulse.silentFor = 0;
      pulse.ping = undefined;
      const { type, id } = stanza.attrs;
      const isAnswer = stanza.name === "iq" && (type === "result" || type === "error");
      if (isAnswer && asked !== undefined && id === asked && to.full === origin.session.jid.domain) return swallow;
    });

    const every = Math.min(pingAfter, answerWithin) / LOOKS;
    let callOff = clock.after(every, look);
    onStop(() => callOff());

    function look(): void {
      for (const [session, pulse] of pulses) {
        pulse.silentFor += every;
        if (pulse.silentFor < pingAfter) continue;
        if (pulse.ping === undefined) ask(session, pulse);
        else if (pulse.silentFor >= pingAfter + answerWithin) cut(session);
      }
      callOff = clock.after(every, look);
    }

    function begin(session: Session): void {
      pulses.set(session, { silentFor: 0, ping: undefined });
    }

    function ask(session: Session, pulse: Pulse): void {
      const { jid } = session;
      pulse.ping = `ping-${randomId(9)}`;
      pulse.silentFor = pingAfter;
      const attrs = { type: "get", id: pulse.ping, from: jid.domain, to: jid.full };
      session.send(element("iq", NS.client, attrs, element("ping", NS.ping)));
    }

    function cut(session: Session): void {
      pulses.delete(session);
      log.info("client.silent", { jid: session.jid.full });
      session.close("connection-timeout", "no answer to a ping");
    }
  },
});
