/** RFC 6121, Appendix A, written out: nine states, eight stanzas. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubscriptionType } from "../../src/xmpp/stanza.ts";
import { inbound, outbound, type SubscriptionState, subscriptionName } from "../../src/xmpp/subscription.ts";

/** A.1, with the 'subscription' attribute that each is shown as (2.1.2.5). */
const STATES = {
  None: { to: "none", from: "none", shown: "none" },
  "None + Pending Out": { to: "pending", from: "none", shown: "none" },
  "None + Pending In": { to: "none", from: "pending", shown: "none" },
  "None + Pending Out+In": { to: "pending", from: "pending", shown: "none" },
  To: { to: "yes", from: "none", shown: "to" },
  "To + Pending In": { to: "yes", from: "pending", shown: "to" },
  From: { to: "none", from: "yes", shown: "from" },
  "From + Pending Out": { to: "pending", from: "yes", shown: "from" },
  Both: { to: "yes", from: "yes", shown: "both" },
} as const;
type Name = keyof typeof STATES;
const NAMES = Object.keys(STATES) as Name[];

/** A.2: existing state, whether the stanza is routed to the contact, new state ("-": no change). */
const OUTBOUND: Record<SubscriptionType, string> = {
  subscribe: `
    None                  | MUST     | None + Pending Out
    None + Pending Out    | MUST     | -
    None + Pending In     | MUST     | None + Pending Out+In
    None + Pending Out+In | MUST     | -
    To                    | MUST     | -
    To + Pending In       | MUST     | -
    From                  | MUST     | From + Pending Out
    From + Pending Out    | MUST     | -
    Both                  | MUST     | -`,
  unsubscribe: `
    None                  | MUST     | -
    None + Pending Out    | MUST     | None
    None + Pending In     | MUST     | -
    None + Pending Out+In | MUST     | None + Pending In
    To                    | MUST     | None
    To + Pending In       | MUST     | None + Pending In
    From                  | MUST     | -
    From + Pending Out    | MUST     | From
    Both                  | MUST     | From`,
  subscribed: `
    None                  | MUST NOT | -
    None + Pending Out    | MUST NOT | -
    None + Pending In     | MUST     | From
    None + Pending Out+In | MUST     | From + Pending Out
    To                    | MUST NOT | -
    To + Pending In       | MUST     | Both
    From                  | MUST NOT | -
    From + Pending Out    | MUST NOT | -
    Both                  | MUST NOT | -`,
  unsubscribed: `
    None                  | MUST NOT | -
    None + Pending Out    | MUST NOT | -
    None + Pending In     | MUST     | None
    None + Pending Out+In | MUST     | None + Pending Out
    To                    | MUST NOT | -
    To + Pending In       | MUST     | To
    From                  | MUST     | None
    From + Pending Out    | MUST     | None + Pending Out
    Both                  | MUST     | To`,
};

/** A.3: existing state, whether the stanza is delivered to the account's sessions, new state. */
const INBOUND: Record<SubscriptionType, string> = {
  subscribe: `
    None                  | MUST     | None + Pending In
    None + Pending Out    | MUST     | None + Pending Out+In
    None + Pending In     | MUST NOT | -
    None + Pending Out+In | MUST NOT | -
    To                    | MUST     | To + Pending In
    To + Pending In       | MUST NOT | -
    From                  | MUST NOT | -
    From + Pending Out    | MUST NOT | -
    Both                  | MUST NOT | -`,
  unsubscribe: `
    None                  | MUST NOT | -
    None + Pending Out    | MUST NOT | -
    None + Pending In     | MUST     | None
    None + Pending Out+In | MUST     | None + Pending Out
    To                    | MUST NOT | -
    To + Pending In       | MUST     | To
    From                  | MUST     | None
    From + Pending Out    | MUST     | None + Pending Out
    Both                  | MUST     | To`,
  subscribed: `
    None                  | MUST NOT | -
    None + Pending Out    | MUST     | To
    None + Pending In     | MUST NOT | -
    None + Pending Out+In | MUST     | To + Pending In
    To                    | MUST NOT | -
    To + Pending In       | MUST NOT | -
    From                  | MUST NOT | -
    From + Pending Out    | MUST     | Both
    Both                  | MUST NOT | -`,
  unsubscribed: `
    None                  | MUST NOT | -
    None + Pending Out    | MUST     | None
    None + Pending In     | MUST NOT | -
    None + Pending Out+In | MUST     | None + Pending In
    To                    | MUST     | None
    To + Pending In       | MUST     | None + Pending In
    From                  | MUST NOT | -
    From + Pending Out    | MUST     | From
    Both                  | MUST     | From`,
};

