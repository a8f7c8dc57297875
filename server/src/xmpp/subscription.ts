import type { SubscriptionType } from "./stanza.ts";

/**
 * Presence subscriptions of RFC 6121, Appendix A. A roster item has two independent halves: does the account see the
 * contact (`to`), and does the contact see the account (`from`). Each is "none", "pending" or "yes", so the nine states
 * of A.1 are the nine pairs, and every table of A.2 and A.3 moves one half only.
 */
export type Half = "none" | "pending" | "yes";

export interface SubscriptionState {
  readonly to: Half;
  readonly from: Half;
  /** The account said yes before it was asked (RFC 6121 3.4). */
  readonly approved: boolean;
}

export const NO_SUBSCRIPTION: SubscriptionState = { to: "none", from: "none", approved: false };

/** What the server does with the stanza itself. */
export type Handling =
  /** It goes on: to the contact's server when outbound, to the account's sessions when inbound. */
  | "pass"
  /** It ends here. */
  | "stop"
  /** It ends here, and the server answers "subscribed" in the account's name (RFC 6121 3.1.3). */
  | "approve";

export interface Transition {
  readonly state: SubscriptionState;
  readonly handling: Handling;
}

/** RFC 6121 A.2: the account sends `type` to the contact. */
export function outbound(state: SubscriptionState, type: SubscriptionType): Transition {
  switch (type) {
    case "subscribe":
      return { state: { ...state, to: state.to === "none" ? "pending" : state.to }, handling: "pass" };
    case "unsubscribe":
      return { state: { ...state, to: "none" }, handling: "pass" };
    case "subscribed":
      if (state.from === "pending") return { state: { ...state, from: "yes", approved: false }, handling: "pass" };
      if (state.from === "none") return { state: { ...state, approved: true }, handling: "stop" };
      return { state, handling: "stop" };
    case "unsubscribed":
      if (state.from === "none") return { state: { ...state, approved: false }, handling: "stop" };
      return { state: { ...state, from: "none", approved: false }, handling: "pass" };
  }
}

/** RFC 6121 A.3: the contact sends `type` to the account. */
export function inbound(state: SubscriptionState, type: SubscriptionType): Transition {
  switch (type) {
    case "subscribe":
      if (state.from === "yes") return { state, handling: "approve" };
      if (state.approved) return { state: { ...state, from: "yes", approved: false }, handling: "approve" };
      if (state.from === "pending") return { state, handling: "stop" };
      return { state: { ...state, from: "pending" }, handling: "pass" };
    case "unsubscribe":
      if (state.from === "none") return { state, handling: "stop" };
      return { state: { ...state, from: "none" }, handling: "pass" };
    case "subscribed":
      if (state.to !== "pending") return { state, handling: "stop" };
      return { state: { ...state, to: "yes" }, handling: "pass" };
    case "unsubscribed":
      if (state.to === "none") return { state, handling: "stop" };
      return { state: { ...state, to: "none" }, handling: "pass" };
  }
}

/** RFC 6121 2.1.2.5. */
export function subscriptionName(state: SubscriptionState): "none" | "to" | "from" | "both" {
  if (state.to === "yes") return state.from === "yes" ? "both" : "to";
  return state.from === "yes" ? "from" : "none";
}
