/**
 * What a module is, and all that it is given. A module's file reads top to bottom as: what it is called, what it may
 * be told, what it stores, what it leans on, and what it does once started.
 */
import type { ZodType } from "zod";
import type { SessionEntry } from "../cluster/cluster.ts";
import type { Logger } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { StoreSpecs, Stores } from "../storage/specs.ts";
import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";
import type { StreamCondition } from "../xmpp/errors.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { Stage, Verdict } from "./hooks.ts";

/** One stanza on its way, made once where it enters and passed by reference from there on. */
export interface Envelope {
  readonly from: Jid;
  /** Where it goes; a client's stanza without an address goes to its own bare JID (RFC 6120 10.3). */
  readonly to: Jid;
  readonly origin: Origin;
  /** The stanza as it stands now; only the "rewrite" stage may set it. */
  stanza: Element;
}

export type Origin =
  | { readonly kind: "client"; readonly session: Session }
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "server" };

/** A bound resource on this node. */
export interface Session {
  readonly jid: Jid;
  readonly id: string;
  /** Undefined unless the session is available (RFC 6121 4.2). */
  readonly priority: number | undefined;
  /** The last available presence it broadcast, stamped with its full JID. */
  readonly presence: Element | undefined;
  readonly available: boolean;
  /** Whether what its client sends now is encrypted. */
  readonly secure: boolean;
  readonly marks: ReadonlySet<string>;
  /** Tells the cluster of a new presence and priority, or with undefined that the session is no longer available. */
  announce(presence: Element | undefined, priority: number | undefined): MaybePromise<void>;
  /** Notes for all nodes that this session asked for something, such as "roster" for roster pushes. */
  mark(name: string): MaybePromise<void>;
  /** Hands a stanza to the client, past the `userReceive` filters. */
  send(stanza: Element): void;
  close(condition?: StreamCondition, text?: string): void;
}

/** Points where a stanza can be refused, changed or noted. Modules may add their own by declaration merging. */
export interface Filters {
  /** A local client sent it; `from` is stamped, nothing has been routed. */
  userSend: Envelope;
  /** A local account or host is about to get it, wherever it came from; fired once, on the node that routes it. */
  localDelivery: Envelope;
  /** One client's stream is about to carry it; fired on the node that holds the session. */
  userReceive: { readonly envelope: Envelope; readonly session: Session };
  /** A message found no resource to take it. Unclaimed, it bounces. */
  offlineMessage: Envelope;
}

/** Things that happened. Every listener hears of them; none can undo them. */
export interface Notices {
  sessionOpened: { readonly session: Session };
  /** The session is gone from this node; `lastPresence` is set when it was still available. */
  sessionClosed: { readonly session: Session; readonly lastPresence: Element | undefined };
  /** Its connection broke, and it waits for its client to come back (XEP-0198). */
  sessionDetached: { readonly session: Session };
  /** Its client is back. */
  sessionResumed: { readonly session: Session };
  /** A dead node left this session behind; one living node hears of it, once. */
  sessionLost: { readonly jid: Jid; readonly available: boolean };
  accountRemoved: { readonly account: Jid };
}

/** Lists that modules add to when someone asks. */
export interface Collections {
  discoItems: { readonly add: (item: Element) => void; readonly to: Jid; readonly from: Jid };
}

export interface IqRequest {
  readonly from: Jid;
  readonly to: Jid;
  readonly id: string;
  readonly payload: Element;
  readonly origin: Origin;
}
/** Returns the result's payload, or nothing for an empty result; throws a StanzaError to refuse. */
export type IqAnswer = (iq: IqRequest) => MaybePromise<Element | undefined>;
export interface IqMethods {
  readonly get?: IqAnswer;
  readonly set?: IqAnswer;
}
export type Addressee = "host" | "account";
/** Answers by addressee. An addressee left out answers service-unavailable; a method left out, not-allowed. */
export interface IqHandler {
  readonly host?: IqMethods;
  readonly account?: IqMethods;
}

/** A client that has not logged in. */
export interface Visitor {
  readonly address: string;
  /** Whether what it sends is encrypted. */
  readonly secure: boolean;
  /** The domain that its stream is for. */
  readonly domain: string;
}

/** Makes accounts for clients that have not logged in (XEP-0077). */
export interface Registrar {
  /** Whether the client is shown that it can register, and heard when it tries. */
  serves(visitor: Visitor): boolean;
  /** Answers a query; as IqAnswer does. */
  answer(type: "get" | "set", query: Element, visitor: Visitor): MaybePromise<Element | undefined>;
}

/** Does what a client asked for as it bound its session; may return the answer that its specification wants. */
export type BindFeature = (session: Session, request: Element) => MaybePromise<Element | undefined>;

/** Time, so that tests can own it. */
export interface Clock {
  /** Seconds since 1970, whole. */
  seconds(): number;
  /** Milliseconds since 1970, whole. */
  milliseconds(): number;
  /** Runs once after so many milliseconds; the returned function calls it off. Never keeps the process alive. */
  after(milliseconds: number, run: () => void): () => void;
}

export interface SessionTable {
  /** Sessions of an account on this node. */
  of(account: Jid): readonly Session[];
  /** The session of a full JID on this node. */
  at(jid: Jid): Session | undefined;
  /** Sessions of an account on every node. */
  locate(account: Jid): MaybePromise<readonly SessionEntry[]>;
  /** `locate` for many accounts together, by bare JID. */
  locateEach(accounts: readonly Jid[]): MaybePromise<ReadonlyMap<string, readonly SessionEntry[]>>;
  /** Whether any node holds an available session. Answers at once when this node does. */
  online(account: Jid): MaybePromise<boolean>;
  /** Ends a session on whatever node it is; settles when its node has been told. */
  end(entry: SessionEntry, condition: StreamCondition, text?: string): MaybePromise<void>;
  /** Sessions on all nodes, kept as a counter. */
  total(): MaybePromise<number>;
}

