import type { Logger } from "../../observe/log.ts";
import { StorageError } from "../../storage/specs.ts";
import type { Outcome, StreamFeature } from "../../stream/feature.ts";
import { type MaybePromise, then } from "../../util/maybe-promise.ts";
import { type Element, element } from "../../xml/element.ts";
import { StanzaError, StreamError } from "../../xmpp/errors.ts";
import { Jid } from "../../xmpp/jid.ts";
import { NS } from "../../xmpp/namespaces.ts";
import type { FastToken, SaslContext, SaslMechanism } from "../../xmpp/sasl/mechanism.ts";
import type { SaslReply } from "../../xmpp/sasl/negotiation.ts";
import type { ClientNegotiation } from "../client-stream.ts";
import { contradicts, type Login, type Profile } from "../login.ts";
import { bind2, bind2Offer } from "./bind2.ts";

const PROFILE: Profile = { takesTokens: true };

/** A login under way. */
interface Attempt {
  /** `<authenticate/>`, with all that the client wants done once it is logged in. */
  readonly request: Element;
  readonly mechanism: SaslMechanism | undefined;
  readonly userAgent: string | undefined;
}

type Success = Extract<SaslReply, { success: unknown }>["success"];

/** XEP-0388: the login, and with it what would take further steps after it: XEP-0386, XEP-0198 and XEP-0484. */
export function sasl2(login: Login, log: Logger): StreamFeature<ClientNegotiation> {
  const attempts = new WeakMap<ClientNegotiation, Attempt>();

  function authenticate(request: Element, stream: ClientNegotiation): MaybePromise<SaslReply> {
    // XEP-0388 2.4: nothing but a response or an abort comes while a login is under way.
    if (attempts.has(stream)) throw new StreamError("policy-violation", "a login is under way");
    const userAgent = userAgentOf(request);
    if (userAgent === null) return refuse(stream, "malformed-request", "the user-agent's id is not a UUID v4");
    const fast = request.child("fast", NS.fast);
    const token = fast && tokenLogin(request, fast, userAgent);
    if (token === null) return refuse(stream, "malformed-request", "the count is not a positive integer");
    const mechanism = login.known(stream, PROFILE).find(({ name }) => name === request.attrs.mechanism);
    attempts.set(stream, { request, mechanism, userAgent });
    const response = request.child("initial-response", NS.sasl2);
    return login.begin(stream, PROFILE, {
      mechanism: request.attrs.mechanism ?? "",
      // Without an element there is no response; one that is empty is an empty response, which RFC 6120 writes "=".
      initial: response === undefined ? "" : textOf(response) || "=",
      ...(token === undefined ? {} : { login: token }),
    });
  }

  function refuse(stream: ClientNegotiation, condition: "malformed-request" | "aborted", text = "") {
    return login.refuse(stream, PROFILE, condition, text);
  }

  function answer(reply: SaslReply, stream: ClientNegotiation): MaybePromise<Outcome | undefined> {
    if ("challenge" in reply) {
      stream.send(element("challenge", NS.sasl2, {}, reply.challenge));
      return undefined;
    }
    const attempt = attempts.get(stream);
    attempts.delete(stream);
    if ("success" in reply && contradicts(stream, reply.success.local)) {
      return answer(login.refuse(stream, PROFILE, "invalid-authzid", "the stream's from is another account"), stream);
    }
    if ("failure" in reply) {
      login.count(stream, reply.failure);
      const text = reply.text === "" ? "" : element("text", NS.sasl2, {}, reply.text);
      stream.send(element("failure", NS.sasl2, {}, element(reply.failure, NS.sasl), text));
      login.refused(stream);
      return undefined;
    }
    login.succeeded(stream);
    return succeed(reply.success, attempt as Attempt, stream);
  }

  async function succeed(success: Success, attempt: Attempt, stream: ClientNegotiation): Promise<Outcome> {
    stream.account = new Jid(success.local, stream.host.domain);
    log.info("login.succeeded", {
      account: stream.account.bare,
      mechanism: stream.mechanism,
      address: stream.transport.address,
      client: attempt.userAgent,
      ...described(attempt.request),
    });
    const token = await tokenFor(success, attempt, stream);
    const { results, isResumed } = await begin(attempt, stream);
    const additional = success.data === "" ? "" : element("additional-data", NS.sasl2, {}, textAfter(success.data));
    const identifier = (stream.session?.jid ?? stream.account).full;
    stream.send(
      element(
        "success",
        NS.sasl2,
        {},
        additional,
        element("authorization-identifier", NS.sasl2, {}, identifier),
        ...results,
        token === undefined ? "" : tokenElement(token),
      ),
    );
    const gained = stream.session === undefined ? (["authenticated"] as const) : (["authenticated", "bound"] as const);
    // XEP-0198 9.2: nothing comes between the success and what the client has missed.
    return { gained, restart: false, features: !isResumed };
  }

  /** XEP-0386 3.2: resumption first, and binding only where there is none. That neither can be does not undo the login. */
  async function begin(
    { request, userAgent }: Attempt,
    stream: ClientNegotiation,
  ): Promise<{ readonly results: readonly Element[]; readonly isResumed: boolean }> {
    const results: Element[] = [];
    const resume = request.child("resume", NS.streamManagement);
    if (resume !== undefined) {
      const { answer, isResumed } = await stream.resume(resume);
      results.push(answer);
      if (isResumed) return { results, isResumed };
    }
    const bind = request.child("bind", NS.bind2);
    if (bind === undefined) return { results, isResumed: false };
    try {
      results.push(await bind2(bind, userAgent, stream, log));
    } catch (error) {
      // The client finds itself without a session, and learns why should it ask for one by RFC 6120 7.
      if (!(error instanceof StanzaError)) throw error;
      log.info("session.refused", { account: stream.account?.bare, condition: error.condition, text: error.text });
    }
    return { results, isResumed: false };
  }

  /** XEP-0484 3.3: a new token where the client asked for one and has shown its password, or needs one soon. */
  async function tokenFor(
    { renewed }: Success,
    { request, mechanism, userAgent }: Attempt,
    stream: ClientNegotiation,
  ): Promise<FastToken | undefined> {
    const wanted = request.child("request-token", NS.fast)?.attrs.mechanism;
    const accounts = login.accounts(stream);
    const { tokens } = accounts;
    const mayHave = mechanism !== undefined && accounts.givesTokens(mechanism);
    const isOffered = login.fastMechanisms(stream).some(({ name }) => name === wanted);
    if (wanted === undefined || userAgent === undefined || tokens === undefined || !mayHave || !isOffered)
      return renewed;
    try {
      return await tokens.issue(stream.account as Jid, userAgent, wanted);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.warn("token.not_issued", { account: stream.account?.bare, reason: error.message });
      return renewed;
    }
  }

  return {
    xmlns: NS.sasl2,
    // XEP-0388 5: never without TLS.
    needs: ["secure"],
    until: ["authenticated"],
    takes: ({ xmlns }) => xmlns === NS.sasl2,
    advertise(stream) {
      const mechanisms = names(login.mechanisms(stream), NS.sasl2);
      if (mechanisms.length === 0) return undefined;
      const fast = login.fastMechanisms(stream);
      const inline = [
        bind2Offer(stream.host),
        element("sm", NS.streamManagement),
        ...(fast.length === 0 ? [] : [element("fast", NS.fast, {}, ...names(fast, NS.fast))]),
      ];
      return element("authentication", NS.sasl2, {}, ...mechanisms, element("inline", NS.sasl2, {}, ...inline));
    },
    negotiate(request, stream) {
      const reply = ((): MaybePromise<SaslReply> => {
        switch (request.name) {
          case "authenticate":
            return authenticate(request, stream);
          case "response":
            return login.respond(stream, PROFILE, textOf(request));
          case "abort":
            return refuse(stream, "aborted");
          case "next":
          case "task-data":
            return refuse(stream, "malformed-request", "there are no tasks to do");
          default:
            throw new StreamError("unsupported-stanza-type");
        }
      })();
      return then(reply, (settled) => answer(settled, stream));
    },
  };
}

