import assert from "node:assert/strict";
import { test } from "node:test";
import { Tally } from "../../src/net/address.ts";
import { listenTcp } from "../../src/net/listener.ts";
import { bench, dial, hear, until } from "./support.ts";

test("connections up to the limit are served, the next is refused, and a place left is taken again", async () => {
  const { listener, transports, refusals } = await bench({ maxConnections: 2 });
  const [one, two] = [await dial(listener.address), await dial(listener.address)];
  await until(() => transports.length === 2, "two");
  const three = hear(await dial(listener.address));
  await until(() => three.isClosed, "the refusal");
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["connections"],
  );
  one.destroy();
  await until(() => listener.connections === 1, "a free place");
  await dial(listener.address);
  await until(() => transports.length === 3, "the next");
  two.destroy();
});

test("one address may hold so many connections, and others are not touched by it", async () => {
  const { listener, transports, refusals } = await bench({
    perAddress: new Tally(2),
    proxyProtocol: { from: ["127.0.0.1"] },
  });
  const from = async (address: string) => {
    const socket = await dial(listener.address);
    socket.resume().write(`PROXY ${address.includes(":") ? "TCP6" : "TCP4"} ${address} ${address} 1 2\r\n`);
    return socket;
  };
  const first = await from("203.0.113.1");
  await from("203.0.113.1");
  await until(() => transports.length === 2, "two");
  const third = await from("203.0.113.1");
  await until(() => third.destroyed, "the refusal");
  assert.deepEqual(
    refusals.map(({ reason, address }) => [reason, address]),
    [["connections-per-address", "203.0.113.1"]],
  );
  for (const other of ["203.0.113.2", "2001:db8::1", "2001:db8::2"]) await from(other);
  await until(() => transports.length === 5, "the others");
  const sixth = await from("2001:db8::3");
  await until(() => sixth.destroyed, "the refusal of a third of one /64");
  first.destroy();
  await until(() => listener.connections === 4, "a free place");
  await from("203.0.113.1");
  await until(() => transports.length === 6, "the next");
});

test("close stops accepting at once, drops handshakes under way, and leaves transports alone", async () => {
  const { listener, transports, recorders, refusals } = await bench({ proxyProtocol: { from: ["127.0.0.1"] } });
  const open = await dial(listener.address);
  open.write("PROXY UNKNOWN\r\n");
  await until(() => transports.length === 1, "an open one");
  const half = hear(await dial(listener.address));
  await until(() => listener.connections === 2, "a half-open one");
  await listener.close();
  await until(() => half.isClosed, "the drop");
  await assert.rejects(dial(listener.address), { code: "ECONNREFUSED" });
  open.write("still here");
  await until(() => recorders[0]?.text === "still here", "the open one");
  assert.equal(refusals.length, 0);
});

test("an address that is taken is told to whoever starts the listener", async () => {
  const { listener } = await bench();
  const again = { host: "127.0.0.1", port: listener.address.port, tls: "none" as const, accept() {} };
  await assert.rejects(listenTcp(again), { code: "EADDRINUSE" });
});

test("a wrong network in the list of load balancers is refused at start", async () => {
  await assert.rejects(bench({ proxyProtocol: { from: ["10.0.0.0/40"] } }), /not a network: 10\.0\.0\.0\/40/);
});
