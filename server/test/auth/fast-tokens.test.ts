import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ClientTokens, FastTokens, type FastTokensOptions } from "../../src/auth/fast-tokens.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json, type MapStore, map } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import type { FastToken, TokenLogin } from "../../src/xmpp/sasl/mechanism.ts";

const ALICE = new Jid("alice", "example.org");
const BOB = new Jid("bob", "example.org");
const PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const DESK = "0c4a1d6e-7a5f-4c9b-8e2d-3f6b1a9c5d70";
const NONE = "HT-SHA-256-NONE";
const DAY = 86_400_000;

function setUp(options: Partial<FastTokensOptions> = {}) {
  const store = map<ClientTokens>("fast_tokens", json()).open(memoryDriver()) as MapStore<ClientTokens>;
  const time = { now: 1_000_000 };
  const settings: FastTokensOptions = {
    secret: Buffer.from("known to the nodes"),
    lifetime: 21 * DAY,
    renewAfter: DAY,
    perAccount: 3,
    now: () => time.now,
    ...options,
  };
  /** Another node over the same store. */
  const node = (more: Partial<FastTokensOptions> = {}) => new FastTokens(store, { ...settings, ...more });
  return { tokens: node(), node, store, time };
}

function use(tokens: FastTokens, { token }: FastToken, more: Partial<TokenLogin> = {}, account = ALICE) {
  const login = { mechanism: NONE, userAgent: PHONE, count: undefined, invalidate: false, renewable: true, ...more };
  return tokens.redeem(account, login, (candidate) => candidate === token);
}

describe("a token", () => {
  test("lets its client in, on every node, as often as it likes", async () => {
    const { tokens, node } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    assert.equal(token.expires, 1_000_000 + 21 * DAY);
    assert.ok(token.token.length >= 43, "as much as a SHA-256 hash");
    for (const place of [tokens, node(), tokens]) assert.deepEqual(await use(place, token), { token: token.token });
  });

  test("is of no use to another account, another client, or with another mechanism", async () => {
    const { tokens } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    await tokens.issue(BOB, PHONE, NONE);
    await tokens.issue(ALICE, DESK, NONE);
    assert.equal(await use(tokens, token, {}, BOB), "wrong");
    assert.equal(await use(tokens, token, { userAgent: DESK }), "wrong");
    assert.equal(await use(tokens, token, { mechanism: "HT-SHA-256-EXPR" }), "wrong");
    assert.equal(await use(tokens, { ...token, token: "guess" }), "wrong");
  });

  test("cannot be made from what is stored alone", async () => {
    const { tokens, node, store } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    const stored = JSON.stringify([...(await store.list(ALICE))]);
    assert.ok(!stored.includes(token.token));
    assert.equal(await use(node({ secret: Buffer.from("another") }), token), "wrong");
  });

  test("is good until the moment it expires, which only its owner is told", async () => {
    const { tokens, time } = setUp({ renewAfter: 22 * DAY });
    const token = await tokens.issue(ALICE, PHONE, NONE);
    time.now = token.expires - 1;
    assert.deepEqual(await use(tokens, token), { token: token.token });
    time.now = token.expires;
    assert.equal(await use(tokens, token), "expired");
    assert.equal(await use(tokens, { ...token, token: "guess" }), "wrong");
  });

  test("with a count is refused unless the count is above all that came with it, on whichever node", async () => {
    const { tokens, node } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    const outcomes: boolean[] = [];
    for (const count of [0, 1, 1, 5, 4, 5, 6]) outcomes.push((await use(node(), token, { count })) !== "wrong");
    assert.deepEqual(outcomes, [false, true, false, true, false, false, true]);
  });

  test("that two nodes are given at once with the same count lets one of them in", async () => {
    const { tokens, node } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    const outcomes = await Promise.all([use(tokens, token, { count: 1 }), use(node(), token, { count: 1 })]);
    assert.equal(outcomes.filter((outcome) => outcome === "wrong").length, 1);
  });

  test("that is refused leaves the store as it is", async () => {
    const { tokens, store } = setUp();
    const token = await tokens.issue(ALICE, PHONE, NONE);
    store.update = () => Promise.reject(new Error("written"));
    assert.equal(await use(tokens, { ...token, token: "guess" }, { count: 9 }), "wrong");
    assert.equal(await use(tokens, token, {}, BOB), "wrong");
  });

  test("is tried as often for a client that has none as for one that has two", async () => {
    const { tokens } = setUp();
    await use(tokens, await tokens.issue(ALICE, PHONE, NONE));
    await tokens.issue(ALICE, PHONE, NONE);
    const tries = async (userAgent: string) => {
      let count = 0;
      const login = { mechanism: NONE, userAgent, count: undefined, invalidate: false, renewable: true };
      await tokens.redeem(ALICE, login, () => ++count === 0);
      return count;
    };
    assert.equal(await tries(PHONE), await tries(DESK));
  });
});

