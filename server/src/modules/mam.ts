/** XEP-0313: every account's archive of what it was sent and has sent, and how its clients read it. */
import { z } from "zod";
import { count, duration, size } from "../config/values.ts";
import { defineModule, type Envelope } from "../module/api.ts";
import { swallow } from "../module/hooks.ts";
import { archiveIds } from "../storage/archive-id.ts";
import { archive, StorageError } from "../storage/specs.ts";
import { type MaybePromise, then } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { idIn, isKept, stamped } from "./mam/kept.ts";
import { answerMetadata, answerQuery, queryForm } from "./mam/queries.ts";
import { Retention } from "./mam/retention.ts";

const config = z.strictObject({
  /** How long messages are kept; 0s for ever. */
  keep_for: duration("0s", { max: "3650d" }),
  /** Messages of one account that are kept, the newest; 0 for any number. */
  keep_count: count(0, 0, 100_000_000),
  /** How often what is too much or too old is removed. */
  sweep_every: duration("1h", { min: "1m", max: "24h" }),
  /** Messages of a page that does not say how many. */
  page: count(50, 1, 1000),
  /** Messages of the largest page. */
  max_page: count(250, 1, 1000),
  /** Bytes of messages beyond which a page takes no more; one is always taken. */
  page_size: size("1MiB", { min: "64KiB", max: "64MiB" }),
});

/** Messages as their XML. */
const text = { encode: (xml: string) => xml, decode: (stored: string) => stored };

export const mam = defineModule({
  name: "mam",
  implements: [
    { xep: 313, version: "1.1.3" },
    { xep: 59, version: "1.0" },
    { xep: 359, version: "0.7.0" },
    { xep: 334, version: "0.4.0" },
  ],
  config,
  stores: { messages: archive<string>("mam", text) },
  alike: ["keep_for"],

  start({
    config: settings,
    stores: { messages },
    accounts,
    sessions,
    clock,
    log,
    metrics,
    filter,
    on,
    iq,
    feature,
    onStop,
  }) {
    const ids = archiveIds();
    const nextId = () => ids(clock.milliseconds());
    const kept = metrics.counter("xmpp_archived_messages_total", "Messages written to archives.");
    const retention = new Retention(messages, settings, clock, log);

    async function record(owner: Jid, id: string, party: Jid, message: Element): Promise<undefined> {
      try {
        await messages.append(owner, { id, with: party, value: message.toXml() });
      } catch (error) {
        if (error instanceof StorageError) throw error;
        // Whatever it was: a message that is not kept must not go on as if it were.
        log.error("archive.not_written", { account: owner.bare, error });
        throw new StanzaError("internal-server-error");
      }
      kept.inc();
      retention.noteAppended(owner);
    }

    const isHere = (account: Jid): MaybePromise<boolean> => {
      if (sessions.of(account).length > 0) return true;
      const answer = accounts.exists(account);
      return answer instanceof Promise ? answer.catch(postpone) : answer;
    };

    // The stanza goes on, and counts as handled (XEP-0198), only when it is committed in both archives, which are written
    // at the same time where both are here.
    const underWay = new WeakMap<Envelope, Promise<undefined>>();
    filter("userSend", "record", (envelope) => {
      const { stanza, from, to } = envelope;
      // A message to oneself is in the one archive once.
      if (stanza.name !== "message" || to.bare === from.bare || !isKept(stanza)) return;
      const own = record(from.toBare(), nextId(), to, stanza.with({ to: to.full }));
      if (!accounts.serves(to.domain)) return own;
      underWay.set(envelope, own);
      // Nobody hears of it from here if the message is refused on its way.
      own.catch(() => {});
    });

    filter("localDelivery", "rewrite", (envelope) => {
      const { stanza, to } = envelope;
      if (stanza.name !== "message" || to.local === "") return;
      if (!isKept(stanza)) return stamp(envelope, undefined);
      return then(isHere(to), (isThere) => stamp(envelope, isThere ? nextId() : undefined));
    });
    filter("localDelivery", "record", (envelope) => {
      const { stanza, from, to } = envelope;
      if (stanza.name !== "message") return;
      const id = idIn(stanza, to.bare);
      const own = underWay.get(envelope);
      const theirs = id === undefined ? undefined : record(to.toBare(), id, from, stanza);
      return own && theirs ? Promise.all([own, theirs]).then(() => undefined) : (own ?? theirs);
    });
    // Whoever reads the archive finds it there.
    filter("offlineMessage", "copy", ({ stanza, to }) => (idIn(stanza, to.bare) === undefined ? undefined : swallow));

    on("accountRemoved", ({ account }) => messages.purge(account));
    onStop(() => retention.stop());

    const pages = { default: settings.page, largest: settings.max_page, bytes: settings.page_size };
    iq(NS.mam, "query", { account: { get: queryForm, set: (request) => answerQuery(messages, request, pages) } });
    iq(NS.mam, "metadata", { account: { get: (request) => answerMetadata(messages, request) } });
    feature(`${NS.mam}#extended`, "account");
    feature(NS.stanzaId, "account");
  },
});

/** Without the answer a message can be neither kept nor sent back. */
function postpone(error: unknown): never {
  if (!(error instanceof StorageError)) throw error;
  throw new StanzaError("resource-constraint", "a part of the service cannot be reached, try again later");
}

function stamp(envelope: Envelope, id: string | undefined): undefined {
  envelope.stanza = stamped(envelope.stanza, envelope.to.bare, id);
}
