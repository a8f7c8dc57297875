/**
 * RFC 6121, Appendix A, Tables 2 to 9, copied cell by cell: existing state, whether the stanza is routed (outbound) or
 * delivered (inbound), new state. Footnotes in brackets are the RFC's.
 */
import type { SubscriptionType } from "../../src/xmpp/stanza.ts";

/** A.1, with the attributes by which each is shown in the roster (2.1.2). */
export const SHOWN = {
  None: "subscription='none'",
  "None + Pending Out": "subscription='none' ask='subscribe'",
  "None + Pending In": "subscription='none'",
  "None + Pending Out+In": "subscription='none' ask='subscribe'",
  To: "subscription='to'",
  "To + Pending In": "subscription='to'",
  From: "subscription='from'",
  "From + Pending Out": "subscription='from' ask='subscribe'",
  Both: "subscription='both'",
} as const;
export type Name = keyof typeof SHOWN;
export const NAMES = Object.keys(SHOWN) as Name[];

export interface Row {
  readonly existing: Name;
  readonly passes: boolean;
  /** Undefined where the table says "pre-approval". */
  readonly becomes: Name | undefined;
  readonly footnote: string;
}

export const OUTBOUND: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  /** Table 2. */
  subscribe: table(`
    None                  | MUST [1] | None + Pending Out
    None + Pending Out    | MUST     | no state change
    None + Pending In     | MUST [1] | None + Pending Out+In
    None + Pending Out+In | MUST     | no state change
    To                    | MUST     | no state change
    To + Pending In       | MUST     | no state change
    From                  | MUST [1] | From + Pending Out
    From + Pending Out    | MUST     | no state change
    Both                  | MUST     | no state change`),
  /** Table 3. */
  unsubscribe: table(`
    None                  | MUST     | no state change
    None + Pending Out    | MUST     | None
    None + Pending In     | MUST     | no state change
    None + Pending Out+In | MUST     | None + Pending In
    To                    | MUST     | None
    To + Pending In       | MUST     | None + Pending In
    From                  | MUST     | no state change
    From + Pending Out    | MUST     | From
    Both                  | MUST     | From`),
  /** Table 4. */
  subscribed: table(`
    None                  | M.N.     | pre-approval [1]
    None + Pending Out    | M.N.     | pre-approval [1]
    None + Pending In     | MUST     | From
    None + Pending Out+In | MUST     | From + Pending Out
    To                    | M.N.     | pre-approval [1]
    To + Pending In       | MUST     | Both
    From                  | M.N.     | no state change
    From + Pending Out    | M.N.     | no state change
    Both                  | M.N.     | no state change`),
  /** Table 5. */
  unsubscribed: table(`
    None                  | S.N.     | no state change [1]
    None + Pending Out    | S.N.     | no state change [1]
    None + Pending In     | MUST     | None
    None + Pending Out+In | MUST     | None + Pending Out
    To                    | S.N.     | no state change [1]
    To + Pending In       | MUST     | To
    From                  | MUST     | None
    From + Pending Out    | MUST     | None + Pending Out
    Both                  | MUST     | To`),
};

export const INBOUND: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  /** Table 6. */
  subscribe: table(`
    None                  | MUST [1] | None + Pending In
    None + Pending Out    | MUST     | None + Pending Out+In
    None + Pending In     | S.N.     | no state change
    None + Pending Out+In | S.N.     | no state change
    To                    | MUST     | To + Pending In
    To + Pending In       | S.N.     | no state change
    From                  | S.N. [2] | no state change
    From + Pending Out    | S.N. [2] | no state change
    Both                  | S.N. [2] | no state change`),
  /** Table 7. */
  unsubscribe: table(`
    None                  | S.N.     | no state change
    None + Pending Out    | S.N.     | no state change
    None + Pending In     | MUST [1] | None
    None + Pending Out+In | MUST [1] | None + Pending Out
    To                    | S.N.     | no state change
    To + Pending In       | MUST [1] | To
    From                  | MUST [1] | None
    From + Pending Out    | MUST [1] | None + Pending Out
    Both                  | MUST [1] | To`),
  /** Table 8. */
  subscribed: table(`
    None                  | S.N.     | no state change
    None + Pending Out    | MUST     | To
    None + Pending In     | S.N.     | no state change
    None + Pending Out+In | MUST     | To + Pending In
    To                    | S.N.     | no state change
    To + Pending In       | S.N.     | no state change
    From                  | S.N.     | no state change
    From + Pending Out    | MUST     | Both
    Both                  | S.N.     | no state change`),
  /** Table 9. */
  unsubscribed: table(`
    None                  | S.N.     | no state change
    None + Pending Out    | MUST     | None
    None + Pending In     | S.N.     | no state change
    None + Pending Out+In | MUST     | None + Pending In
    To                    | MUST     | None
    To + Pending In       | MUST     | None + Pending In
    From                  | S.N.     | no state change
    From + Pending Out    | MUST     | From
    Both                  | MUST     | From`),
};

function table(text: string): Row[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [existing, must = "", becomes = ""] = line.split("|").map((cell) => cell.trim()) as [Name, string, string];
      const footnote = /\[(\d)\]/.exec(must + becomes)?.[1] ?? "";
      const state = becomes.replace(/ \[\d\]/, "");
      return {
        existing,
        passes: must.startsWith("MUST"),
        becomes: state === "no state change" ? existing : state === "pre-approval" ? undefined : (state as Name),
        footnote,
      };
    });
}