describe("a new token", () => {
  test("comes when an old enough one is used, which is good until the new one is", async () => {
    const { tokens, time } = setUp();
    const old = await tokens.issue(ALICE, PHONE, NONE);
    time.now += DAY - 1;
    assert.deepEqual(await use(tokens, old), { token: old.token });
    time.now += 1;
    const outcome = await use(tokens, old);
    assert.ok(typeof outcome === "object" && outcome.renewed !== undefined);
    const { renewed } = outcome;
    assert.equal(renewed.expires, time.now + 21 * DAY);
    assert.equal(typeof (await use(tokens, old, { renewable: false })), "object");
    assert.deepEqual(await use(tokens, renewed), { token: renewed.token });
    assert.equal(await use(tokens, old), "wrong");
  });

  test("takes the place of one that was never used", async () => {
    const { tokens } = setUp();
    const first = await tokens.issue(ALICE, PHONE, NONE);
    const second = await tokens.issue(ALICE, PHONE, NONE);
    assert.equal(await use(tokens, first), "wrong");
    assert.deepEqual(await use(tokens, second), { token: second.token });
  });

  test("counts from the start, whatever the old one's count was", async () => {
    const { tokens } = setUp();
    await use(tokens, await tokens.issue(ALICE, PHONE, NONE), { count: 8 });
    const second = await tokens.issue(ALICE, PHONE, NONE);
    assert.deepEqual(await use(tokens, second, { count: 1 }), { token: second.token });
    assert.equal(await use(tokens, second, { count: 1 }), "wrong");
  });

  test("does not come when the client asks for none", async () => {
    const { tokens, time } = setUp();
    const old = await tokens.issue(ALICE, PHONE, NONE);
    time.now += DAY;
    assert.deepEqual(await use(tokens, old, { renewable: false }), { token: old.token });
  });
});

describe("tokens end", () => {
  test("when their client gives them up, together with one it has not used yet", async () => {
    const { tokens } = setUp();
    const first = await tokens.issue(ALICE, PHONE, NONE);
    await use(tokens, first);
    const second = await tokens.issue(ALICE, PHONE, NONE);
    assert.deepEqual(await use(tokens, first, { invalidate: true }), { token: first.token });
    assert.equal(await use(tokens, first), "wrong");
    assert.equal(await use(tokens, second), "wrong");
  });

  test("when the account's are forgotten, and nobody else's", async () => {
    const { tokens } = setUp();
    const [phone, desk] = [await tokens.issue(ALICE, PHONE, NONE), await tokens.issue(ALICE, DESK, NONE)];
    const bobs = await tokens.issue(BOB, PHONE, NONE);
    await tokens.forget(ALICE);
    assert.equal(await use(tokens, phone), "wrong");
    assert.equal(await use(tokens, desk, { userAgent: DESK }), "wrong");
    assert.deepEqual(await use(tokens, bobs, {}, BOB), { token: bobs.token });
  });

  test("when the account has more clients than may have any: those that expire first", async () => {
    const { tokens, time, store } = setUp();
    const clients = ["a", "b", "c", "d"];
    const issued: FastToken[] = [];
    for (const client of clients) {
      time.now += 1000;
      issued.push(await tokens.issue(ALICE, client, NONE));
      if (client === "c") assert.equal((await store.list(ALICE)).size, 3);
    }
    assert.deepEqual([...(await store.list(ALICE)).keys()].sort(), ["b", "c", "d"]);
    assert.equal(await use(tokens, issued[0] as FastToken, { userAgent: "a" }), "wrong");
    assert.equal(typeof (await use(tokens, issued[1] as FastToken, { userAgent: "b" })), "object");
  });

  test("when they have expired and another client gets one", async () => {
    const { tokens, time, store } = setUp();
    time.now = (await tokens.issue(ALICE, PHONE, NONE)).expires;
    await tokens.issue(ALICE, DESK, NONE);
    assert.deepEqual([...(await store.list(ALICE)).keys()], [DESK]);
  });
});
