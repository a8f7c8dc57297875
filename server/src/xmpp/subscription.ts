/**
 * Presence subscriptions: RFC 6121, Appendix A, as tables. A roster item has two halves: does the account see the contact
 * (`to`), and does the contact see the account (`from`). Each is "none", "pending" or "yes", and the nine pairs are the
 * nine states of A.1.
 */
import type { SubscriptionType } from "./stanza.ts";

export type Half = "none" | "pending" | "yes";

export interface SubscriptionState {
  readonly to: Half;
  readonly from: Half;
  /** The account said yes before it was asked (RFC 6121 3.4). */
  readonly approved: boolean;
}

export const NO_SUBSCRIPTION: SubscriptionState = { to: "none", from: "none", approved: false };

export interface Transition {
  readonly state: SubscriptionState;
  /** Whether the stanza goes on: to the contact's server when outbound, to the account's sessions when inbound. */
  readonly passes: boolean;
  /** What the server answers the contact in the account's name. */
  readonly reply: SubscriptionType | undefined;
}

/** RFC 6121 A.1, by the names it gives them: `to`, `from`. */
export const STATES = {
  None: ["none", "none"],
  "None + Pending Out": ["pending", "none"],
  "None + Pending In": ["none", "pending"],
  "None + Pending Out+In": ["pending", "pending"],
  To: ["yes", "none"],
  "To + Pending In": ["yes", "pending"],
  From: ["none", "yes"],
  "From + Pending Out": ["pending", "yes"],
  Both: ["yes", "yes"],
} as const satisfies Readonly<Record<string, readonly [to: Half, from: Half]>>;
export type StateName = keyof typeof STATES;

const NAMES = new Map((Object.keys(STATES) as StateName[]).map((name) => [STATES[name].join(), name]));

/** One cell: whether the stanza passes, the new state unless it stays, and what else comes of it. */
interface Cell {
  readonly passes: boolean;
  readonly becomes?: StateName;
  readonly reply?: SubscriptionType;
  /** Whether the contact is approved from now on (RFC 6121 3.4); unchanged when left out. */
  readonly approved?: boolean;
}
type Table = Readonly<Record<StateName, Cell>>;

const passes: Cell = { passes: true };
const stops: Cell = { passes: false };
const approves: Cell = { passes: false, approved: true };
const disapproves: Cell = { passes: false, approved: false };
const isApproved: Cell = { passes: false, reply: "subscribed" };
const to = (becomes: StateName): Cell => ({ passes: true, becomes });
const allowed = (becomes: StateName): Cell => ({ passes: true, becomes, approved: false });
const left = (becomes: StateName): Cell => ({ passes: true, becomes, reply: "unsubscribed" });
const letIn = (becomes: StateName): Cell => ({ passes: false, becomes, reply: "subscribed", approved: false });

/** RFC 6121 A.2: the account sends it. */
const OUTBOUND: Readonly<Record<SubscriptionType, Table>> = {
  subscribe: {
    None: to("None + Pending Out"),
    "None + Pending Out": passes,
    "None + Pending In": to("None + Pending Out+In"),
    "None + Pending Out+In": passes,
    To: passes,
    "To + Pending In": passes,
    From: to("From + Pending Out"),
    "From + Pending Out": passes,
    Both: passes,
  },
  unsubscribe: {
    None: passes,
    "None + Pending Out": to("None"),
    "None + Pending In": passes,
    "None + Pending Out+In": to("None + Pending In"),
    To: to("None"),
    "To + Pending In": to("None + Pending In"),
    From: passes,
    "From + Pending Out": to("From"),
    Both: to("From"),
  },
  subscribed: {
    None: approves,
    "None + Pending Out": approves,
    "None + Pending In": allowed("From"),
    "None + Pending Out+In": allowed("From + Pending Out"),
    To: approves,
    "To + Pending In": allowed("Both"),
    From: stops,
    "From + Pending Out": stops,
    Both: stops,
  },
  unsubscribed: {
    None: disapproves,
    "None + Pending Out": disapproves,
    "None + Pending In": allowed("None"),
    "None + Pending Out+In": allowed("None + Pending Out"),
    To: disapproves,
    "To + Pending In": allowed("To"),
    From: allowed("None"),
    "From + Pending Out": allowed("None + Pending Out"),
    Both: allowed("To"),
  },
};

/** RFC 6121 A.3: the contact sends it. */
const INBOUND: Readonly<Record<SubscriptionType, Table>> = {
  subscribe: {
    None: to("None + Pending In"),
    "None + Pending Out": to("None + Pending Out+In"),
    "None + Pending In": stops,
    "None + Pending Out+In": stops,
    To: to("To + Pending In"),
    "To + Pending In": stops,
    From: isApproved,
    "From + Pending Out": isApproved,
    Both: isApproved,
  },
  unsubscribe: {
    None: stops,
    "None + Pending Out": stops,
    "None + Pending In": left("None"),
    "None + Pending Out+In": left("None + Pending Out"),
    To: stops,
    "To + Pending In": left("To"),
    From: left("None"),
    "From + Pending Out": left("None + Pending Out"),
    Both: left("To"),
  },
  subscribed: {
    None: stops,
    "None + Pending Out": to("To"),
    "None + Pending In": stops,
    "None + Pending Out+In": to("To + Pending In"),
    To: stops,
    "To + Pending In": stops,
    From: stops,
    "From + Pending Out": to("Both"),
    Both: stops,
  },
  unsubscribed: {
    None: stops,
    "None + Pending Out": to("None"),
    "None + Pending In": stops,
    "None + Pending Out+In": to("None + Pending In"),
    To: to("None"),
    "To + Pending In": to("None + Pending In"),
    From: stops,
    "From + Pending Out": to("From"),
    Both: to("From"),
  },
};

/** RFC 6121 3.4.2 and A.3.1 [1]: what an inbound "subscribe" does where the account has said yes before. */
const PRE_APPROVED: Readonly<Partial<Record<StateName, Cell>>> = {
  None: letIn("From"),
  "None + Pending Out": letIn("From + Pending Out"),
  To: letIn("Both"),
};

/** RFC 6121 A.2: the account sends `type` to the contact. */
export function outbound(state: SubscriptionState, type: SubscriptionType): Transition {
  return follow(state, OUTBOUND[type][stateName(state)]);
}

/** RFC 6121 A.3: the contact sends `type` to the account. */
export function inbound(state: SubscriptionState, type: SubscriptionType): Transition {
  const name = stateName(state);
  const early = state.approved && type === "subscribe" ? PRE_APPROVED[name] : undefined;
  return follow(state, early ?? INBOUND[type][name]);
}

export function stateName(state: SubscriptionState): StateName {
  return NAMES.get(`${state.to},${state.from}`) as StateName;
}

/** RFC 6121 2.1.2.5. */
export function subscriptionName(state: SubscriptionState): "none" | "to" | "from" | "both" {
  if (state.to === "yes") return state.from === "yes" ? "both" : "to";
  return state.from === "yes" ? "from" : "none";
}

function follow(state: SubscriptionState, { passes, becomes, reply, approved = state.approved }: Cell): Transition {
  if (becomes === undefined) return { state: { to: state.to, from: state.from, approved }, passes, reply };
  const [to, from] = STATES[becomes];
  return { state: { to, from, approved }, passes, reply };
}
