import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { THROTTLE_DEFAULTS, Throttle } from "../../src/auth/throttle.ts";

function throttle(options = {}) {
  const clock = { now: 1_000_000 };
  return { clock, throttle: new Throttle(() => clock.now, { ...THROTTLE_DEFAULTS, ...options }) };
}

function fail(limiter: Throttle, address: string, account: string, times = 1): void {
  for (let time = 0; time < times; time++) {
    const settle = limiter.attempt(address, account);
    assert.notEqual(settle, undefined);
    settle?.("wrong");
  }
}

describe("the throttle", () => {
  test("admits 5 failures a minute of an account, and not a sixth", () => {
    const { throttle: limiter, clock } = throttle();
    fail(limiter, "192.0.2.1", "alice@host", 5);
    assert.equal(limiter.admits("192.0.2.2", "alice@host"), false);
    assert.equal(limiter.attempt("192.0.2.2", "alice@host"), undefined);
    assert.equal(limiter.admits("192.0.2.1", "bob@host"), true);
    clock.now += 11_999;
    assert.equal(limiter.admits("192.0.2.2", "alice@host"), false);
    clock.now += 1;
    fail(limiter, "192.0.2.2", "alice@host", 1);
    assert.equal(limiter.admits("192.0.2.2", "alice@host"), false);
    clock.now += 60_000;
    fail(limiter, "192.0.2.2", "alice@host", 5);
  });

  test("admits 10 failures a minute from an address, and not an eleventh", () => {
    const { throttle: limiter, clock } = throttle();
    for (let account = 0; account < 10; account++) fail(limiter, "192.0.2.1", `a${account}@host`);
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), false);
    assert.equal(limiter.admits("192.0.2.2", "alice@host"), true);
    clock.now += 6_000;
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), true);
  });

  test("counts no right password, and gives back an undecided one", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 1, failuresPerAccount: 1 });
    for (const outcome of ["right", "undecided", "right"] as const)
      limiter.attempt("192.0.2.1", "alice@host")?.(outcome);
    assert.equal(limiter.entries, 0);
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), true);
  });

  test("keeps an unproven one against its account, and not against its address", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 1, failuresPerAccount: 1 });
    limiter.attempt("192.0.2.1", "alice@host")?.("unproven");
    assert.equal(limiter.admits("192.0.2.2", "alice@host"), false);
    assert.equal(limiter.admits("192.0.2.1", "bob@host"), true);
  });

  test("counts an attempt on no account against its address alone", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 1, failuresPerAccount: 1 });
    limiter.attempt("192.0.2.1")?.("undecided");
    limiter.attempt("192.0.2.1")?.("right");
    assert.equal(limiter.entries, 0);
    limiter.attempt("192.0.2.1")?.("wrong");
    assert.equal(limiter.attempt("192.0.2.1"), undefined);
    assert.equal(limiter.admits("192.0.2.2"), true);
    assert.equal(limiter.entries, 1);
  });

  test("counts an attempt under way against its account, and not against its address", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 1, failuresPerAccount: 1 });
    const settle = limiter.attempt("192.0.2.1", "alice@host");
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), false);
    assert.equal(limiter.admits("192.0.2.1", "bob@host"), true);
    settle?.("right");
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), true);
  });

  test("takes 0 for no limit", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 0, failuresPerAccount: 0 });
    fail(limiter, "192.0.2.1", "alice@host", 100);
    assert.equal(limiter.entries, 0);
  });

  test("takes the addresses of one IPv6 /64 for one source, and a mapped IPv4 address for itself", () => {
    const pairs: readonly (readonly [string, string, boolean])[] = [
      ["2001:db8:1:2::1", "2001:DB8:1:2:ffff::9", true],
      ["2001:db8:0:0:1::1", "2001:db8::2", true],
      ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
      ["2001:0db8::1", "2001:db8::1", true],
      ["::1", "::2", true],
      ["fe80::1%eth0", "fe80::2", true],
      ["::ffff:192.0.2.1", "192.0.2.1", true],
      ["::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
      ["192.0.2.1", "192.0.2.2", false],
    ];
    for (const [first, second, same] of pairs) {
      const { throttle: limiter } = throttle({ failuresPerAddress: 1 });
      fail(limiter, first, "alice@host");
      assert.equal(limiter.admits(second, "bob@host"), !same, `${first} ${second}`);
    }
  });

  test("remembers as many as it may, forgetting first what failed longest ago", () => {
    const { throttle: limiter } = throttle({ failuresPerAddress: 1, failuresPerAccount: 0, entries: 3 });
    for (const last of [1, 2, 3]) fail(limiter, `192.0.2.${last}`, "alice@host");
    assert.equal(limiter.entries, 3);
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), false);
    fail(limiter, "192.0.2.4", "alice@host");
    assert.equal(limiter.entries, 3);
    assert.equal(limiter.admits("192.0.2.1", "alice@host"), true);
    for (const last of [2, 3, 4]) assert.equal(limiter.admits(`192.0.2.${last}`, "alice@host"), false);
  });

  test("forgets what has healed", () => {
    const { throttle: limiter, clock } = throttle({ failuresPerAccount: 0 });
    for (const last of [1, 2, 3]) fail(limiter, `192.0.2.${last}`, "alice@host");
    clock.now += 60_000;
    fail(limiter, "192.0.2.4", "alice@host");
    assert.equal(limiter.entries, 1);
  });
});
