/**
 * What one chat message costs in the server, from the sender's bytes to the receiver's, as ratios within this run: the
 * whole path of a node against the parts that no server can leave out (parse, and serialise again). No sockets, no TLS.
 */

import { accountDirectory } from "../src/auth/directory.ts";
import { StanzaCounters } from "../src/c2s/counters.ts";
import { Resumptions } from "../src/c2s/resumptions.ts";
import { ClientSession, type SessionLimits } from "../src/c2s/session.ts";
import { LocalCluster } from "../src/cluster/local/local-cluster.ts";
import { HookTable } from "../src/module/hook-table.ts";
import { startModules } from "../src/module/loader.ts";
import { MODULES } from "../src/modules/catalogue.ts";
import { silentLog } from "../src/observe/log.ts";
import { createMetrics } from "../src/observe/metrics.ts";
import { Hosts } from "../src/router/hosts.ts";
import { Router } from "../src/router/router.ts";
import { Sessions } from "../src/router/sessions.ts";
import { memoryDriver } from "../src/storage/drivers/memory.ts";
import { type Element, element } from "../src/xml/element.ts";
import { StreamParser } from "../src/xml/parser.ts";
import { Jid } from "../src/xmpp/jid.ts";
import { NS } from "../src/xmpp/namespaces.ts";

const MESSAGES = 40_000;
const ROUNDS = 5;
const HEADER = Buffer.from(
  `<stream:stream xmlns='jabber:client' xmlns:stream='${NS.stream}' to='example.org' version='1.0'>`,
);
const message = (to: string) =>
  Buffer.from(
    `<message to='${to}' type='chat' id='m1'><body>${"a message of some hundred bytes, as people write them. ".repeat(2)}</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  );

const metrics = createMetrics({ process: false });
const cluster = new LocalCluster({ kind: "local", nodeId: "bench" });
const sessions = new Sessions(cluster, silentLog, { maxPerAccount: 10, replaceTimeoutMs: 1000 });
const hosts = new Hosts();
const hooks = new HookTable(silentLog);
const accounts = accountDirectory({
  accounts: new Map(),
  hooks,
  sessions,
  log: silentLog,
  serves: () => true,
  forget: async () => {},
});
const host = hosts.add("example.org", { name: "default", hooks, accounts: { ...accounts, exists: () => true } });
const router = new Router(hosts, sessions, silentLog, metrics);
const store = memoryDriver();
await startModules(
  [...MODULES.values()].map((module) => ({ module, config: module.config?.parse({}), driverOf: () => store })),
  {
    hostType: "default",
    hooks,
    sessions,
    accounts: host.type.accounts,
    router,
    clock: { seconds: () => 0, milliseconds: () => 0, after: () => () => {} },
    log: silentLog,
    metrics,
  },
);

let sent = 0;
function count(stanza: Element): void {
  sent += stanza.toXml(NS.client).length;
}
const LIMITS: SessionLimits = {
  resumeForMs: 0,
  resumeLocation: undefined,
  unackedStanzas: 500,
  unackedBytes: 2 ** 21,
  unackedWaitMs: 5000,
  ackEvery: 10,
  ackAfterMs: 1000,
  ackTimeoutMs: 60_000,
  inactiveStanzas: 100,
};
async function session(local: string): Promise<ClientSession> {
  const jid = new Jid(local, "example.org", "desk");
  const made = new ClientSession(jid, local, {
    nodeId: "bench",
    host,
    router,
    sessions,
    resumptions: new Resumptions(0),
    counters: new StanzaCounters(metrics),
    limits: LIMITS,
    expired() {},
  });
  made.attach({ send: count, close() {}, gone: Promise.resolve() });
  await sessions.open(made);
  await made.announce(element("presence", NS.client), 0);
  return made;
}
const alice = await session("alice");
await session("bob");

/** Microseconds a message. */
function measure(bytes: Buffer, take: (stanza: Element) => void): number {
  const parser = new StreamParser({ open() {}, element: take, close() {} });
  parser.write(HEADER);
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) parser.write(bytes);
  return Number(process.hrtime.bigint() - started) / MESSAGES / 1000;
}

const full = message("bob@example.org/desk");
const bare = message("bob@example.org");
const floor = () => measure(full, (stanza) => count(stanza.with({ from: "alice@example.org/desk" })));
const toFull = () => measure(full, (stanza) => void alice.receive(stanza));
const toBare = () => measure(bare, (stanza) => void alice.receive(stanza));

const rows: { floor: number; full: number; bare: number }[] = [];
for (let round = 0; round <= ROUNDS; round++) rows.push({ floor: floor(), full: toFull(), bare: toBare() });
// The first round warms up. The best of the others, since whatever else the machine does only ever adds.
const best = (pick: (row: (typeof rows)[0]) => number) => Math.min(...rows.slice(1).map(pick));
const base = best((row) => row.floor);
for (const [name, value] of Object.entries({
  "parse and serialise alone": base,
  "whole path, to a full JID": best((row) => row.full),
  "whole path, to a bare JID": best((row) => row.bare),
})) {
  console.log(`${name.padEnd(28)} ${value.toFixed(2).padStart(6)} us a message   ${(value / base).toFixed(2)}x`);
}
if (sent === 0) throw new Error("nothing arrived");
