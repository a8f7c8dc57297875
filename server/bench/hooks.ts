/**
 * What a filter chain costs a stanza, and what one more receiver of the same stanza costs, as ratios within this run:
 * against a plain call, and against serialising the stanza anew for each.
 */
import { FilterChain, type Verdict } from "../src/module/hooks.ts";
import { element } from "../src/xml/element.ts";
import { NS } from "../src/xmpp/namespaces.ts";

const ROUNDS = 7;
let seen = 0;

/** Nanoseconds for each; the best of several rounds, since whatever else the machine does only ever adds. */
async function best(times: number, run: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < times; i++) {
      const outcome = run();
      if (outcome instanceof Promise) await outcome;
    }
    least = Math.min(least, Number(process.hrtime.bigint() - started) / times);
  }
  return least;
}

function chain(handlers: number, run: (event: object) => Verdict | Promise<Verdict>): FilterChain<object> {
  const filters = new FilterChain<object>(() => {});
  for (let i = 0; i < handlers; i++) filters.add("guard", run);
  return filters;
}

function row(name: string, ns: number, base: number): void {
  console.log(`${name.padEnd(44)} ${ns.toFixed(0).padStart(7)} ns   ${(ns / base).toFixed(2)}x`);
}

const event = {};
const look = (): undefined => {
  seen++;
};
const wait = async (): Promise<undefined> => {
  seen++;
};
const calls = await best(300_000, () => {
  for (let i = 0; i < 5; i++) look();
});
const none = chain(0, look);
const five = chain(5, look);
const waiting = chain(5, wait);
row("five plain calls", calls, calls);
row("a chain without handlers", await best(300_000, () => none.fire(event)), calls);
row("a chain of five that answer at once", await best(300_000, () => five.fire(event)), calls);
row("a chain of five that wait", await best(20_000, () => waiting.fire(event)), calls);

// Such as a room with a hundred occupants sends to each, or a presence to each contact.
const RECEIVERS = 100;
const stanza = () =>
  element(
    "message",
    NS.client,
    { from: "room@rooms.example.org/alice", type: "groupchat", id: "m1" },
    element("body", NS.client, {}, "a message of some hundred bytes, as people write them & read them. ".repeat(2)),
    element("active", "http://jabber.org/protocol/chatstates"),
  );
const shared = stanza();
const anew = await best(200, () => {
  for (let i = 0; i < RECEIVERS; i++) {
    seen += stanza()
      .with({ to: `user${i}@example.org/desk` })
      .toXml(NS.client).length;
  }
});
const copies = await best(200, () => {
  for (let i = 0; i < RECEIVERS; i++) seen += shared.with({ to: `user${i}@example.org/desk` }).toXml(NS.client).length;
});
row("to one of a hundred, made anew", anew / RECEIVERS, anew / RECEIVERS);
row("to one of a hundred, a copy with its address", copies / RECEIVERS, anew / RECEIVERS);
if (seen === 0) throw new Error("nothing was done");
