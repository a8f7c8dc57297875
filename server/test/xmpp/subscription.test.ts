/** RFC 6121, Appendix A: the code's tables against the RFC's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubscriptionType } from "../../src/xmpp/stanza.ts";
import {
  inbound,
  outbound,
  STATES,
  type SubscriptionState,
  stateName,
  subscriptionName,
} from "../../src/xmpp/subscription.ts";
import { INBOUND, NAMES, type Name, OUTBOUND, SHOWN } from "./appendix-a.ts";

function state(name: Name, approved = false): SubscriptionState {
  const [to, from] = STATES[name];
  return { to, from, approved };
}

test("there are the nine states of A.1, and each is shown as the RFC says", () => {
  assert.deepEqual(Object.keys(STATES), NAMES);
  for (const name of NAMES) {
    const { to, from } = state(name);
    assert.equal(stateName(state(name)), name);
    assert.equal(`subscription='${subscriptionName(state(name))}'`, SHOWN[name].split(" ")[0], name);
    assert.equal(to === "pending", SHOWN[name].includes("ask"), name);
    assert.equal(to === "pending", name.includes("Out"), name);
    assert.equal(from === "pending", / In|\+In/.test(name), name);
  }
});

for (const [direction, tables, step] of [
  ["outbound", OUTBOUND, outbound],
  ["inbound", INBOUND, inbound],
] as const) {
  for (const [type, rows] of Object.entries(tables) as [SubscriptionType, (typeof tables)[SubscriptionType]][]) {
    test(`${direction} "${type}" from each of the nine states`, () => {
      assert.deepEqual(
        rows.map(({ existing }) => existing),
        NAMES,
        "the table has every state",
      );
      for (const { existing, passes, becomes } of rows) {
        const next = step(state(existing), type);
        assert.equal(stateName(next.state), becomes ?? existing, existing);
        assert.equal(next.passes, passes, existing);
      }
    });
  }
}

test("the server answers in the account's name where footnotes 2 of Table 6 and 1 of Table 7 say so, and nowhere else", () => {
  for (const type of ["subscribe", "unsubscribe", "subscribed", "unsubscribed"] as const) {
    for (const { existing, footnote } of INBOUND[type]) {
      const says = type === "subscribe" && footnote === "2" ? "subscribed" : undefined;
      const reply = type === "unsubscribe" && footnote === "1" ? "unsubscribed" : says;
      assert.equal(inbound(state(existing), type).reply, reply, `${type} in ${existing}`);
      assert.equal(outbound(state(existing), type).reply, undefined);
    }
  }
});

test("a yes before the question is noted where Table 4 says pre-approval", () => {
  for (const { existing, becomes } of OUTBOUND.subscribed) {
    assert.equal(outbound(state(existing), "subscribed").state.approved, becomes === undefined, existing);
  }
});

test("the question that was approved before is answered by the server, and the note is used up (3.4.2)", () => {
  for (const [name, becomes] of [
    ["None", "From"],
    ["None + Pending Out", "From + Pending Out"],
    ["To", "Both"],
  ] as const) {
    const next = inbound(state(name, true), "subscribe");
    assert.deepEqual(next, { state: state(becomes), passes: false, reply: "subscribed" }, name);
  }
});

test("the note is taken back by a no, without a word to the contact, and by nothing the contact says (3.4.2, 4.3.2)", () => {
  for (const name of ["None", "None + Pending Out", "To"] as const) {
    const taken = outbound(state(name, true), "unsubscribed");
    assert.deepEqual(taken, { state: state(name), passes: false, reply: undefined }, name);
    for (const type of ["unsubscribe", "unsubscribed", "subscribed"] as const) {
      assert.equal(inbound(state(name, true), type).state.approved, true, `${name}, inbound ${type}`);
    }
    for (const type of ["subscribe", "unsubscribe"] as const) {
      assert.equal(outbound(state(name, true), type).state.approved, true, `${name}, outbound ${type}`);
    }
  }
});