function names(mechanisms: readonly SaslMechanism[], xmlns: string): Element[] {
  return mechanisms.map(({ name }) => element("mechanism", xmlns, {}, name));
}

function tokenElement({ token, expires }: FastToken): Element {
  return element("token", NS.fast, { token, expiry: `${new Date(expires).toISOString().slice(0, 19)}Z` });
}

/** XEP-0388 2.2 wants no white space around the text, which its own examples have. */
function textOf(carrier: Element): string {
  return carrier.text().trim();
}

/** RFC 6120 writes data of no length as "="; here the element is empty. */
function textAfter(data: string): string {
  return data === "=" ? "" : data;
}

/** Characters that are logged of what a client says of itself. */
const MAX_DESCRIPTION = 64;

const UUID_V4 = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

/** In lower case; null for what is none. */
function userAgentOf(request: Element): string | undefined | null {
  const id = request.child("user-agent", NS.sasl2)?.attrs.id?.toLowerCase();
  return id === undefined || UUID_V4.test(id) ? id : null;
}

/** What the client calls itself, for the log alone (XEP-0388 2.3). */
function described(request: Element): Readonly<Record<string, string>> {
  const agent = request.child("user-agent", NS.sasl2);
  const texts = ["software", "device"].map((name) => [name, agent?.childText(name).slice(0, MAX_DESCRIPTION) ?? ""]);
  return Object.fromEntries(texts.filter(([, text]) => text !== ""));
}

/** Undefined where the client does not say who it is; null for a count that is none. */
function tokenLogin(request: Element, fast: Element, userAgent: string | undefined): SaslContext["login"] | null {
  const { count, invalidate } = fast.attrs;
  if (count !== undefined && !/^[1-9]\d{0,9}$/.test(count)) return null;
  if (userAgent === undefined) return undefined;
  return {
    userAgent,
    count: count === undefined ? undefined : Number(count),
    invalidate: invalidate === "true" || invalidate === "1",
    renewable: request.child("request-token", NS.fast) === undefined,
  };
}
