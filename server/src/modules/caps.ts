/** XEP-0115 and XEP-0390: what the server can do, in its stream features; and what each client of this node can do. */
import { z } from "zod";
import { duration, flag, size } from "../config/values.ts";
import { defineModule, type Envelope, type Session } from "../module/api.ts";
import { swallow, type Verdict } from "../module/hooks.ts";
import { randomId } from "../util/ids.ts";
import { Lru } from "../util/lru.ts";
import { type Element, element } from "../xml/element.ts";
import { featuresOf, hash, hashInput, isKnownHash, verificationString } from "../xmpp/caps.ts";
import type { Jid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { presenceType } from "../xmpp/stanza.ts";
import { disco } from "./disco.ts";

const config = z.strictObject({
  /** The URI that names the software in XEP-0115; what it is makes no difference. */
  node: z.string().min(1).max(200).default("urn:x-meerkat"),
  /** Answers, each behind a hash that many clients share, that are remembered. */
  max_known: z.int().min(2).max(1_000_000).default(1000),
  /** The largest answer of a client that is looked at. */
  max_answer: size("16KiB", { min: "1KiB", max: "1MiB" }),
  answer_within: duration("30s", { min: "1s", max: "10m" }),
  /** Whether clients whose presence says nothing are asked, each for itself. */
  ask_silent: flag(true),
});

type Features = ReadonlySet<string>;

export interface CapsApi {
  /** What the client of a session can do; undefined while this node does not know, and for sessions of other nodes. */
  features(session: Session | Jid): Features | undefined;
  supports(session: Session | Jid, feature: string): boolean;
  /** Told each time that a client's features become known. Clients are asked from the first call on, and not before. */
  whenKnown(run: (session: Session, features: Features) => void): void;
}

/** What a presence says about its client. */
interface Claim {
  /** The same for all clients that can do the same, or of one session alone. */
  readonly key: string;
  readonly shared: boolean;
  /** What the client is to be asked about; undefined for itself. */
  readonly node: string | undefined;
  /** Whether an answer is what was claimed; and may then be believed of others who claim the same. */
  holds(info: Element, lang: string): boolean;
}

/** One client is asked on behalf of all that claim the same; should its answer be no good, the next one is. */
interface Question {
  readonly claim: Claim;
  readonly id: string;
  readonly asked: Session;
  readonly others: Set<Session>;
  readonly giveUp: () => void;
}

/** In base64, of the longest known kind: 64 bytes. */
const LONGEST_HASH = 88;
const LONGEST_NODE = 1024;
/** What XEP-0300 wants of everyone. */
const OWN_HASHES = ["sha-256", "sha3-256"] as const;

export const caps = defineModule({
  name: "caps",
  implements: [
    { xep: 115, version: "1.6.0" },
    { xep: 390, version: "0.3.2" },
  ],
  config,
  requires: [disco],

  start({ config: limits, sessions, clock, log, filter, on, feature, streamFeature, use }): CapsApi {
    const info = use(disco);
    const known = new Lru<string, Features>(limits.max_known);
    const current = new WeakMap<Session, { readonly key: string; features: Features | undefined }>();
    const questions = new Map<string, Question>();
    const listeners: ((session: Session, features: Features) => void)[] = [];

    feature(NS.caps, "host");
    feature(NS.caps2, "host");
    const own = once(() => ownCaps(info.host(), limits.node));
    streamFeature(() => own().legacy);
    streamFeature(() => own().hashes);
    info.serve("host", { info: ({ node }) => (own().nodes.has(node) ? info.host().elements() : undefined) });

    // Before the presence module, which lets no broadcast pass.
    filter("userSend", "rewrite", (envelope) => {
      const { stanza, origin } = envelope;
      if (origin.kind !== "client" || listeners.length === 0) return;
      if (stanza.name === "iq") return answered(envelope, origin.session);
      if (stanza.name !== "presence" || stanza.attrs.to !== undefined) return;
      const type = presenceType(stanza);
      if (type === "available") claimed(origin.session, stanza);
      if (type === "unavailable") forget(origin.session);
    });

    on("sessionClosed", ({ session }) => forget(session));

    function claimed(session: Session, presence: Element): void {
      const claim = claimOf(presence, session);
      if (current.get(session)?.key === claim.key) return;
      forget(session);
      current.set(session, { key: claim.key, features: undefined });
      const features = known.get(claim.key);
      const question = questions.get(claim.key);
      if (features !== undefined) learn(session, features);
      else if (claim.node === undefined && !limits.ask_silent) return;
      else if (question === undefined) ask(claim, session, new Set());
      else question.others.add(session);
    }

    function ask(claim: Claim, asked: Session, others: Set<Session>): void {
      const id = `caps-${randomId(9)}`;
      const giveUp = clock.after(limits.answer_within, () => settle(claim.key, undefined));
      questions.set(claim.key, { claim, id, asked, others, giveUp });
      const query = element("query", NS.discoInfo, claim.node === undefined ? {} : { node: claim.node });
      asked.send(element("iq", NS.client, { type: "get", id, from: asked.jid.domain, to: asked.jid.full }, query));
    }

    function answered({ stanza, to }: Envelope, session: Session): Verdict {
      const { id = "", type } = stanza.attrs;
      if ((type !== "result" && type !== "error") || to.full !== session.jid.domain || !id.startsWith("caps-")) return;
      const key = current.get(session)?.key;
      const question = key === undefined ? undefined : questions.get(key);
      // Too late, or never asked: nobody else waits for it either.
      if (question?.asked !== session || question.id !== id) return swallow;
      settle(question.claim.key, type === "result" ? stanza : undefined);
      return swallow;
    }

    /** A question has its answer, or will get none. What is not as it was claimed is believed of its sender alone. */
    function settle(key: string, answer: Element | undefined): void {
      const question = questions.get(key);
      if (question === undefined) return;
      const { claim, asked, others, giveUp } = question;
      questions.delete(key);
      giveUp();
      const told = answer?.child("query", NS.discoInfo);
      if (answer !== undefined && told !== undefined && Buffer.byteLength(told.toXml()) <= limits.max_answer) {
        // Copies: what came may be a slice that keeps a chunk of the stream in memory.
        const features = new Set(featuresOf(told).map((text) => Buffer.from(text).toString()));
        learn(asked, features);
        if (claim.shared && claim.holds(told, answer.attrs["xml:lang"] ?? "")) {
          known.set(key, features);
          for (const other of others) learn(other, features);
          return;
        }
        log.debug("caps.not_as_claimed", { jid: asked.jid.full, key });
      }
      askNext(claim, others);
    }

    function askNext(claim: Claim, others: Set<Session>): void {
      const [next] = others;
      if (next === undefined) return;
      others.delete(next);
      ask(claim, next, others);
    }

    function learn(session: Session, features: Features): void {
      const state = current.get(session);
      if (state === undefined) return;
      state.features = features;
      for (const run of listeners) run(session, features);
    }

    function forget(session: Session): void {
      const key = current.get(session)?.key;
      current.delete(session);
      const question = key === undefined ? undefined : questions.get(key);
      if (question === undefined) return;
      question.others.delete(session);
      if (question.asked === session) settle(question.claim.key, undefined);
    }

    function features(of: Session | Jid): Features | undefined {
      const session = "jid" in of ? of : sessions.at(of);
      return session === undefined ? undefined : current.get(session)?.features;
    }

    return {
      features,
      supports: (session, wanted) => features(session)?.has(wanted) ?? false,
      whenKnown: (run) => void listeners.push(run),
    };
  },
});

/** XEP-0390 before XEP-0115, whose string can be forged in places. */
function claimOf(presence: Element, session: Session): Claim {
  for (const claimed of presence.child("c", NS.caps2)?.elements() ?? []) {
    const { algo = "" } = claimed.attrs;
    const value = claimed.text().trim();
    const isHash = claimed.name === "hash" && claimed.xmlns === NS.hashes && value.length <= LONGEST_HASH;
    if (!isHash || algo === "sha-1" || !isKnownHash(algo)) continue;
    const node = `${NS.caps2}#${algo}.${value}`;
    return {
      key: node,
      shared: true,
      node,
      holds(info, lang) {
        const input = hashInput(info, lang);
        return input !== undefined && hash(input, algo) === value;
      },
    };
  }

  const { node, ver, hash: algo } = presence.child("c", NS.caps)?.attrs ?? {};
  if (node === undefined || ver === undefined || node.length + ver.length > LONGEST_NODE) {
    return { key: session.id, shared: false, node: undefined, holds: () => false };
  }
  // XEP-0115 5.4: of a hash that is not known here, and of none (its old form), nothing is believed of others.
  const asked = `${node}#${ver}`;
  if (algo === undefined || !isKnownHash(algo)) {
    return { key: `${session.id} ${asked}`, shared: false, node: asked, holds: () => false };
  }
  return {
    key: `${algo} ${ver}`,
    shared: true,
    node: asked,
    holds(info) {
      const verification = verificationString(info);
      return verification?.ambiguous === false && hash(verification.text, algo) === ver;
    },
  };
}

function ownCaps(info: Element, node: string) {
  const ver = hash(verificationString(info)?.text ?? "", "sha-1");
  const input = hashInput(info) ?? "";
  const hashes = OWN_HASHES.map((algo) => ({ algo, value: hash(input, algo) }));
  return {
    legacy: element("c", NS.caps, { hash: "sha-1", node, ver }),
    hashes: element("c", NS.caps2, {}, ...hashes.map(({ algo, value }) => element("hash", NS.hashes, { algo }, value))),
    nodes: new Set([`${node}#${ver}`, ...hashes.map(({ algo, value }) => `${NS.caps2}#${algo}.${value}`)]),
  };
}

/** What is the same for as long as the modules run, made when it is first wanted: by then all of them have started. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
