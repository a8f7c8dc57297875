import assert from "node:assert/strict";
import { test } from "node:test";
import { forwardedAddress, Networks, plainAddress, Tally } from "../../src/net/address.ts";

test("an address has one spelling", () => {
  assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("::FFFF:c000:0201"), "192.0.2.1");
  assert.equal(plainAddress("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  assert.equal(plainAddress("fe80::1%eth0"), "fe80::1");
  assert.equal(plainAddress("192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("nonsense"), "nonsense");
});

test("networks hold what their prefixes say, for both families", () => {
  const networks = new Networks(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::1"]);
  for (const inside of ["10.1.255.1", "::ffff:10.1.0.1", "192.0.2.7", "2001:db8:ffff::1", "::1"]) {
    assert.ok(networks.has(inside), inside);
  }
  for (const outside of ["10.2.0.1", "192.0.2.8", "2001:db9::1", "::2", "", "nonsense"]) {
    assert.ok(!networks.has(outside), outside);
  }
});

test("what is no network is refused by name", () => {
  for (const wrong of ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "host", "10.0.0.0/-1"]) {
    assert.throws(() => new Networks([wrong]), { name: "RangeError", message: `not a network: ${wrong}` });
  }
});

test("X-Forwarded-For is followed only through trusted hops, from the right", () => {
  const trusted = new Networks(["10.0.0.0/8"]);
  const client = (peer: string, header?: string) => forwardedAddress(peer, header, trusted);
  assert.equal(client("198.51.100.1", "203.0.113.9"), "198.51.100.1", "an untrusted peer speaks for itself");
  assert.equal(client("10.0.0.1", "203.0.113.9"), "203.0.113.9");
  assert.equal(client("::ffff:10.0.0.1", "203.0.113.9"), "203.0.113.9");
  assert.equal(client("10.0.0.1", "1.2.3.4, 203.0.113.9"), "203.0.113.9", "what the client claimed itself is ignored");
  assert.equal(client("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
  assert.equal(client("10.0.0.1", "10.0.0.3,10.0.0.2"), "10.0.0.3", "all hops trusted: the farthest");
  assert.equal(client("10.0.0.1", "203.0.113.9, nonsense"), "10.0.0.1");
  assert.equal(client("10.0.0.1", undefined), "10.0.0.1");
  assert.equal(client("10.0.0.1", "2001:DB8::0:9"), "2001:db8::9");
});

test("one IPv6 customer counts once, whichever address of the /64 is used", () => {
  const tally = new Tally(2);
  const leave = tally.enter("2001:db8::1");
  assert.ok(leave);
  assert.ok(tally.enter("2001:db8:0:0:ffff::"));
  assert.equal(tally.enter("2001:db8::3"), undefined);
  assert.ok(tally.enter("2001:db8:0:1::3"));
  assert.ok(tally.enter("::1"));
  assert.ok(tally.enter("192.0.2.1"));
  assert.ok(tally.enter("192.0.2.2"));
  leave();
  assert.ok(tally.enter("2001:db8::3"));
});