function rows(table: string): { existing: Name; passes: boolean; becomes: Name }[] {
  return table
    .trim()
    .split("\n")
    .map((line) => {
      const [existing, must, becomes] = line.split("|").map((cell) => cell.trim()) as [Name, string, Name | "-"];
      return { existing, passes: must === "MUST", becomes: becomes === "-" ? existing : becomes };
    });
}

function state(name: Name, approved = false): SubscriptionState {
  const { to, from } = STATES[name];
  return { to, from, approved };
}

function nameOf({ to, from }: SubscriptionState): Name | undefined {
  return NAMES.find((name) => STATES[name].to === to && STATES[name].from === from);
}

for (const [direction, tables, step] of [
  ["outbound", OUTBOUND, outbound],
  ["inbound", INBOUND, inbound],
] as const) {
  for (const [type, table] of Object.entries(tables) as [SubscriptionType, string][]) {
    test(`${direction} "${type}" from each of the nine states`, () => {
      const written = rows(table);
      assert.deepEqual(
        written.map(({ existing }) => existing),
        NAMES,
        "the table has every state",
      );
      for (const { existing, passes, becomes } of written) {
        const { state: next, handling } = step(state(existing), type);
        assert.equal(nameOf(next), becomes, existing);
        assert.equal(handling === "pass", passes, existing);
      }
    });
  }
}

test("whoever may see already, and asks again, is told yes by the server (3.1.3)", () => {
  for (const name of NAMES) {
    const approves = inbound(state(name), "subscribe").handling === "approve";
    assert.equal(approves, ["From", "From + Pending Out", "Both"].includes(name), name);
  }
});

test("a yes before the question is noted, where there is neither a question nor a subscription (3.4.2)", () => {
  for (const name of NAMES) {
    const { approved } = outbound(state(name), "subscribed").state;
    assert.equal(approved, ["None", "None + Pending Out", "To"].includes(name), name);
  }
});

test("the question that was approved before is answered by the server, and the note is used up (3.4.2)", () => {
  for (const [name, becomes] of [
    ["None", "From"],
    ["None + Pending Out", "From + Pending Out"],
    ["To", "Both"],
  ] as const) {
    const { state: next, handling } = inbound(state(name, true), "subscribe");
    assert.equal(handling, "approve", name);
    assert.deepEqual(next, state(becomes), name);
  }
});

test("the note is taken back by a no, without a word to the contact, and by nothing the contact says (3.4.2, 4.3.2)", () => {
  for (const name of ["None", "None + Pending Out", "To"] as const) {
    assert.deepEqual(outbound(state(name, true), "unsubscribed"), { state: state(name), handling: "stop" }, name);
    for (const type of ["unsubscribe", "unsubscribed", "subscribed"] as const) {
      assert.equal(inbound(state(name, true), type).state.approved, true, `${name}, inbound ${type}`);
    }
    for (const type of ["subscribe", "unsubscribe"] as const) {
      assert.equal(outbound(state(name, true), type).state.approved, true, `${name}, outbound ${type}`);
    }
  }
});

test("each state is shown as the RFC names it", () => {
  for (const name of NAMES) assert.equal(subscriptionName(state(name)), STATES[name].shown, name);
});