export interface Router {
  /**
   * Sends a stanza on its way as if it had just come in; a refusal is bounced to its sender. Settles once the stanza
   * is with the session's node, the archive, or nobody; never rejects.
   */
  route(envelope: Envelope): MaybePromise<void>;
  /**
   * Sends a stanza that a session took but could not pass on to the one that has its address now, or else to where it
   * would have gone without that session; `at` is when it was taken, milliseconds since 1970 (XEP-0198 4). Never rejects.
   */
  reroute(envelope: Envelope, session: Jid, at: number): MaybePromise<void>;
  /**
   * Sends a presence to many bare JIDs, each as by `route`, but other nodes hear of it once each, however many they are.
   * Never rejects.
   */
  fanOut(presence: Element, from: Jid, to: readonly Jid[]): MaybePromise<void>;
}

/** Who has an account on this host type's domains. */
export interface AccountDirectory {
  exists(account: Jid): MaybePromise<boolean>;
  /** Refuses with a StanzaError a name or a password that is no good, and where accounts are kept elsewhere. */
  create(account: Jid, password: string): Promise<"created" | "exists">;
  /** Refuses as `create` does. */
  setPassword(account: Jid, password: string): Promise<"changed" | "missing">;
  /**
   * Removes an account and all that is kept under its name, and ends its sessions on all nodes with not-authorized
   * (XEP-0077 3.2); `gone` runs when it is gone, and its sessions are still there to hear of it.
   */
  remove(account: Jid, gone?: () => void): Promise<void>;
  /** How many accounts a domain has, as far as its stores can count. */
  count(domain: string): Promise<number>;
  /** Local parts in order, those after `after` first, at most `limit`. */
  list(domain: string, after: string, limit: number): Promise<readonly string[]>;
  /** Whether the domain is of this host type. */
  serves(domain: string): boolean;
}

/** What a started module works with. All that is registered through it is undone when the module stops. */
export interface ModuleContext<Config, Specs extends StoreSpecs> {
  readonly hostType: string;
  readonly config: Config;
  readonly stores: Stores<Specs>;
  readonly sessions: SessionTable;
  readonly accounts: AccountDirectory;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;

  filter<P extends keyof Filters>(point: P, stage: Stage, run: (event: Filters[P]) => MaybePromise<Verdict>): void;
  on<P extends keyof Notices>(point: P, run: (notice: Notices[P]) => MaybePromise<void>): void;
  collect<P extends keyof Collections>(point: P, run: (list: Collections[P]) => MaybePromise<void>): void;
  /** Asks every module that collects at this point. */
  gather<P extends keyof Collections>(point: P, list: Collections[P]): MaybePromise<void>;
  /** Answers iqs whose payload is `name` in `xmlns`; the host advertises the namespace, and the accounts if they answer. */
  iq(xmlns: string, name: string, handler: IqHandler): void;
  /** Advertises a feature that has no iq of its own, for hosts and accounts alike unless one is named. */
  feature(variable: string, of?: Addressee): void;
  /** A stream feature that needs no negotiation, shown to authenticated clients (RFC 6121 2.6.1, 3.4). */
  streamFeature(advertise: () => Element): void;
  /** Something that a client may ask for while it binds its resource (XEP-0386), by an element in this namespace. */
  bindFeature(xmlns: string, apply: BindFeature): void;
  /** Who makes accounts for clients that have not logged in; one module may be that. */
  registrar(registrar: Registrar): void;
  /** Every feature that the modules of this host type advertise for its hosts, or their accounts; sorted. */
  features(of: Addressee): readonly string[];
  /** Another module's API; it must be named in `requires`. */
  use<Api>(module: Provider<Api>): Api;
  /** Runs when the module stops, last registered first. */
  onStop(run: () => MaybePromise<void>): void;
}

/** As much of a module as others need to lean on it. */
export interface Provider<Api> {
  readonly name: string;
  start(context: never): MaybePromise<Api>;
}

export interface Module<Config, Specs extends StoreSpecs, Api> extends Provider<Api> {
  /** Specifications and the version each was written against, as the documentation reports them. */
  readonly implements: readonly Specification[];
  readonly config?: ZodType<Config>;
  readonly stores?: Specs;
  /** Where the configuration names no modules, it runs only if there is a store that has its tables. */
  readonly optional?: boolean;
  /** Settings that hold for whole tables, whoever owns what is in them: host types that share a store must agree on them. */
  readonly alike?: readonly string[];
  /** Started first, stopped last. */
  readonly requires?: readonly Provider<unknown>[];
  start(context: ModuleContext<Config, Specs>): MaybePromise<Api>;
}

export type Specification = { readonly xep: number; readonly version: string } | { readonly rfc: number };

/** Any module, for lists of them. */
// biome-ignore lint/suspicious/noExplicitAny: a list of modules holds every config, store and API type there is
export type AnyModule = Module<any, any, any>;

/** Gives a definition its types; it does nothing else. */
export function defineModule<Config, const Specs extends StoreSpecs, Api>(
  module: Module<Config, Specs, Api>,
): Module<Config, Specs, Api> {
  return module;
}
